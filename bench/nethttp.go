package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
)

// netHTTP posts a body and takes it back, over a connection that stays or, for
// crr-graceful, a new one each time, which the server closes.
type netHTTP struct {
	ctx      context.Context
	look     func(sequence uint64)
	url      string
	client   http.Client
	request  []byte
	response []byte // with room for a byte too many
}

func openHTTP(e *netEngine, s Spec, d *dialer, flow int) (netTrip, error) {
	transport := &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return d.dial(ctx) },
		DisableCompression: true, DisableKeepAlives: s.Op == CRRGraceful,
		MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1,
	}
	h := &netHTTP{
		ctx: e.ctx, look: e.look, url: "http://" + d.to[0] + "/",
		client:  http.Client{Transport: transport, Timeout: replyTimeout + lastLook},
		request: newPayload(s.SizeBytes, flow), response: make([]byte, s.SizeBytes+1),
	}
	if s.Op == RR { // the connection is there before the first round trip
		if err := h.roundTrip(0); err != nil {
			return nil, errors.Join(err, h.close())
		}
	}
	return h, nil
}

func (h *netHTTP) roundTrip(sequence uint64) error {
	h.look(sequence)
	mark(h.request, sequence)
	if err := h.post(); err != nil {
		return fmt.Errorf("http round trip %d: %w", sequence, err)
	}
	return nil
}

func (h *netHTTP) post() error {
	request, err := http.NewRequestWithContext(h.ctx, http.MethodPost, h.url, bytes.NewReader(h.request))
	if err != nil {
		return err
	}
	response, err := h.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	got, err := io.ReadFull(response.Body, h.response)
	switch {
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("the response is %s", response.Status)
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF):
		return err
	case got != len(h.request):
		return fmt.Errorf("response of %d bytes, want %d", got, len(h.request))
	}
	return nil
}

func (h *netHTTP) verify(sequence uint64) error {
	if err := differs(h.request, h.response[:len(h.request)]); err != nil {
		return fmt.Errorf("http round trip %d: %w", sequence, err)
	}
	return nil
}

// keepWaiting has nothing to move on: each request counts its own time.
func (h *netHTTP) keepWaiting() error { return context.Cause(h.ctx) }

func (h *netHTTP) close() error {
	h.client.CloseIdleConnections()
	return nil
}

// httpHandler sends each body back.
func (s *server) httpHandler() http.Handler {
	rooms := sync.Pool{New: func() any { room := make([]byte, s.order.SizeBytes); return &room }}
	length := []string{strconv.Itoa(s.order.SizeBytes)}
	var requests atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.look(int(requests.Add(1)))
		room := rooms.Get().(*[]byte)
		defer rooms.Put(room)
		if _, err := io.ReadFull(r.Body, *room); err != nil {
			http.Error(w, "the body is too short", http.StatusBadRequest)
			return
		}
		w.Header()["Content-Length"] = length
		_, _ = w.Write(*room)
	})
}
