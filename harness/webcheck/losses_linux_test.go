package webcheck

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
)

// shortListener is one whose backlog is that of Python's servers.
func shortListener(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	raw, err := listener.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var listenErr error
	if err := raw.Control(func(fd uintptr) { listenErr = syscall.Listen(int(fd), 5) }); err != nil || listenErr != nil {
		t.Fatal(err, listenErr)
	}
	return listener
}

// once answers one request of a connection.
func once(conn net.Conn, status string) {
	defer conn.Close()
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	}
}

// silence is how long an answer may take under load. It ends before the kernel asks
// again for a connection that found the queue full, which it does after a second.
const silence = 600 * time.Millisecond

// loaded is what is said of a server after one load of many connections, before which
// it is told.
func loaded(t *testing.T, listener net.Listener, cold bool, told func()) report.Check {
	t.Helper()
	i, err := newInspector(Options{Target: target(t, "http://"+listener.Addr().String()), Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	if i.open(t.Context()); i.pageErr != nil {
		t.Fatal(i.pageErr)
	}
	i.close()
	i.Timeout = silence
	i.page.Timings.Total = time.Millisecond // or a busy machine gives each request the time to come again
	told()
	if i.loadErr = i.measure(t.Context(), cold, manyConnections); i.loadErr != nil {
		t.Fatal(i.loadErr)
	}
	c := report.Check{State: check.Pass}
	i.judgeLoads(&c)
	return c
}

// serveBurst serves one connection at a time, with a status that may change. Once it
// is told, it keeps the next one waiting until many more have found the queue full.
func serveBurst(listener net.Listener, status func() string) (tell func()) {
	var until atomic.Int64
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			for overflowed() < until.Load() {
				runtime.Gosched()
			}
			once(conn, status())
		}
	}()
	return func() { until.Store(overflowed() + manyConnections/2) }
}

func TestAShortQueueExplainsWhatIsLost(t *testing.T) {
	listener := shortListener(t)
	c := loaded(t, listener, true, serveBurst(listener, func() string { return "200 OK" }))
	if c.State != check.Warn || !strings.Contains(c.Message, "failed: "+turnedAway) {
		t.Errorf("%s: %s", c.State, c.Message)
	}
	if len(c.Causes) != 1 || !strings.Contains(c.Causes[0].Summary, "a backlog of 5, where 64 came at once") || len(c.Remedies) != 1 || !strings.Contains(c.Remedies[0].Note, "request_queue_size") {
		t.Errorf("causes %+v, remedies %+v", c.Causes, c.Remedies)
	}
}

// What else goes wrong is not the queue's.
func TestAShortQueueExplainsNotAllThatIsLost(t *testing.T) {
	t.Run("another status", func(t *testing.T) {
		listener := shortListener(t)
		var asked atomic.Int64
		c := loaded(t, listener, true, serveBurst(listener, func() string {
			if asked.Add(1) == 2 {
				return "503 Service Unavailable"
			}
			return "200 OK"
		}))
		if c.State != check.Fail || len(c.Causes) > 0 {
			t.Errorf("%s: %s\ncauses %+v", c.State, c.Message, c.Causes)
		}
	})
	t.Run("connections that are kept", func(t *testing.T) {
		listener := shortListener(t)
		go inTurn(listener, keepAlive)
		c := loaded(t, listener, false, func() {})
		if c.State != check.Fail || len(c.Causes) > 0 {
			t.Errorf("%s: %s\ncauses %+v", c.State, c.Message, c.Causes)
		}
	})
}
