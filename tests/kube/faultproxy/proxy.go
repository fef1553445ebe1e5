package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

type connKey struct{}

// A flow is a response under way.
type flow struct {
	request string // "METHOD /path?query"
	conn    net.Conn
	cancel  context.CancelCauseFunc
}

type proxy struct {
	upstream  *url.URL
	transport http.RoundTripper
	rules     rules

	mu          sync.Mutex
	flows       map[*flow]bool
	requests    int
	watches     int
	openWatches int
	connections int
}

func newProxy(upstream string, roots *x509.CertPool) (*proxy, error) {
	u, err := url.Parse(upstream)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("upstream %q is no https address", upstream)
	}
	return &proxy{
		upstream: u,
		transport: &http.Transport{
			TLSClientConfig:    &tls.Config{RootCAs: roots},
			ForceAttemptHTTP2:  true,
			DisableCompression: true, // what the client asked for passes through
		},
		rules: rules{counts: map[string]int{}},
		flows: map[*flow]bool{},
	}, nil
}

func (p *proxy) server(pair tls.Certificate) *http.Server {
	return &http.Server{
		Handler:   p,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			p.mu.Lock()
			p.connections++
			p.mu.Unlock()
			return context.WithValue(ctx, connKey{}, c)
		},
		ErrorLog: log.New(io.Discard, "", 0), // clients that a fault drove away
	}
}

func isWatch(q *http.Request) bool {
	on := q.URL.Query().Get("watch")
	return q.Method == http.MethodGet && (on == "true" || on == "1")
}

func (p *proxy) count(q *http.Request, by int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if by > 0 {
		p.requests++
	}
	if isWatch(q) {
		p.openWatches += by
		if by > 0 {
			p.watches++
		}
	}
}

func hangUp(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn() // without the closing alert
	}
	conn.Close()
}

// before does what strikes before a request is forwarded. False: the request is done with.
func (p *proxy) before(w http.ResponseWriter, q *http.Request, request string, conn net.Conn) bool {
	for _, r := range p.rules.find("delay", request) {
		if !p.rules.strike(r) {
			continue
		}
		select {
		case <-time.After(r.wait()):
		case <-q.Context().Done():
			return false
		}
	}
	for _, r := range p.rules.find("refuse", request) {
		if p.rules.strike(r) {
			hangUp(conn)
			return false
		}
	}
	for _, r := range p.rules.find("status", request) {
		if !p.rules.strike(r) {
			continue
		}
		encoding := jsonEncoding
		if strings.HasPrefix(q.Header.Get("Accept"), protobufType) {
			encoding = protobufEncoding
		}
		if r.Retry != "" {
			w.Header().Set("Retry-After", r.Retry)
		}
		w.Header().Set("Content-Type", encoding.contentType)
		w.WriteHeader(r.Code)
		_, _ = w.Write(encoding.status(r.Code))
		return false
	}
	return true
}

func (p *proxy) forward(ctx context.Context, q *http.Request) (*http.Response, error) {
	out := q.Clone(ctx)
	out.URL.Scheme, out.URL.Host, out.Host, out.RequestURI = p.upstream.Scheme, p.upstream.Host, p.upstream.Host, ""
	for _, name := range []string{"Connection", "Keep-Alive", "Te", "Upgrade"} { // of one connection only
		out.Header.Del(name)
	}
	return p.transport.RoundTrip(out)
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	request := q.Method + " " + q.URL.RequestURI()
	conn, _ := q.Context().Value(connKey{}).(net.Conn)
	ctx, cancel := context.WithCancelCause(q.Context())
	defer cancel(nil)
	p.count(q, 1)
	defer p.count(q, -1)
	if !p.before(w, q, request, conn) {
		return
	}
	f := &flow{request, conn, cancel}
	p.mu.Lock()
	p.flows[f] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.flows, f)
		p.mu.Unlock()
	}()
	response, err := p.forward(ctx, q)
	if err != nil {
		log.Printf("%s: %v", request, err)
		hangUp(conn) // as a client of a server that is gone sees it
		return
	}
	defer response.Body.Close()
	for name, values := range response.Header {
		if name != "Connection" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(response.StatusCode)
	s := &stream{w: w, flusher: http.NewResponseController(w), rules: &p.rules, request: request}
	stop := p.armCuts(f)
	err = s.copy(ctx, response, isWatch(q) && response.StatusCode == http.StatusOK)
	stop()
	if how := context.Cause(ctx); how != nil && q.Context().Err() == nil {
		err = how
	}
	finish(err, conn)
}

// How a response is stopped, as an error.
type cutError string

func (e cutError) Error() string { return "cut: " + string(e) }

func finish(err error, conn net.Conn) {
	switch {
	case err == nil || err == cutError("end"):
	case err == cutError("connection"):
		hangUp(conn)
		panic(http.ErrAbortHandler)
	default:
		panic(http.ErrAbortHandler) // resets the stream; in HTTP/1.1, closes the connection
	}
}

// armCuts sets the clocks of "cut" rules with a time. The returned function stops them.
func (p *proxy) armCuts(f *flow) func() {
	var timers []*time.Timer
	for _, r := range p.rules.find("cut", f.request) {
		if r.Ms == 0 {
			continue
		}
		timers = append(timers, time.AfterFunc(r.wait(), func() {
			if p.rules.strike(r) {
				f.cancel(r.how())
			}
		}))
	}
	return func() {
		for _, t := range timers {
			t.Stop()
		}
	}
}

func (r *rule) how() cutError {
	if r.How == "" {
		return "stream"
	}
	return cutError(r.How)
}

func (p *proxy) cutNow(w http.ResponseWriter, q *http.Request) {
	match, err := regexp.Compile(q.URL.Query().Get("path"))
	if err != nil || q.Method != http.MethodPost {
		http.Error(w, "POST /cut?path=RE", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for f := range p.flows {
		if match.MatchString(f.request) {
			f.cancel(cutError("stream"))
			n++
		}
	}
	answer(w, map[string]int{"cut": n})
}

func (p *proxy) showCounts(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules.Lock()
	defer p.rules.Unlock()
	answer(w, map[string]any{"requests": p.requests, "watches": p.watches, "open_watches": p.openWatches,
		"connections": p.connections, "faults": p.rules.counts})
}

func (p *proxy) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/fault", p.rules.handle)
	mux.HandleFunc("/faults", p.rules.show)
	mux.HandleFunc("/counts", p.showCounts)
	mux.HandleFunc("/cut", p.cutNow)
	return mux
}
