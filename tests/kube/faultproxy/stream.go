package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// A stream is a response on its way to the client.
type stream struct {
	w       io.Writer
	flusher *http.ResponseController
	rules   *rules
	request string
	sent    int          // bytes
	frames  int          // from the server
	struck  map[int]bool // rules that strike once in a stream and did
}

// write sends, up to where a cut is due.
func (s *stream) write(data []byte) error {
	for _, r := range s.rules.find("cut", s.request) {
		if r.Ms != 0 || s.sent+len(data) <= r.After || !s.rules.strike(r) {
			continue
		}
		if n := r.After - s.sent; n > 0 {
			_, _ = s.w.Write(data[:n]) // what comes of it does not matter: the stream ends here
			_ = s.flusher.Flush()
		}
		return r.how()
	}
	n, err := s.w.Write(data)
	s.sent += n
	if err != nil {
		return err
	}
	return s.flusher.Flush()
}

// once finds the rule of a kind that is due after so many frames, and did not strike this stream yet.
func (s *stream) once(kind string) bool {
	for _, r := range s.rules.find(kind, s.request) {
		if s.frames < r.After || s.struck[r.ID] || !s.rules.strike(r) {
			continue
		}
		if s.struck == nil {
			s.struck = map[int]bool{}
		}
		s.struck[r.ID] = true
		return true
	}
	return false
}

func (s *stream) each(kind string) *rule {
	for _, r := range s.rules.find(kind, s.request) {
		if s.rules.strike(r) {
			return r
		}
	}
	return nil
}

// frame sends one event with the faults that are due.
func (s *stream) frame(ctx context.Context, e *encoding, frame []byte) error {
	var out [][]byte

	if s.once("stall") {
		<-ctx.Done()
		return ctx.Err()
	}
	for _, r := range s.rules.find("slow", s.request) {
		if !s.rules.strike(r) {
			continue
		}
		select {
		case <-time.After(r.wait()):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if s.once("garbage") {
		out = append(out, e.garbage())
	}
	if s.once("length") {
		out = append(out, e.endless())
	}
	if s.once("expire") {
		out = append(out, e.expired())
	}
	if kind, _ := e.event(frame); kind == "ADDED" || kind == "MODIFIED" || kind == "DELETED" {
		if len(s.rules.find("reorder", s.request)) > 0 {
			if bookmark := e.bookmark(frame); bookmark != nil && s.each("reorder") != nil {
				out = append(out, bookmark)
			}
		}
		if s.each("duplicate") != nil {
			out = append(out, frame)
		}
	}
	for _, f := range append(out, frame) {
		if err := s.write(f); err != nil {
			return err
		}
	}
	s.frames++
	return nil
}

func (s *stream) copy(ctx context.Context, response *http.Response, watch bool) error {
	if err := s.flusher.Flush(); err != nil { // a watch has headers long before it has events
		return err
	}
	if watch {
		e := &jsonEncoding
		if strings.HasPrefix(response.Header.Get("Content-Type"), protobufType) {
			e = &protobufEncoding
		}
		return s.copyFrames(ctx, e, bufio.NewReaderSize(response.Body, 64<<10))
	}
	buffer := make([]byte, 32<<10)
	for {
		n, err := response.Body.Read(buffer)
		if n > 0 {
			if err := s.write(buffer[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *stream) copyFrames(ctx context.Context, e *encoding, body *bufio.Reader) error {
	for {
		frame, err := e.read(body)
		if err == io.EOF && len(frame) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.frame(ctx, e, frame); err != nil {
			return err
		}
	}
}
