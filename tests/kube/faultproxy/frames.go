package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// An encoding is one of the two forms in which the API server sends objects and events.
type encoding struct {
	contentType string
	read        func(*bufio.Reader) ([]byte, error)       // a whole frame, with its length or newline
	event       func(frame []byte) (kind, version string) // kind "" if the frame cannot be read
	bookmark    func(frame []byte) []byte                 // with the frame's apiVersion, kind, resourceVersion; nil if it has none
	status      func(code int) []byte                     // body of an answer
	expired     func() []byte                             // an ERROR event
	garbage     func() []byte                             // a frame of noise
	endless     func() []byte                             // the beginning of a frame that does not end
}

const protobufType = "application/vnd.kubernetes.protobuf"

var reasons = map[int]string{400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict",
	410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}

func message(code int) string { return fmt.Sprintf("injected: %d %s", code, http.StatusText(code)) }

// noise is the same in every run: 97 bytes of which none is a letter, a brace or a line feed.
func noise() []byte {
	b := make([]byte, 97)
	for i := range b {
		b[i] = 0x80 + byte(i*29)%0x60
	}
	return b
}

// JSON: one event per line.

type jsonObject struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
}

type jsonEvent struct {
	Type   string     `json:"type"`
	Object jsonObject `json:"object"`
}

func jsonStatus(code int) []byte {
	s, _ := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code,
		"reason": reasons[code], "message": message(code)}) // of strings and numbers: cannot fail
	return s
}

var jsonEncoding = encoding{
	contentType: "application/json",
	read:        func(r *bufio.Reader) ([]byte, error) { return r.ReadBytes('\n') },
	event: func(frame []byte) (string, string) {
		var e jsonEvent
		if json.Unmarshal(frame, &e) != nil {
			return "", ""
		}
		return e.Type, e.Object.Metadata.ResourceVersion
	},
	bookmark: func(frame []byte) []byte {
		var e jsonEvent
		if json.Unmarshal(frame, &e) != nil || e.Object.Metadata.ResourceVersion == "" {
			return nil
		}
		e.Type = "BOOKMARK"
		b, _ := json.Marshal(e)
		return append(b, '\n')
	},
	status: jsonStatus,
	expired: func() []byte {
		return append(append([]byte(`{"type":"ERROR","object":`), jsonStatus(410)...), "}\n"...)
	},
	garbage: func() []byte { return append(noise(), '\n') },
	endless: func() []byte { return bytes.Repeat([]byte{'{'}, 1<<20) },
}

// Protobuf: 4 bytes of length, then a WatchEvent {1: type, 2: {1: object}}. An object is "k8s\0" and an Unknown
// {1: {1: apiVersion, 2: kind}, 2: raw}; its metadata is field 1, whose field 6 is the resourceVersion.

const magic = "k8s\x00"

func field(number int, value []byte) []byte {
	b := binary.AppendUvarint(nil, uint64(number)<<3|2)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

func text(number int, value string) []byte { return field(number, []byte(value)) }

func integer(number, value int) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number)<<3), uint64(value))
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// get finds the first field of this number that has a length. nil: there is none, or the message is broken.
func get(message []byte, number int) []byte {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 {
			return nil
		}
		message = message[n:]
		size, n := uint64(0), 0
		switch tag & 7 {
		case 0:
			_, n = binary.Uvarint(message)
		case 1:
			n = 8
		case 2:
			size, n = binary.Uvarint(message)
		case 5:
			n = 4
		}
		if n <= 0 || n > len(message) || size > uint64(len(message)-n) {
			return nil
		}
		if tag == uint64(number)<<3|2 {
			return message[n : uint64(n)+size]
		}
		message = message[uint64(n)+size:]
	}
	return nil
}

func object(version, kind, raw []byte) []byte {
	return join([]byte(magic), field(1, join(field(1, version), field(2, kind))), field(2, raw))
}

func framed(kind string, object []byte) []byte {
	event := join(text(1, kind), field(2, field(1, object)))
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(event))), event...)
}

func protobufStatus(code int) []byte {
	return object([]byte("v1"), []byte("Status"),
		join(text(2, "Failure"), text(3, message(code)), text(4, reasons[code]), integer(6, code)))
}

// parts of an object in a frame: nil if it has none.
func parts(frame []byte) (kind, meta, version []byte) {
	if len(frame) < 4 {
		return nil, nil, nil
	}
	unknown, ok := bytes.CutPrefix(get(get(frame[4:], 2), 1), []byte(magic))
	if !ok {
		return nil, nil, nil
	}
	return get(frame[4:], 1), get(unknown, 1), get(get(get(unknown, 2), 1), 6)
}

func readProtobuf(r *bufio.Reader) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	frame := make([]byte, 4+binary.BigEndian.Uint32(head))
	copy(frame, head)
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}

var protobufEncoding = encoding{
	contentType: protobufType,
	read:        readProtobuf,
	event: func(frame []byte) (string, string) {
		kind, _, version := parts(frame)
		return string(kind), string(version)
	},
	bookmark: func(frame []byte) []byte {
		_, meta, version := parts(frame)
		if version == nil {
			return nil
		}
		return framed("BOOKMARK", object(get(meta, 1), get(meta, 2), field(1, field(6, version))))
	},
	status:  protobufStatus,
	expired: func() []byte { return framed("ERROR", protobufStatus(410)) },
	garbage: func() []byte { return append(binary.BigEndian.AppendUint32(nil, 97), noise()...) },
	endless: func() []byte { return []byte{0x7f, 0xff, 0xff, 0xff, 0x0a} },
}
