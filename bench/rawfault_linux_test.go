package bench

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// answering is a client whose server answers its n-th message as it is told, not at
// all where that is empty, and fails where it is nil.
func answering(t *testing.T, s Spec, answer func(n int, message []byte) []byte) *rawTrip {
	t.Helper()
	r := newRaw(t.Context(), s)
	client, server, err := r.pair()
	if err != nil {
		t.Fatal(err)
	}
	trip := &rawTrip{raw: r, client: client, request: newPayload(s.SizeBytes, 0), response: make([]byte, s.SizeBytes+1)}
	trip.room = trip.response
	if !client.datagrams {
		trip.room = trip.response[:s.SizeBytes]
	}
	err = r.serve(-1, func() error {
		message := make([]byte, s.SizeBytes)
		for n := 1; ; n++ {
			if _, err := server.receive(message, 0); err != nil {
				return err
			}
			reply := answer(n, message)
			if reply == nil {
				return errBroken
			}
			if len(reply) == 0 {
				continue
			}
			if err := server.send(reply); err != nil {
				return err
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return trip
}

var errBroken = errors.New("broken by the test")

func TestARawFaultIsAnErrorThatNamesTheSequenceNumber(t *testing.T) {
	for _, tc := range faults {
		for transport, want := range map[string]string{UDP: tc.udp, UnixGram: tc.udp, TCP: tc.tcp, Pipe: tc.tcp} {
			if want == "" {
				continue
			}
			t.Run(transport+" "+tc.name, func(t *testing.T) {
				trip := answering(t, Spec{Transport: transport}.WithDefaults(), fourth(tc.change))
				m := newMeter(t)
				m.lossless = true
				e := &rawEngine{trip.raw, oneByOneOf(trip.spec, trip)}
				err := e.run(m, time.Hour)
				if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), transport+" round trip 4: ") {
					t.Errorf("error is %v, want one of round trip 4 that says %q", err, want)
				}
				if m.hist.TotalCount() != 3 {
					t.Errorf("%d samples, want the 3 before the fault", m.hist.TotalCount())
				}
				if err := e.close(); (want == "EOF") != errors.Is(err, errBroken) {
					t.Errorf("closing tells of the server: %v", err)
				}
			})
		}
	}
}

func TestARawBurstNoticesFaults(t *testing.T) {
	for _, tc := range faults {
		for transport, want := range map[string]string{UDP: tc.udp, TCP: tc.tcp} {
			if want == "" {
				continue
			}
			if transport == UDP && tc.name == "cut short" { // it was asked for by none of the burst
				want = "response of 63 bytes, want 64"
			}
			t.Run(transport+" "+tc.name, func(t *testing.T) {
				s := Spec{Transport: transport, Op: Burst, Outstanding: 3}.WithDefaults()
				trip := answering(t, s, fourth(tc.change))
				m := newMeter(t)
				m.lossless = true
				e := &rawEngine{trip.raw, newRawBurst(trip)}
				err := e.run(m, time.Hour)
				if errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) { // what was not read yet makes a reset of an end
					err = errors.Join(err, io.EOF)
				}
				if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), transport+" round trip ") {
					t.Errorf("error is %v, want one that says %q", err, want)
				}
				if m.hist.TotalCount() != 3 {
					t.Errorf("%d samples, want the 3 of the burst before the fault", m.hist.TotalCount())
				}
				_ = e.close()
			})
		}
	}
}

// A response that comes after its time is no response to the next request, and the
// one it was to is counted.
func TestARawLateDatagramIsPassedOver(t *testing.T) {
	var late []byte
	trip := answering(t, Spec{Transport: UDP}.WithDefaults(), func(n int, message []byte) []byte {
		switch n {
		case 4:
			late = append(late, message...)
			return []byte{}
		case 5: // the answer to the fourth, which the client has given up
			return late
		}
		return message
	})
	m := newMeter(t)
	e := &rawEngine{trip.raw, oneByOneOf(trip.spec, trip)}
	for m.sequence < 4 {
		if err := e.run(m, 0); err != nil {
			t.Fatal(err)
		}
	}
	if m.lost != 1 || trip.owed != 1 || m.hist.Max() < int64(replyTimeout) {
		t.Errorf("%d lost, %d owed, longest %v", m.lost, trip.owed, time.Duration(m.hist.Max()))
	}
	if err := e.run(m, 0); err != nil { // 5 finds the late one, and its own never comes
		t.Fatal(err)
	}
	if err := e.run(m, 0); err != nil || m.lost != 2 {
		t.Errorf("%d lost, %v; want two", m.lost, err)
	}
	if err := e.close(); err != nil {
		t.Error(err)
	}
}

func TestARawFlowNoticesFaults(t *testing.T) {
	s := Spec{Transport: TCP, Flows: 3}.WithDefaults()
	for want, damage := range map[string]func(f *rawFlow){
		"carries sequence number": func(f *rawFlow) { f.request[0]++ },
		"differs from":            func(f *rawFlow) { f.request[len(f.request)-1]++ },
		"came twice":              func(f *rawFlow) { f.waiting = false },
	} {
		err := onRaw(t, s, func(e *rawEngine) error {
			f, m := e.client.(*rawFlows), newMeter(t)
			if err := f.ask(m, 1); err != nil {
				return err
			}
			damage(f.flows[1])
			var err error
			var waited patience
			for err == nil {
				if _, err = f.ready.wait(&waited, f.stop); err == nil {
					err = f.respond(m, 1, 0)
				}
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want one that says %q", err, want)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestAPingNoticesFaults(t *testing.T) {
	for _, transport := range []string{ICMP, ICMP6} {
		for want, damage := range map[string]func(p *rawPing){
			"carries sequence number":        func(p *rawPing) { p.answer[7]++ },
			"differs from":                   func(p *rawPing) { p.answer[len(p.answer)-1]++ },
			"response of 63 bytes, want 64":  func(p *rawPing) { p.answer = p.answer[:len(p.answer)-1] },
			"the response carries sequence ": func(p *rawPing) { p.answer[icmpHeaderBytes]++ },
		} {
			err := onRaw(t, Spec{Transport: transport}.WithDefaults(), func(e *rawEngine) error {
				p := e.client.(oneByOne).trip.(*rawPing)
				if err := errors.Join(p.roundTrip(1), p.verify(1)); err != nil {
					return err
				}
				damage(p)
				if err := p.verify(1); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), transport+" round trip 1: ") {
					t.Errorf("error is %v, want one that says %q", err, want)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
}

// A peer that stays silent keeps nobody when the context ends.
func TestTheContextEndsAWaitInTheKernel(t *testing.T) {
	for _, s := range []Spec{{Transport: TCP}, {Transport: UDP}, {Transport: Unix}, {Transport: Pipe}, {Transport: TCP, Engine: RawSpin}, {Transport: UDP, Op: Burst}} {
		s = s.WithDefaults()
		t.Run(s.Name(), func(t *testing.T) {
			asked := make(chan struct{}, 1000)
			trip := answering(t, s, func(int, []byte) []byte {
				asked <- struct{}{}
				return []byte{}
			})
			ctx, cancel := context.WithCancelCause(t.Context())
			m := newMeter(t)
			m.ctx = ctx
			watch := context.AfterFunc(ctx, func() { trip.stop.Store(true) })
			defer watch()
			go func() {
				<-asked
				cancel(errBroken)
			}()
			e := &rawEngine{trip.raw, oneByOneOf(s, trip)}
			if s.Op == Burst {
				e.client = newRawBurst(trip)
			}
			if err := e.run(m, time.Hour); !errors.Is(err, errBroken) || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("error is %v, want the cause of the cancellation", err)
			}
			if err := e.close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A listener may be found by others: the next client is served all the same.
func TestStrangersDoNotDisturbRaw(t *testing.T) {
	for _, op := range []string{CRR, CRRGraceful, Connect} {
		err := onRaw(t, Spec{Transport: TCP, Op: op}.WithDefaults(), func(e *rawEngine) error {
			f := e.client.(oneByOne).trip.(*rawFresh)
			stranger := &rawFresh{raw: e.raw, end: rawEnd{in: -1, out: -1, sockets: true, stop: e.stop}, to: f.to}
			if err := errors.Join(stranger.socket(), stranger.connect(), stranger.hangUpAs(CRRGraceful)); err != nil {
				return err
			}
			return e.run(newMeter(t), 5*time.Millisecond)
		})
		if err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
}

func TestAListenerThatIsGoneIsTold(t *testing.T) {
	s := Spec{Transport: TCP, Op: CRR}.WithDefaults()
	defer enoughProcessors()()
	e, err := openRaw(t.Context(), s, anywhere)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Shutdown(e.(*rawEngine).serverFiles[0], unix.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	err = e.run(newMeter(t), time.Hour)
	if err == nil || !strings.Contains(err.Error(), "tcp round trip ") || !(errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ECONNRESET)) {
		t.Errorf("error is %v, want one of a round trip that was refused", err)
	}
	served := e.(*rawEngine).served
	served <- <-served // it has ended, and says why, before it is told to
	if err := e.close(); err == nil || !strings.Contains(err.Error(), "server: accept") {
		t.Errorf("closing says %v, want what ended the server", err)
	}
}
