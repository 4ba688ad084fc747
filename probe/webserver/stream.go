package webserver

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"github.com/coder/websocket"
)

// Events is how many events a stream has.
const Events = 5

// MaxMessageBytes bounds a message of WebSocket.
const MaxMessageBytes = 8 << 20

func (s *Server) handleStreams(mux *http.ServeMux) {
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("POST /events/next", s.allowNext)
	mux.HandleFunc("GET /socket", s.socket)
}

// streams are where the events of each stream wait, by the name that its client gave.
type streams struct {
	mu     sync.Mutex
	byName map[string]chan struct{}
}

func (s *streams) named(name string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[name] == nil {
		s.byName[name] = make(chan struct{})
	}
	return s.byName[name]
}

// events sends events in the format of the HTML standard (9.2.6), numbered from 1, or
// from the one after the last that the client has. Each but the first waits until
// the client has asked for it at /events/next, with the same name of the stream: who
// holds events back on the way is seen to.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	last, _ := strconv.Atoi(r.Header.Get("Last-Event-ID")) // without one it is 0
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	for i := last + 1; i <= Events; i++ {
		if i > last+1 && !s.mayGo(r) {
			return
		}
		if _, err := fmt.Fprintf(w, "id: %d\nevent: count\ndata: event %d\n\n", i, i); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
	}
}

func (s *Server) mayGo(r *http.Request) bool {
	select {
	case <-s.streams.named(r.FormValue("stream")):
		return true
	case <-r.Context().Done():
		return false
	}
}

func (s *Server) allowNext(w http.ResponseWriter, r *http.Request) {
	select {
	case s.streams.named(r.FormValue("stream")) <- struct{}{}:
		w.WriteHeader(http.StatusNoContent)
	case <-r.Context().Done():
	}
}

// socket sends each message back (RFC 6455).
func (s *Server) socket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}})
	if err != nil {
		return // it has answered
	}
	defer conn.CloseNow()
	conn.SetReadLimit(MaxMessageBytes)
	for {
		kind, message, err := conn.Read(s.ended)
		if err != nil {
			return
		}
		if err := conn.Write(s.ended, kind, message); err != nil {
			return
		}
	}
}
