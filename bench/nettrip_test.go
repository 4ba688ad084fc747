package bench

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shortly is the reply timeout of clients whose server is scripted.
const shortly = 20 * time.Millisecond

// scriptedDatagrams connects a client to a server that treats each datagram as a
// broken stack might: it sends what answer returns for the n-th.
func scriptedDatagrams(t *testing.T, answer func(n int, message []byte) [][]byte) *netConn {
	t.Helper()
	server, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(serverAddress(UDP)))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUDP("udp4", nil, server.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		message := make([]byte, DefaultSizeBytes)
		for k := 1; ; k++ {
			size, from, err := server.ReadFromUDPAddrPort(message)
			if err != nil {
				served <- nil
				return
			}
			for _, reply := range answer(k, message[:size]) {
				if _, err := server.WriteToUDPAddrPort(reply, from); err != nil {
					served <- err
					return
				}
			}
		}
	}()
	n := newNetConn(t.Context(), Spec{Transport: UDP}.WithDefaults(), 0)
	n.timeout = shortly
	n.use(conn)
	t.Cleanup(func() {
		if err := errors.Join(n.close(), server.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return n
}

// scriptedStream connects a client to a server that answers each message as it is
// told, and hangs up where that is nil.
func scriptedStream(t *testing.T, answer func(n int, message []byte) []byte) *netConn {
	t.Helper()
	listener, err := net.Listen("tcp4", serverAddress(TCP).String())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		message := make([]byte, DefaultSizeBytes)
		for k := 1; ; k++ {
			if _, err := io.ReadFull(conn, message); err != nil {
				served <- nil
				return
			}
			reply := answer(k, message)
			_, err := conn.Write(reply)
			if reply == nil || err != nil {
				served <- err
				return
			}
		}
	}()
	conn, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n := newNetConn(t.Context(), Spec{Transport: TCP}.WithDefaults(), 0)
	n.timeout = shortly
	n.use(conn)
	t.Cleanup(func() {
		if err := errors.Join(n.close(), listener.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return n
}

// fourth changes the answer to the fourth message.
func fourth(change func(message []byte) []byte) func(int, []byte) []byte {
	return func(n int, message []byte) []byte {
		if n == 4 {
			return change(message)
		}
		return message
	}
}

// faults are what may become of a response, and how that is told.
var faults = []struct {
	name   string
	change func(message []byte) []byte
	udp    string
	tcp    string // "" where a stream knows no such thing
}{
	{"lost", func([]byte) []byte { return []byte{} }, "no response within", "no response within"},
	{"of another request", func(m []byte) []byte { m[sequenceBytes-1] = 3; return m }, "carries sequence number 3", "carries sequence number 3"},
	{"altered", func(m []byte) []byte { m[len(m)-1]++; return m }, "differs from its request", "differs from its request"},
	{"cut short", func(m []byte) []byte { return m[:len(m)-1] }, "response of 63 bytes, want 64", "no response within"},
	{"too long", func(m []byte) []byte { return append(m, 0) }, "response of 65 bytes, want 64", ""},
	{"and the end", func([]byte) []byte { return nil }, "", "EOF"},
}

func TestAFaultIsAnErrorThatNamesTheSequenceNumber(t *testing.T) {
	for _, tc := range faults {
		for transport, want := range map[string]string{UDP: tc.udp, TCP: tc.tcp} {
			if want == "" {
				continue
			}
			t.Run(transport+" "+tc.name, func(t *testing.T) {
				var n *netConn
				answer := fourth(tc.change)
				if transport == UDP {
					n = scriptedDatagrams(t, func(k int, message []byte) [][]byte {
						if reply := answer(k, message); len(reply) > 0 {
							return [][]byte{reply}
						}
						return nil
					})
				} else {
					n = scriptedStream(t, answer)
				}
				m := newMeter(t)
				m.lossless = true
				err := oneByOneOf(Spec{Transport: transport}, n).run(m, time.Hour)
				if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), transport+" round trip 4 to 127.0.0.1:") {
					t.Errorf("error is %v, want one of round trip 4 that says %q", err, want)
				}
				if m.hist.TotalCount() != 3 {
					t.Errorf("%d samples, want the 3 before the fault", m.hist.TotalCount())
				}
			})
		}
	}
}

// An answer that comes after its time is no answer to the next request.
func TestALateDatagramIsPassedOver(t *testing.T) {
	var late []byte
	n := scriptedDatagrams(t, func(k int, message []byte) [][]byte {
		switch k {
		case 4:
			late = append(late, message...)
			return nil
		case 5:
			return [][]byte{late, message}
		}
		return [][]byte{message}
	})
	m := newMeter(t)
	o := oneByOneOf(Spec{Transport: UDP}, n)
	for m.sequence < 10 {
		if err := o.run(m, 0); err != nil {
			t.Fatal(err)
		}
	}
	if m.lost != 1 || m.hist.TotalCount() != int64(m.sequence) || n.owed != 0 {
		t.Errorf("%d lost, %d owed, %d samples of %d; want one lost", m.lost, n.owed, m.hist.TotalCount(), m.sequence)
	}
}

func TestABurstNoticesFaults(t *testing.T) {
	s := Spec{Transport: TCP, Op: Burst, Outstanding: 3}.WithDefaults()
	for _, tc := range faults {
		if tc.tcp == "" {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			b := newBurst(scriptedStream(t, fourth(tc.change)), s)
			m := newMeter(t)
			err := b.run(m, time.Hour)
			if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) { // what was not read yet makes a reset of an end
				err = fmt.Errorf("%w: %w", err, io.EOF)
			}
			if err == nil || !strings.Contains(err.Error(), tc.tcp) || !strings.Contains(err.Error(), "tcp round trip ") {
				t.Errorf("error is %v, want one that says %q", err, tc.tcp)
			}
			if m.hist.TotalCount() != 3 {
				t.Errorf("%d samples, want the 3 of the burst before the fault", m.hist.TotalCount())
			}
		})
	}
}

// After a standstill of the whole machine the timer has expired before the server
// has had a chance to answer.
func TestAnExpiredTimerIsNoLostResponse(t *testing.T) {
	for _, transport := range []string{TCP, UDP, Unix, TLS} {
		t.Run(transport, func(t *testing.T) {
			e := openedNet(t, t.Context(), Spec{Transport: transport, Engine: NetConn}.WithDefaults())
			defer closeNet(t, e)
			n := e.netClient.(lone).closer.(*netConn)
			expired := []func(time.Time) error{n.conn.SetReadDeadline, n.conn.SetWriteDeadline}
			if transport == TLS { // whose writes have more time
				expired = expired[:1]
			}
			for i, expire := range expired {
				if err := n.keepWaiting(); err != nil {
					t.Fatal(err)
				}
				if err := expire(time.Now().Add(-time.Second)); err != nil {
					t.Fatal(err)
				}
				sequence := uint64(i + 1)
				if err := errors.Join(n.roundTrip(sequence), n.verify(sequence)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestAStreamThatDoesNotArriveIsAnError(t *testing.T) {
	e := openedNet(t, t.Context(), Spec{Transport: TCP, Op: Stream, Engine: NetConn}.WithDefaults())
	defer closeNet(t, e)
	stream := e.netClient.(*netStream)
	// What is written goes to a listener that reads nothing and is not the server.
	listener, err := net.Listen("tcp4", serverAddress(TCP).String())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	elsewhere, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.conn.Close()
	stream.use(elsewhere)
	if err := e.run(newMeter(t), 0); !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "tcp stream to 127.0.0.1:") {
		t.Errorf("error is %v, want that nothing arrived", err)
	}
}

func TestFlowsDoNotMixUp(t *testing.T) {
	for _, size := range []int{1, sequenceBytes, 64} {
		a, b := newPayload(size, 0), newPayload(size, 1)
		mark(a, 7)
		mark(b, 7)
		if same := differs(a, b) == nil; same != (size <= sequenceBytes) {
			t.Errorf("of %d bytes, the same request of two flows is the same: %v", size, same)
		}
	}
}
