package bench

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestAServerThatIsKilledIsNamed(t *testing.T) {
	for _, s := range netSpecs() {
		t.Run(s.Name(), func(t *testing.T) {
			e := openedNet(t, t.Context(), s)
			m := newMeter(t)
			if err := e.run(m, time.Millisecond); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(10*time.Millisecond, func() { _ = e.server.command.Process.Kill() })
			defer timer.Stop()
			err := e.run(m, time.Hour)
			if err == nil || !strings.Contains(err.Error(), "the server died: signal: killed") {
				t.Errorf("error is %v, want one that says what became of the server", err)
			}
			if _, err := e.remote(); err == nil {
				t.Error("a server that is gone tells its usage")
			}
			if err := e.close(); err != nil {
				t.Errorf("closing says again what run has said: %v", err)
			}
		})
	}
}

func TestWhatAServerSaidIsTold(t *testing.T) {
	e := openedNet(t, t.Context(), Spec{Transport: TCP, Engine: NetConn}.WithDefaults())
	defer e.close()
	if _, err := fmt.Fprintln(e.server.stdin, "nonsense"); err != nil {
		t.Fatal(err)
	}
	err := e.run(newMeter(t), time.Hour)
	if err == nil || !strings.Contains(err.Error(), "the server died: exit status 1: what the server is told: invalid character") {
		t.Errorf("error is %v, want what the server said", err)
	}
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	for _, tc := range []struct {
		order order
		want  string
	}{
		{order{Transport: "sctp", Listeners: 1}, "sctp server: listen sctp: unknown network sctp"},
		{order{Transport: TCP}, "it names no address"},
		{order{Transport: Unix, Listeners: 1, Dir: "/nowhere"}, "no such file or directory"},
	} {
		_, err := startServer(t.Context(), tc.order, -1, func(error) {})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error is %v, want %q", tc.order, err, tc.want)
		}
	}
}

// Where Main was not called the server would be this program from its beginning.
func TestAProgramWithoutMainStartsNoServer(t *testing.T) {
	mainCalled.Store(false)
	defer mainCalled.Store(true)
	_, err := Measure(t.Context(), []Spec{{Transport: TCP, Engine: NetConn}}, short)
	if !errors.Is(err, errNoMain) {
		t.Errorf("error is %v, want %v", err, errNoMain)
	}
}

// A unix socket has a file where the system knows no abstract ones.
func TestTheFileOfASocketIsRemoved(t *testing.T) {
	for _, kill := range []bool{false, true} {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		p, err := startServer(t.Context(), order{Transport: Unix, Op: RR, SizeBytes: 64, Listeners: 1, Dir: dir}, -1, func(error) {})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("unix", p.hello.Addresses[0])
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		if kill {
			_ = p.command.Process.Kill()
			<-p.ended
		}
		if err := p.close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("killed %v: %s is there still (%v)", kill, dir, err)
		}
	}
}

func TestTheServersUsageIsTold(t *testing.T) {
	e := openedNet(t, t.Context(), Spec{Transport: TCP, Engine: NetConn}.WithDefaults())
	defer closeNet(t, e)
	before, err := e.remote()
	if err != nil {
		t.Fatal(err)
	}
	m := newMeter(t)
	if err := e.run(m, 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	after, err := e.remote()
	if err != nil {
		t.Fatal(err)
	}
	used := after.sub(before)
	if used.CPU <= 0 || used.Collections != 0 {
		t.Errorf("the server used %v and collected %d times in %d round trips", used.CPU, used.Collections, m.hist.TotalCount())
	}
	if runtime.GOOS != "linux" {
		return
	}
	if used.Looks < m.hist.TotalCount()/lookEvery-1 || used.Together < 0 || used.Together > used.Looks {
		t.Errorf("both ends were looked at %d times, and found on one processor %d times", used.Looks, used.Together)
	}
	if used.Voluntary <= 0 {
		t.Errorf("the server waited %d times", used.Voluntary)
	}
	for end, seen := range map[string]map[int]int64{"server": used.Seen, "client": used.ClientSeen} {
		looks := int64(0)
		for _, n := range seen {
			looks += n
		}
		if want := m.hist.TotalCount()/lookEvery - 1; looks < want {
			t.Errorf("the %s was looked at %d times in %d round trips", end, looks, m.hist.TotalCount())
		}
	}
}
