package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/bench"
)

func TestMain(m *testing.M) {
	bench.Main()
	if code, is := serveAsPeer(os.Args[1:], os.Stdout, os.Stderr); is {
		os.Exit(code)
	}
	play()
	m.Run()
}

// What a played program is told by its environment.
const (
	playPart   = "PEERS_PLAY"        // what it does
	playSocket = "PEERS_PLAY_SOCKET" // the unix socket of a stage
	playOutput = "PEERS_PLAY_OUTPUT" // a file that a client prints
)

// Parts.
const (
	well        = "well"         // serves, and prints what it should
	wellOnce    = "well once"    // does so the first time, and hangs the second
	fails       = "fails"        // the client says why, and exits with 1
	hangs       = "hangs"        // the client never ends, nor does what it starts
	noServer    = "no server"    // the server says why, and exits with 3
	deafServer  = "deaf server"  // the server opens no port
	serverFails = "server fails" // the server exits with 4 once it is asked, the client never ends
	serverAway  = "server away"  // the server ends without a word
)

// play plays sockperf, or this program itself, where the test binary goes by their
// name.
func play() {
	part := os.Getenv(playPart)
	switch filepath.Base(os.Args[0]) {
	case "peers":
		main()
	case "sockperf":
		if os.Args[1] == "server" {
			serve(part, os.Args[slices.Index(os.Args, "-p")+1])
		}
		ask(part, os.Args[slices.Index(os.Args, "-p")+1])
	case "idler":
		hang()
	}
}

func quit(code int, said string) {
	fmt.Fprintln(os.Stderr, said)
	os.Exit(code)
}

func serve(part, port string) {
	switch part {
	case noServer:
		quit(3, "sockperf: no such device")
	case serverAway:
		os.Exit(0)
	case deafServer:
		hang()
	}
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, port))
	if err != nil {
		quit(9, err.Error())
	}
	for {
		c, err := l.Accept()
		if err != nil {
			quit(9, err.Error())
		}
		if part == serverFails {
			quit(4, "sockperf: out of memory")
		}
		c.Close()
	}
}

func ask(part, port string) {
	switch part {
	case fails:
		quit(1, "sockperf: connection refused")
	case serverFails:
		if _, err := net.Dial("tcp", net.JoinHostPort(loopback, port)); err != nil {
			quit(9, err.Error())
		}
		hang()
	case hangs:
		child := exec.Command(filepath.Join(filepath.Dir(os.Getenv(playSocket)), "idler"))
		if err := child.Start(); err != nil {
			quit(9, err.Error())
		}
		hang()
	case wellOnce:
		if os.Mkdir(os.Getenv(playSocket)+".once", 0o755) != nil {
			hang()
		}
	}
	content, err := os.ReadFile(os.Getenv(playOutput))
	if err != nil {
		quit(9, err.Error())
	}
	os.Stdout.Write(content)
	os.Exit(0)
}

// hang tells the stage that it is there, and never ends.
func hang() {
	c, err := net.Dial("unix", os.Getenv(playSocket))
	if err != nil {
		quit(9, err.Error())
	}
	_, _ = io.Copy(io.Discard, c)
	quit(9, "the stage is gone")
}

// stage is where programs are played.
type stage struct {
	t        *testing.T
	folder   string
	listener *net.UnixListener
}

// newStage makes sockperf, for this test, a program that plays a part.
func newStage(t *testing.T, part string) *stage {
	t.Helper()
	folder := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"peers", "sockperf", "idler"} {
		if err := os.Symlink(self, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(folder, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	output, err := filepath.Abs(filepath.Join("testdata", "sockperf-tcp.txt"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder)
	t.Setenv(playPart, part)
	t.Setenv(playSocket, socket)
	t.Setenv(playOutput, output)
	return &stage{t, folder, listener}
}

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// hanging waits for a program that hangs.
func (s *stage) hanging() *net.UnixConn {
	s.t.Helper()
	if err := s.listener.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	c, err := s.listener.AcceptUnix()
	if err != nil {
		s.t.Fatalf("no program hangs: %v", err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// gone fails the test unless the program at the other end is dead.
func (s *stage) gone(c *net.UnixConn) {
	s.t.Helper()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		s.t.Errorf("a program is left running: %v", err)
	}
}

// peers starts this program, with temporary files of its own.
func (s *stage) peers(stdout, stderr io.Writer, args ...string) (p *exec.Cmd, temporary string) {
	s.t.Helper()
	temporary = s.t.TempDir()
	p = exec.Command(filepath.Join(s.folder, "peers"), args...)
	p.Env = append(os.Environ(), "TMPDIR="+temporary)
	p.Stdout, p.Stderr = stdout, stderr
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.Start(); err != nil {
		s.t.Fatal(err)
	}
	return p, temporary
}

// empty fails the test if a folder holds something.
func (s *stage) empty(folder string) {
	s.t.Helper()
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		s.t.Errorf("%v is left behind (%v)", left, err)
	}
}
