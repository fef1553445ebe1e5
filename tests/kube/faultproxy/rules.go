package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// A rule is one fault and where it strikes. Parameters of POST /fault:
//
//	path=RE       requests whose "METHOD /path?query" matches; default all
//	limit=N       strikes N times at most; default 0, without end
//
// and by kind, before the request is forwarded:
//
//	delay         ms=N: the request waits
//	status        code=N [retry_after=SECONDS]: answered here, by a Status object
//	refuse        the connection is closed
//
// in the response, whatever it is:
//
//	cut           after=BYTES or ms=N [how=stream|connection|end]: it stops in the middle. stream (default) resets it,
//	              connection closes the TCP connection with all its streams, end ends it as if it were complete
//
// and in a watch, by frames (a frame is one event):
//
//	slow          ms=N: each frame waits
//	stall         after=FRAMES: nothing more comes, the stream stays open
//	garbage       after=FRAMES: a frame of noise
//	length        after=FRAMES: a frame that says it has 2 GB (in JSON: a line without end of 1 MB)
//	duplicate     each event comes twice
//	reorder       each event is preceded by a bookmark with that event's resourceVersion
//	expire        after=FRAMES: an ERROR event with a Status of code 410
type rule struct {
	ID    int    `json:"id"`
	Kind  string `json:"kind"`
	Path  string `json:"path,omitempty"`
	Limit int    `json:"limit,omitempty"`
	Code  int    `json:"code,omitempty"`
	Retry string `json:"retry_after,omitempty"`
	Ms    int    `json:"ms,omitempty"`
	After int    `json:"after,omitempty"`
	How   string `json:"how,omitempty"`
	Done  int    `json:"done"`

	match *regexp.Regexp
}

func (r *rule) wait() time.Duration { return time.Duration(r.Ms) * time.Millisecond }

var kinds = map[string]bool{"delay": true, "status": true, "refuse": true, "cut": true, "slow": true, "stall": true,
	"garbage": true, "length": true, "duplicate": true, "reorder": true, "expire": true}

type rules struct {
	sync.Mutex
	list   []*rule
	lastID int
	counts map[string]int // by kind
}

func number(q url.Values, name string, into *int) error {
	if !q.Has(name) {
		return nil
	}
	n, err := strconv.Atoi(q.Get(name))
	if err != nil || n < 0 {
		return fmt.Errorf("%s=%s is no number", name, q.Get(name))
	}
	*into = n
	return nil
}

func parseRule(q url.Values) (*rule, error) {
	r := &rule{Kind: q.Get("kind"), Path: q.Get("path"), Retry: q.Get("retry_after"), How: q.Get("how")}
	for name := range q {
		switch name {
		case "kind", "path", "limit", "code", "retry_after", "ms", "after", "how":
		default:
			return nil, fmt.Errorf("there is no parameter %s", name)
		}
	}
	for name, into := range map[string]*int{"limit": &r.Limit, "code": &r.Code, "ms": &r.Ms, "after": &r.After} {
		if err := number(q, name, into); err != nil {
			return nil, err
		}
	}
	var err error
	if r.match, err = regexp.Compile(r.Path); err != nil {
		return nil, err
	}
	switch {
	case !kinds[r.Kind]:
		return nil, fmt.Errorf("there is no kind %q", r.Kind)
	case r.Kind == "status" && (r.Code < 400 || r.Code > 599):
		return nil, fmt.Errorf("status needs a code from 400 to 599")
	case (r.Kind == "delay" || r.Kind == "slow") && r.Ms == 0:
		return nil, fmt.Errorf("%s needs ms", r.Kind)
	case r.How != "" && (r.Kind != "cut" || r.How != "stream" && r.How != "connection" && r.How != "end"):
		return nil, fmt.Errorf("how=%s is not for %s", r.How, r.Kind)
	}
	return r, nil
}

func (rs *rules) add(r *rule) int {
	rs.Lock()
	defer rs.Unlock()
	rs.lastID++
	r.ID = rs.lastID
	rs.list = append(rs.list, r)
	return r.ID
}

// remove removes one rule, or all with id 0.
func (rs *rules) remove(id int) int {
	rs.Lock()
	defer rs.Unlock()
	var left []*rule
	for _, r := range rs.list {
		if id != 0 && r.ID != id {
			left = append(left, r)
		}
	}
	removed := len(rs.list) - len(left)
	rs.list = left
	return removed
}

// find returns the rules of one kind that may still strike a request.
func (rs *rules) find(kind, request string) []*rule {
	rs.Lock()
	defer rs.Unlock()
	var found []*rule
	for _, r := range rs.list {
		if r.Kind == kind && (r.Limit == 0 || r.Done < r.Limit) && r.match.MatchString(request) {
			found = append(found, r)
		}
	}
	return found
}

// strike counts a fault before it is done. False: the rule is gone or used up.
func (rs *rules) strike(r *rule) bool {
	rs.Lock()
	defer rs.Unlock()
	for _, x := range rs.list {
		if x == r && (r.Limit == 0 || r.Done < r.Limit) {
			r.Done++
			rs.counts[r.Kind]++
			return true
		}
	}
	return false
}

func (rs *rules) handle(w http.ResponseWriter, q *http.Request) {
	switch q.Method {
	case http.MethodPost:
		r, err := parseRule(q.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, map[string]int{"id": rs.add(r)})
	case http.MethodDelete:
		id := 0
		if err := number(q.URL.Query(), "id", &id); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, map[string]int{"removed": rs.remove(id)})
	default:
		http.Error(w, "POST or DELETE", http.StatusMethodNotAllowed)
	}
}

func (rs *rules) show(w http.ResponseWriter, _ *http.Request) {
	rs.Lock()
	defer rs.Unlock()
	answer(w, append([]*rule{}, rs.list...))
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // fails only if the asker has gone
}
