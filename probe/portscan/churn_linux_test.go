package portscan_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/probe/portscan"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
)

var churnScans = flag.Int("scans", 40, "full scans beside processes that open and close ports")

// roleVariable makes this binary open and close ports until its input ends.
const roleVariable = "PORTSCAN_TEST_ROLE"

const (
	// stable is always there, over TCP and UDP.
	stable = 8000
	// passing listeners come and go within this range, so that only there an
	// open port may or may not be true.
	passingFirst, passingLast = 20000, 20099
)

// churns are what the processes beside a scan do, again and again.
var churns = map[string]func() error{
	// Connections to a server, which take and leave ephemeral ports.
	"clients": func() error {
		s, err := sock.New(sock.TCP, sock.IPv4)
		if err != nil {
			return err
		}
		defer s.Close()
		err = s.Connect(context.Background(), sock.IPv4.Loopback(stable))
		if errors.Is(err, syscall.ECONNRESET) {
			return nil // it was accepted and ended already
		}
		return err
	},
	// Connections to random ephemeral ports: now and then to one's own, or to one
	// from which somebody connects at the same moment.
	"strays": func() error {
		s, err := sock.New(sock.TCP, sock.IPv4)
		if err != nil {
			return err
		}
		defer s.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Connect(ctx, sock.IPv4.Loopback(ephemeral()))
		return nil
	},
	// Sockets that are bound and do nothing, listeners that come and go, and
	// connected UDP sockets, which take datagrams of their peer only.
	"sockets": func() error {
		bound, err := sock.New(sock.TCP, sock.IPv4)
		if err != nil {
			return err
		}
		defer bound.Close()
		if err := bound.Bind(sock.IPv4.Loopback(0)); err != nil {
			return err
		}
		passing, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", passingFirst+rand.IntN(passingLast-passingFirst+1)))
		if err == nil {
			defer passing.Close()
		}
		conn, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", ephemeral()))
		if err != nil {
			return err
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("stray"))
		return nil
	},
}

func ephemeral() uint16 { return uint16(32768 + rand.IntN(28232)) }

// churn ends with the number of times that it did what it does.
func churn(role string) {
	var times atomic.Int64
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		fmt.Println(times.Load())
		os.Exit(0)
	}()
	fmt.Println("ready")
	for ; ; times.Add(1) {
		if err := churns[role](); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
}

// churning is what the scans beside the churn saw that cannot be.
type churning struct {
	Scans    int
	Engines  map[portscan.Engine]int
	Phantoms []string
	Misses   []string
	Others   []string
	Passing  int // listeners that came and went and were seen
	// Churned is how often each process did what it does.
	Churned map[string]int
}

// churned scans n times beside the processes, in the sandbox's own namespace.
var churned = sandbox.Register("portscan/churned", func(ctx context.Context, _ *sandbox.Inside, n int) (result churning, err error) {
	result = churning{Engines: map[portscan.Engine]int{}, Churned: map[string]int{}}
	if err := serveStable(ctx); err != nil {
		return result, err
	}
	for role := range churns {
		cmd := exec.CommandContext(ctx, "/proc/self/exe")
		cmd.Env = []string{roleVariable + "=" + role}
		cmd.Stderr = os.Stderr
		stdin, inErr := cmd.StdinPipe()
		stdout, outErr := cmd.StdoutPipe()
		if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
			return result, err
		}
		lines := bufio.NewReader(stdout)
		if _, err := lines.ReadString('\n'); err != nil {
			return result, fmt.Errorf("%s: %w", role, err)
		}
		defer func() {
			stdin.Close()
			line, _ := lines.ReadString('\n')
			_ = cmd.Wait()
			times, convErr := strconv.Atoi(strings.TrimSpace(line))
			if convErr != nil && err == nil {
				err = fmt.Errorf("%s ended early: %s", role, line)
			}
			result.Churned[role] = times
		}()
	}
	for ; result.Scans < n; result.Scans++ {
		e := engines[result.Scans%len(engines)]
		r, err := portscan.Scan(ctx, portscan.Options{Protocol: e.kind, Addr: netip.MustParseAddr("127.0.0.1"), Engine: e.engine})
		if err != nil {
			return result, err
		}
		result.Engines[r.Engine]++
		for port := range r.Having(portscan.Open).All() {
			switch {
			case port == stable:
			case port >= passingFirst && port <= passingLast:
				result.Passing++
			default:
				result.Phantoms = append(result.Phantoms, fmt.Sprintf("scan %d, %s: %d", result.Scans, e.engine, port))
			}
		}
		if answer := r.At(stable); answer.State != portscan.Open {
			result.Misses = append(result.Misses, fmt.Sprintf("scan %d, %s: %s", result.Scans, e.engine, answer.State))
		}
		for _, part := range r.Ranges() {
			if part.Answer.State != portscan.Open && part.Answer.State != portscan.Closed {
				result.Others = append(result.Others, fmt.Sprintf("scan %d, %s: %s %s", result.Scans, e.engine, part.Range, part.Answer.Text(r.Addr)))
			}
		}
	}
	return result, nil
})

// serveStable accepts connections and echoes datagrams until the context ends.
func serveStable(ctx context.Context) error {
	listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", stable))
	if err != nil {
		return err
	}
	conn, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", stable))
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() {
		listener.Close()
		conn.Close()
	})
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			// Its client has ended it, or does so now; a FIN from here would keep its
			// port in TIME_WAIT.
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}()
	go func() {
		for buf := make([]byte, 100); ; {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(buf[:n], from)
		}
	}()
	return nil
}

// A scan beside processes that open and close ephemeral ports reports no port
// open where nobody listened, and misses none that is always there.
func TestNoPhantomsAndNoMisses(t *testing.T) {
	s := world(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	start := time.Now()
	r, err := churned.Call(ctx, s, "", *churnScans)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d scans in %v, by engine %v; %d passing listeners seen; beside them %v", r.Scans, time.Since(start).Round(time.Millisecond), r.Engines, r.Passing, r.Churned)
	same(t, "phantoms", r.Phantoms, nil)
	same(t, "misses", r.Misses, nil)
	same(t, "neither open nor closed", r.Others, nil)
	for role := range churns {
		if r.Churned[role] < r.Scans {
			t.Errorf("%s did what it does %d times beside %d scans", role, r.Churned[role], r.Scans)
		}
	}
}
