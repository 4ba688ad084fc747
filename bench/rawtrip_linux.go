package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// rawTrip makes round trips over one connection.
type rawTrip struct {
	*raw
	client            *rawEnd
	request, response []byte
	room              []byte // of response: a datagram that is too long is seen
	// owed is how many answers did not come in time, and may come yet.
	owed int
}

func openRawTrip(r *raw, cpu int) (oneByOne, error) {
	t, err := newRawTrip(r, cpu)
	return oneByOneOf(r.spec, t), err
}

// newRawTrip connects a client to a server that echoes.
func newRawTrip(r *raw, cpu int) (*rawTrip, error) {
	client, server, err := r.pair()
	if err != nil {
		return nil, err
	}
	message := make([]byte, r.spec.SizeBytes+1)
	if !server.datagrams {
		message = message[:r.spec.SizeBytes]
	}
	t := &rawTrip{raw: r, client: client, request: newPayload(r.spec.SizeBytes, 0), response: make([]byte, r.spec.SizeBytes+1)}
	t.room = t.response[:len(message)]
	return t, r.serve(cpu, func() error { return r.echo(server, message) })
}

// echo answers each message.
func (r *raw) echo(server *rawEnd, message []byte) error {
	for k := 0; ; k++ {
		r.lookAsServer(k)
		n, err := server.receive(message, 0)
		if err != nil {
			return err
		}
		if err := server.send(message[:n]); err != nil {
			return err
		}
	}
}

func (t *rawTrip) roundTrip(sequence uint64) error {
	t.look(sequence)
	mark(t.request, sequence)
	if err := t.client.send(t.request); err != nil {
		return t.failed(sequence, err)
	}
	got, err := t.client.receive(t.room, silenceTimeout)
	if err == nil && got == len(t.request) && t.owed == 0 {
		return nil
	}
	if err = t.take(got, err); err != nil {
		return t.failed(sequence, err)
	}
	return nil
}

// take looks at what was received. Of datagrams, one to an earlier request may come
// before the response.
func (t *rawTrip) take(got int, err error) error {
	for {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.owed++
		}
		if err != nil {
			return unanswered(err)
		}
		if got != len(t.request) {
			return fmt.Errorf("response of %d bytes, want %d", got, len(t.request))
		}
		if t.owed == 0 || bytes.Equal(t.response[:got], t.request) {
			return nil
		}
		t.owed--
		got, err = t.client.receive(t.room, silenceTimeout)
	}
}

func (t *rawTrip) verify(sequence uint64) error {
	if err := differs(t.request, t.response[:len(t.request)]); err != nil {
		return t.failed(sequence, err)
	}
	return nil
}
