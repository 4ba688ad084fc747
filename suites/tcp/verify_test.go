package tcp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"

	"github.com/loopcheck/loopcheck/probe/echo"
)

func TestVerifierTakesThePattern(t *testing.T) {
	g := NewWithT(t)
	v := newVerifier(pattern(1, 2))
	n, err := io.Copy(v, io.LimitReader(pattern(1, 2), 3*flowBuffer+5))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n).To(BeNumerically("==", 3*flowBuffer+5))
	g.Expect(v.seen).To(Equal(n))
}

func TestVerifierFindsOneWrongByte(t *testing.T) {
	for _, at := range []int{0, 1, flowBuffer - 1, flowBuffer, flowBuffer + 1, 2*flowBuffer - 1} {
		g := NewWithT(t)
		data := make([]byte, 2*flowBuffer)
		_, _ = io.ReadFull(pattern(1, 2), data)
		data[at] ^= 1
		// In one piece and in small ones.
		for _, chunk := range []int{len(data), 1000} {
			v := newVerifier(pattern(1, 2))
			n, err := io.CopyBuffer(plainWriter{v}, plainReader{bytes.NewReader(data)}, make([]byte, chunk))
			g.Expect(err).To(MatchError(MatchRegexp(`^byte %d is 0x`, at)))
			g.Expect(n).To(BeNumerically("==", at))
		}
	}
}

func TestVerifierFindsALostAndADoubledByte(t *testing.T) {
	data := make([]byte, 1000)
	_, _ = io.ReadFull(pattern(1, 2), data)
	for name, wrong := range map[string][]byte{
		"lost":    append(bytes.Clone(data[:500]), data[501:]...),
		"doubled": append(bytes.Clone(data[:500]), data[499:]...),
		"astray":  append(bytes.Clone(data[:500]), message(1, 3)...),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newVerifier(pattern(1, 2)).Write(wrong)
			NewWithT(t).Expect(err).To(MatchError(MatchRegexp(`^byte 50\d is`)))
		})
	}
}

func TestVerifierFindsMoreThanWanted(t *testing.T) {
	v := newVerifier(bytes.NewReader([]byte("ab")))
	_, err := v.Write([]byte("abc"))
	NewWithT(t).Expect(err).To(HaveOccurred())
}

func TestSizesSpanTheRange(t *testing.T) {
	g := NewWithT(t)
	list := sizes(7, 64, 1<<20)
	g.Expect(list).To(HaveLen(64))
	g.Expect(list).To(HaveEach(And(BeNumerically(">=", 1), BeNumerically("<=", 1<<20))))
	g.Expect(list).To(ContainElements(1, 1<<20))
	g.Expect(list).To(Equal(sizes(7, 64, 1<<20)), "the seed decides")
	g.Expect(list).NotTo(Equal(sizes(8, 64, 1<<20)))
}

// soon bounds what has to happen at once on loopback.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// relay stands between a client and a server and lets the function alter the
// stream that comes back, given where in it the bytes are.
func relay(t *testing.T, to netip.AddrPort, alter func(conn int, at int64, p []byte) []byte) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running errgroup.Group
	t.Cleanup(func() {
		listener.Close()
		_ = running.Wait()
	})
	running.Go(func() error {
		for number := 0; ; number++ {
			near, err := listener.Accept()
			if err != nil {
				return nil
			}
			far, err := net.Dial("tcp4", to.String())
			if err != nil {
				near.Close()
				continue
			}
			running.Go(func() error {
				defer far.(*net.TCPConn).CloseWrite()
				_, err := io.Copy(far, near)
				return err
			})
			running.Go(func() error {
				defer near.Close()
				defer far.Close()
				buf := make([]byte, 4096)
				for at := int64(0); ; {
					n, err := far.Read(buf)
					if err != nil {
						return nil
					}
					if _, err := near.Write(alter(number, at, buf[:n])); err != nil {
						return nil
					}
					at += int64(n)
				}
			})
		}
	})
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

func TestHeldConnectionsFindATamperedServer(t *testing.T) {
	server, err := echo.TCP(t.Context(), netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	// The second message of the fourth connection, when all are open.
	const connection, at = 3, heldMessage
	for name, c := range map[string]struct {
		alter func(int, int64, []byte) []byte
		want  string
	}{
		"untouched": {func(_ int, _ int64, p []byte) []byte { return p }, ""},
		"one bit": {func(conn int, from int64, p []byte) []byte {
			if conn == connection && from >= at {
				p[0] ^= 1
			}
			return p
		}, "connection 4 of 8, when all were open: the echo is"},
		"nothing": {func(conn int, from int64, p []byte) []byte {
			if conn == connection && from < at {
				return nil
			}
			return p
		}, "connection 4 of 8, when it was opened: read the echo, 0 bytes of 64"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			opened, err := hold(ctx, relay(t, server.Addr(), c.alter), 1, 8)
			if c.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(opened).To(Equal(8))
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(c.want)))
		})
	}
}

func TestFlowFindsATamperedStream(t *testing.T) {
	const size = 100_000
	for name, c := range map[string]struct {
		alter func(int, int64, []byte) []byte
		want  string
	}{
		"untouched": {func(_ int, _ int64, p []byte) []byte { return p }, ""},
		"one bit": {func(_ int, from int64, p []byte) []byte {
			if at := 70_000 - from; at >= 0 && at < int64(len(p)) {
				p[at] ^= 0x80
			}
			return p
		}, "flow 5 of 100000 bytes, client receives: byte 70000 is"},
		"one byte more": {func(_ int, from int64, p []byte) []byte {
			if from+int64(len(p)) == size {
				return append(p, 'x')
			}
			return p
		}, "flow 5 of 100000 bytes, client receives: "},
		"end missing": {func(_ int, from int64, p []byte) []byte {
			return p[:min(int64(len(p)), max(0, size-1-from))]
		}, "ended after 99999 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			g, ctx := NewWithT(t), soon(t)
			listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
			g.Expect(err).NotTo(HaveOccurred())
			defer listener.Close()
			near, err := net.Dial("tcp4", relay(t, listener.Addr().(*net.TCPAddr).AddrPort(), c.alter).String())
			g.Expect(err).NotTo(HaveOccurred())
			defer near.Close()
			far, err := listener.AcceptTCP()
			g.Expect(err).NotTo(HaveOccurred())
			defer far.Close()

			group, running := errgroup.WithContext(ctx)
			f := &flow{client: near.(*net.TCPConn), server: far, seed: 1, stream: 5, size: size}
			f.run(running, group)
			err = group.Wait()
			if c.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(c.want)))
			g.Expect(errors.Is(err, context.DeadlineExceeded)).To(BeFalse())
		})
	}
}
