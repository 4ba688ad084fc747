//go:build unix

package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// lockedText is what a program has printed so far.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serving is `loopcheck serve` at work.
type serving struct {
	*exec.Cmd
	url    string
	stderr *lockedText
}

// startServe starts a command in a folder with the given files and waits until it
// listens.
func startServe(t *testing.T, files map[string]string, args ...string) *serving {
	t.Helper()
	s := prepareServe(t, files, args...)
	s.start(t)
	return s
}

func prepareServe(t *testing.T, files map[string]string, args ...string) *serving {
	t.Helper()
	s := &serving{Cmd: loopcheck(t, args...), stderr: &lockedText{}}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.Stderr = s.stderr
	return s
}

func (s *serving) start(t *testing.T) {
	t.Helper()
	stdout, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("it does not tell where it listens: %v\n%s", err, s.stderr)
	}
	s.url = strings.TrimSpace(line)
}

func (s *serving) get(t *testing.T, client *http.Client, path string) (status int, body string) {
	t.Helper()
	response, err := client.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode, string(content)
}

func (s *serving) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := s.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// begin sends a request and waits until its answer has begun.
func (s *serving) begin(t *testing.T, path string) *http.Response {
	t.Helper()
	response, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// The first signal lets a request end.
func TestServeDrains(t *testing.T) {
	const size = 8 << 20 // which no buffer holds: until it is read, the request is under way
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: exitInterrupted, syscall.SIGTERM: exitTerminated} {
		s := prepareServe(t, map[string]string{"large": ""}, "serve", ".", "--port", "0")
		if err := os.Truncate(filepath.Join(s.Dir, "large"), size); err != nil {
			t.Fatal(err)
		}
		s.start(t)
		response := s.begin(t, "large")
		s.signal(t, signal)
		await(t, "word of the request", func() bool { return strings.Contains(s.stderr.String(), "loopcheck: 1 request to end, within 5s\n") })
		if n, err := io.Copy(io.Discard, response.Body); err != nil || n != size {
			t.Errorf("%v: of the answer under way there came %d of %d bytes, %v", signal, n, size, err)
		}
		if got := exitCode(t, s.Cmd); got != code {
			t.Errorf("%v: exit code %d, want %d\n%s", signal, got, code, s.stderr)
		}
	}
}

func TestServeStopsAtOnceAtTheSecondSignal(t *testing.T) {
	const routes = `routes: [{route: /endless, text: "0123456789", rate: 1}]`
	s := startServe(t, map[string]string{"routes.yaml": routes}, "serve", "--mock", "routes.yaml", "--port", "0")
	s.begin(t, "endless")
	s.signal(t, syscall.SIGINT)
	// It takes no more connections once it is stopping.
	await(t, "a refusal", func() bool {
		conn, err := net.Dial("tcp", strings.Trim(strings.TrimPrefix(s.url, "http:"), "/"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	s.signal(t, syscall.SIGTERM)
	if got := exitCode(t, s.Cmd); got != exitTerminated {
		t.Errorf("exit code %d\n%s", got, s.stderr)
	}
}

func TestServeReadsItsRoutesAnewAtSIGHUP(t *testing.T) {
	s := startServe(t, map[string]string{"routes.yaml": "routes: [{route: /, text: a}]"}, "serve", "--mock", "routes.yaml", "--port", "0")
	s.signal(t, syscall.SIGHUP)
	await(t, "word of it", func() bool { return strings.Contains(s.stderr.String(), "loopcheck: read routes.yaml anew\n") })
	s.signal(t, syscall.SIGINT)
	if got := exitCode(t, s.Cmd); got != exitInterrupted {
		t.Errorf("exit code %d", got)
	}
}

// Who closes the terminal wants the server to end.
func TestServeEndsWithItsTerminal(t *testing.T) {
	s := prepareServe(t, map[string]string{"routes.yaml": "routes: [{route: /, text: a}]"}, "serve", "--mock", "routes.yaml", "--port", "0")
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no terminal: %v", err)
	}
	defer func() { _ = tty.Close() }()
	s.Stdin = tty
	s.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s.start(t)
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	_ = s.Wait()
	if status, ok := s.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGHUP {
		t.Errorf("it ended with %v\n%s", s.ProcessState, s.stderr)
	}
}

func TestServeAsksOthersForAToken(t *testing.T) {
	s := startServe(t, map[string]string{"a.txt": "hello"}, "serve", ".", "--listen", "0.0.0.0", "--port", "0")
	base, token, found := strings.Cut(s.url, "?token=")
	if !found || len(token) < 26 || !strings.HasPrefix(base, "http://127.0.0.1:") {
		t.Fatalf("it prints %q", s.url)
	}
	s.url = base
	if status, body := s.get(t, http.DefaultClient, "a.txt"); status != http.StatusUnauthorized || strings.Contains(body, "hello") {
		t.Errorf("without: %d, %q", status, body)
	}
	if status, body := s.get(t, http.DefaultClient, "a.txt?token="+token); status != http.StatusOK || body != "hello" {
		t.Errorf("with it: %d, %q", status, body)
	}
	await(t, "word of other machines", func() bool {
		return strings.Contains(s.stderr.String(), "to other machines too, which need the token; the network sees it without --tls")
	})
	await(t, "the requests in the log", func() bool { return strings.Count(s.stderr.String(), " GET /a.txt") == 2 })
	if log := s.stderr.String(); strings.Contains(log, token) {
		t.Errorf("the log is %s", log)
	}
}

// A token of the user's own is told nowhere.
func TestServeTakesATokenFromAFile(t *testing.T) {
	const token = "a-token-of-my-own"
	s := startServe(t, map[string]string{"a.txt": "hello", "token": token + "\n"}, "serve", ".", "--token-file", "token", "--port", "0")
	if strings.Contains(s.url+s.stderr.String(), token) {
		t.Errorf("it prints %s, %s", s.url, s.stderr)
	}
	for path, want := range map[string]int{"a.txt": 401, "a.txt?token=" + token: 200} {
		if status, _ := s.get(t, http.DefaultClient, path); status != want {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestServeOverTLS(t *testing.T) {
	s := startServe(t, map[string]string{"a.txt": "hello"}, "serve", ".", "--tls", "--write-ca", "ca.pem", "--port", "0")
	written, err := os.ReadFile(filepath.Join(s.Dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(written)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	if status, body := s.get(t, client, "a.txt"); status != 200 || body != "hello" || !strings.HasPrefix(s.url, "https://") {
		t.Errorf("%s: %d, %q", s.url, status, body)
	}
}

func TestServeSaysWhoHasThePort(t *testing.T) {
	s := startServe(t, nil, "serve", ".", "--port", "0")
	_, port, _ := net.SplitHostPort(strings.Trim(strings.TrimPrefix(s.url, "http:"), "/"))
	other := loopcheck(t, "serve", ".", "--port", port)
	said, err := other.CombinedOutput()
	if err == nil || other.ProcessState.ExitCode() != exitUsage {
		t.Errorf("it ended with %v", err)
	}
	want := fmt.Sprintf("loopcheck: port %s of 127.0.0.1 is taken by loopcheck (pid %d, user ", port, s.Process.Pid)
	if got := string(said); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "): write --port 0 for a free one, or another --port\n") {
		t.Errorf("it says %q, want %q", got, want)
	}
}

// A service manager passes on the listener and is told when it is served.
func TestServeWorksWithAServiceManager(t *testing.T) {
	dir, err := os.MkdirTemp("", "") // the path of a socket is at most 107 bytes long
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	name := filepath.Join(dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Close() }()
	_ = manager.SetDeadline(time.Now().Add(patience))
	told := func() string {
		message := make([]byte, 64)
		n, err := manager.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		return string(message[:n])
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	s := prepareServe(t, map[string]string{"a.txt": "hello"}, "serve", ".")
	// The shell's number is the server's, as LISTEN_PID has to be.
	s.Args = []string{"sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", s.Path, "serve", "."}
	if s.Path, err = exec.LookPath("sh"); err != nil {
		t.Fatal(err)
	}
	s.Env = append(s.Env, "NOTIFY_SOCKET="+name, "LISTEN_FDS=1")
	s.ExtraFiles = []*os.File{socket}
	s.start(t)
	_ = socket.Close()
	if want := "http://" + l.Addr().String() + "/"; s.url != want {
		t.Errorf("it prints %q, want %q", s.url, want)
	}
	_ = l.Close()
	if got := told(); got != "READY=1" {
		t.Errorf("the manager is told %q", got)
	}
	if status, body := s.get(t, http.DefaultClient, "a.txt"); status != 200 || body != "hello" {
		t.Errorf("%d, %q", status, body)
	}
	s.signal(t, syscall.SIGTERM)
	if got := told(); got != "STOPPING=1" {
		t.Errorf("the manager is told %q", got)
	}
	if got := exitCode(t, s.Cmd); got != exitTerminated {
		t.Errorf("exit code %d", got)
	}
}
