package services

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

const (
	// startTimeout is for a database that makes its files on a busy machine.
	startTimeout = time.Minute
	// stopTimeout is for one that writes them.
	stopTimeout = 30 * time.Second
	// nobody is whom the servers run as where root tests: some refuse root.
	nobody = 65534
)

// program finds one, or skips with the Debian package that has it.
func program(t *testing.T, pkg string, patterns ...string) string {
	t.Helper()
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			return found[len(found)-1]
		}
	}
	t.Skipf("%s is not installed: package %s", filepath.Base(patterns[0]), pkg)
	return ""
}

// folder is one that the servers can write to.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	give(t, dir)
	// The one around it is the test's alone.
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// give makes a file the servers' own.
func give(t *testing.T, path string) {
	t.Helper()
	if os.Geteuid() == 0 {
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	give(t, path)
}

// attributes are those of a server: not root, and dead when the thread is that
// started it.
func attributes() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		attributes.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return attributes
}

// prepare runs what makes a server's files.
func prepare(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr, cmd.Dir = attributes(), dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// free is a port below the ephemeral range, of which nobody else here is given
// one, that nobody listens on.
func free(t *testing.T) netip.AddrPort {
	t.Helper()
	for range 100 {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(20000+rand.IntN(12000)))
		if listener, err := net.Listen("tcp", at.String()); err == nil {
			listener.Close()
			return at
		}
	}
	t.Fatal("no port is free")
	return netip.AddrPort{}
}

// server is a program that a test runs.
type server struct {
	cmd    *exec.Cmd
	log    bytes.Buffer
	at     netip.AddrPort
	leave  syscall.Signal
	exited chan error
}

// start runs a server until the test ends, or until it is stopped.
func start(t *testing.T, at netip.AddrPort, dir string, leave syscall.Signal, env []string, name string, args ...string) *server {
	t.Helper()
	s := &server{cmd: exec.Command(name, args...), at: at, leave: leave, exited: make(chan error, 1)}
	s.cmd.SysProcAttr, s.cmd.Dir = attributes(), dir
	s.cmd.Env = append(append(os.Environ(), "HOME="+dir, "TMPDIR="+dir), env...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	runtime.LockOSThread() // the parent whose death ends it is the thread
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() { s.exited <- s.cmd.Wait() }()
	t.Cleanup(func() {
		s.stop(t)
		runtime.UnlockOSThread()
	})
	return s
}

// stop ends the server, and sees that nobody listens afterwards.
func (s *server) stop(t *testing.T) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(s.leave)
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		t.Errorf("%s does not end", s.cmd.Path)
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	s.cmd = nil
	if conn, err := net.Dial("tcp", s.at.String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("somebody still listens on %s: %v", s.at, err)
		if err == nil {
			conn.Close()
		}
	}
	if t.Failed() {
		t.Logf("%s", s.log.Bytes())
	}
}

// judged asks until the server has started, and checks what it then says.
func (s *server) judged(t *testing.T, service string, want Openness, asked, seen string) Greeting {
	t.Helper()
	g := NewWithT(t)
	var got Greeting
	g.Eventually(func() error {
		select {
		case err := <-s.exited:
			s.exited <- err
			return StopTrying("the server has ended").Wrap(err)
		default:
		}
		var err error
		if got, err = known(t, service).Ask(t.Context(), s.at); err != nil {
			return err
		}
		if got.Openness == Unclear {
			return errors.New(got.Seen)
		}
		return nil
	}).WithTimeout(startTimeout).Should(Succeed())
	g.Expect(got.Openness).To(Equal(want), got.Seen)
	g.Expect(got.Asked).To(Equal(asked))
	g.Expect(got.Seen).To(ContainSubstring(seen))
	return got
}
