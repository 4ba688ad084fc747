package leftovers

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// own watches the test process: its descendants, and what it holds itself.
func own(folders ...Folder) Watch { return Watch{Root: os.Getpid(), Folders: folders} }

func TestUndisturbedMachineIsClean(t *testing.T) {
	w := own(Folder{Path: t.TempDir(), Whole: true, Strict: true})
	before := take(t, w)
	mustBeClean(t, Compare(before, take(t, w)))
	if os.Geteuid() == 0 {
		for _, kind := range Kinds {
			if reason := before.areas[kind].blind; reason != "" {
				t.Errorf("root cannot look at %s: %s", kind, reason)
			}
		}
	}
	for _, kind := range []Kind{Process, Namespace, Sysctl, Link, Route, Mount} {
		if len(before.areas[kind].entries) == 0 {
			t.Errorf("no %s was found on a running machine", kind)
		}
	}
}

func TestNamesOrphan(t *testing.T) {
	w := own()
	before := take(t, w)
	parent, stdout := start(t, playParent, nil)
	if err := parent.Wait(); err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(stdout.String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Kill(pid, unix.SIGKILL)
		if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
			t.Errorf("reap the orphan: %v", err)
		}
	})
	mustFind(t, Compare(before, take(t, w)), want{Process, Left, fmt.Sprintf("pid %d (", pid)})

	listed, err := w.Processes()
	if err != nil {
		t.Fatal(err)
	}
	if len(listed) != 1 || listed[0].PID != pid || listed[0].PPID != os.Getpid() {
		t.Errorf("processes: got %+v, want the orphan %d alone, handed to %d", listed, pid, os.Getpid())
	}
}

func TestNamesMarkedProcessAndNotThatOfOthers(t *testing.T) {
	const mark = "LEFTOVERS_TEST_MARK=of one run"
	marked, unrelated := Watch{Mark: mark}, Watch{Mark: mark + " more"}
	beforeMarked, beforeUnrelated := take(t, marked), take(t, unrelated)
	cmd, _ := start(t, playHolder, nil, mark)
	mustFind(t, Compare(beforeMarked, take(t, marked)), want{Process, Left, fmt.Sprintf("pid %d (", cmd.Process.Pid)})
	mustBeClean(t, Compare(beforeUnrelated, take(t, unrelated)))
}

func TestNamesZombieUntilItIsReaped(t *testing.T) {
	w := own()
	before := take(t, w)
	cmd, _ := start(t, playHolder, nil)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// Waits until it has ended, and leaves it unreaped.
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	mustFind(t, Compare(before, take(t, w)), want{Process, Left, "zombie"})

	looks := 0
	_, differences, err := w.Settle(t.Context(), before, func() {
		if looks++; looks == 2 {
			_ = cmd.Wait()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	mustBeClean(t, differences)
	if looks < 2 {
		t.Errorf("settled after %d looks with the zombie there", looks)
	}
}

func TestNamesNamespacesOfProcess(t *testing.T) {
	w := own()
	before := take(t, w)
	start(t, playHolder, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWUTS})
	mustFind(t, Compare(before, take(t, w)),
		want{Process, Left, "pid"},
		want{Namespace, Left, "net:["}, want{Namespace, Left, "user:["}, want{Namespace, Left, "uts:["})
}

func TestNamesSockets(t *testing.T) {
	w := own()
	before := take(t, w)

	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	client, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	path := filepath.Join(t.TempDir(), "socket")
	unixListener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unixListener.Close() })

	mustFind(t, Compare(before, take(t, w)),
		want{Socket, Left, "tcp LISTEN " + listener.Addr().String()},
		want{Socket, Left, "tcp ESTABLISHED " + client.LocalAddr().String() + " to " + listener.Addr().String()},
		want{Socket, Left, "udp " + udp.LocalAddr().String()},
		want{Socket, Left, "unix " + path})
}

func TestSocketsOfOthersAreTheirs(t *testing.T) {
	w := Watch{Mark: "LEFTOVERS_TEST_MARK=nobody has it"}
	before := take(t, w)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	mustBeClean(t, Compare(before, take(t, w)))
}

func TestTimeWaitIsNoLeak(t *testing.T) {
	w := own()
	before := take(t, w)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	local := client.LocalAddr().(*net.TCPAddr)
	client.Close() // the side that closes first waits
	if n, err := server.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatalf("read %d bytes, %v from a closed connection", n, err)
	}
	server.Close()
	listener.Close()

	mustBeClean(t, settle(t, w, before))
	table, err := os.ReadFile("/proc/thread-self/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	waiting := false
	for line := range bytes.Lines(table) {
		fields := strings.Fields(string(line))
		if len(fields) > 3 && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", local.Port)) {
			waiting = waiting || fields[3] == "06"
		}
	}
	if !waiting {
		t.Errorf("the connection of port %d is not in TIME_WAIT, so nothing was shown", local.Port)
	}
}

func TestNamesFiles(t *testing.T) {
	shared, private := t.TempDir(), t.TempDir()
	for _, name := range []string{"kept", "edited", "removed"} {
		if err := os.WriteFile(filepath.Join(private, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(shared, "of another"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w := own(Folder{Path: shared}, Folder{Path: private, Whole: true, Strict: true})
	w.Ignore = []string{filepath.Join(private, "reports")}
	before := take(t, w)

	plant := func(parts ...string) {
		path := filepath.Join(parts...)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("planted"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plant(shared, "new folder", "file")
	plant(private, "below", "deep", "file")
	plant(private, "reports", "latest", "report.json")
	plant(private, "edited")
	for _, path := range []string{filepath.Join(shared, "of another"), filepath.Join(private, "removed")} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	got := Compare(before, take(t, w))
	mustFind(t, got,
		want{File, Left, filepath.Join(shared, "new folder")},
		want{File, Left, filepath.Join(private, "below")},
		want{File, Left, filepath.Join(private, "below/deep/file")},
		want{File, Changed, filepath.Join(private, "edited")},
		want{File, Gone, filepath.Join(private, "removed")})
	if len(got) != 6 { // those five and the folder in between
		t.Errorf("got %d differences, want 6: %q", len(got), lines(got))
	}
}

func TestFilesOthersWorkWithAreTheirs(t *testing.T) {
	shared := t.TempDir()
	w := Watch{Mark: "LEFTOVERS_TEST_MARK=nobody has it", Folders: []Folder{{Path: shared}}}
	before := take(t, w)
	held, err := os.Create(filepath.Join(shared, "held"))
	if err != nil {
		t.Fatal(err)
	}
	mustBeClean(t, Compare(before, take(t, w)))
	held.Close()
	mustFind(t, Compare(before, take(t, w)), want{File, Left, held.Name()})
}
