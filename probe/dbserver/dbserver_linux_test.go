package dbserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/leftovers"
	"github.com/loopcheck/loopcheck/lab/surroundings"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

const (
	// roleMaker is the first argument by which this binary starts servers and
	// waits to be killed.
	roleMaker = "dbserver-maker"
	// deadline bounds what a test waits for, on a busy machine.
	deadline = time.Minute
)

func TestMain(m *testing.M) {
	sandbox.Main()
	if os.Args[0] == roleMaker {
		fmt.Fprintln(os.Stderr, makeServers())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// makeServers starts both servers and waits. It returns only with an error.
func makeServers() error {
	k, err := Start(context.Background())
	if err != nil {
		return err
	}
	if _, err := k.Redis(context.Background()); err != nil {
		return err
	}
	if _, err := k.Postgres(context.Background()); err != nil {
		return err
	}
	fmt.Printf("worker %d folder %s\n", k.box.PID(), k.folder)
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(errors.New("nobody killed it"), err)
}

func needPrograms(t *testing.T) {
	t.Helper()
	_, postgres := postgresPrograms()
	_, redis := redisPrograms()
	if err := errors.Join(postgres, redis); err != nil {
		t.Skip(err)
	}
}

// speak connects, sends what begins a session, and returns what comes back first.
func speak(t *testing.T, network, address, question string) (string, error) {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(deadline)); err != nil {
		return "", err
	}
	answer := make([]byte, 64)
	_, err = io.WriteString(conn, question)
	if err != nil {
		return "", err
	}
	n, err := conn.Read(answer)
	return string(answer[:n]), err
}

const (
	ping       = "PING\r\n"
	sslRequest = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
)

func TestServersServe(t *testing.T) {
	needPrograms(t)
	surroundings.Everywhere(t, func(t *testing.T, kind surroundings.Kind) {
		g := NewWithT(t)
		k, err := Start(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		t.Cleanup(func() { g.Expect(k.Close()).To(Succeed()) })
		g.Expect(k.box.Facts().Plain).To(Equal(!kind.Sandboxes()))
		redis, err := k.Redis(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		postgres, err := k.Postgres(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		serves := func() {
			g.Expect(speak(t, "tcp", redis.Addr.String(), ping)).To(HavePrefix("-NOAUTH"))
			g.Expect(speak(t, "unix", redis.Socket, ping)).To(HavePrefix("-NOAUTH"))
			g.Expect(speak(t, "tcp", postgres.Addr.String(), sslRequest)).To(Equal("S"))
			g.Expect(speak(t, "unix", postgres.Socket, sslRequest)).To(Equal("N"))
		}
		serves()
		conn, err := tls.Dial("tcp", redis.TLS.String(), &tls.Config{RootCAs: redis.Authority, ServerName: "localhost"})
		g.Expect(err).NotTo(HaveOccurred())
		conn.Close()
		for _, s := range []*Server{redis, postgres} {
			g.Expect(s.Kill(t.Context())).To(Succeed())
			_, err := net.Dial("tcp", s.Addr.String())
			g.Expect(err).To(MatchError(syscall.ECONNREFUSED))
			g.Expect(s.Restart(t.Context())).To(Succeed())
			g.Expect(s.Log(t.Context())).To(ContainSubstring("eady to accept connections"))
		}
		serves()
		var segment int
		if k.box.Facts().Plain {
			segment, _, err = k.segment()
			g.Expect(err).NotTo(HaveOccurred())
		}
		g.Expect(k.Close()).To(Succeed())
		for _, s := range []*Server{redis, postgres} {
			_, err := net.Dial("tcp", s.Addr.String())
			g.Expect(err).To(MatchError(syscall.ECONNREFUSED))
		}
		if k.box.Facts().Plain {
			g.Expect(k.folder).NotTo(BeADirectory())
			_, err := unix.SysvShmCtl(segment, unix.IPC_STAT, &unix.SysvShmDesc{})
			g.Expect(err).To(Or(MatchError(unix.EINVAL), MatchError(unix.EIDRM)), "PostgreSQL's shared memory")
		}
	})
}

func TestNothingSurvivesTheirParent(t *testing.T) {
	needPrograms(t)
	surroundings.Everywhere(t, func(t *testing.T, _ surroundings.Kind) {
		for name, kill := range map[string]func(maker *exec.Cmd, worker int) error{
			"the parent": func(maker *exec.Cmd, _ int) error { return maker.Process.Kill() },
			"the worker": func(maker *exec.Cmd, worker int) error {
				return errors.Join(syscall.Kill(worker, syscall.SIGKILL), maker.Process.Kill())
			},
		} {
			t.Run(name, func(t *testing.T) { killed(t, kill) })
		}
	})
}

// killed starts who starts servers, has it killed, and sees that nothing is left.
func killed(t *testing.T, kill func(maker *exec.Cmd, worker int) error) {
	g := NewWithT(t)
	// Orphans come to this process, where the comparison finds them.
	g.Expect(unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)).To(Succeed())
	watch := leftovers.Watch{Root: os.Getpid()}
	before, err := watch.Take(t.Context())
	g.Expect(err).NotTo(HaveOccurred())

	maker := exec.Command("/proc/self/exe")
	maker.Args = []string{roleMaker}
	var complaints strings.Builder
	maker.Stderr = &complaints
	input, err := maker.StdinPipe()
	g.Expect(err).NotTo(HaveOccurred())
	output, err := maker.StdoutPipe()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(maker.Start()).To(Succeed())
	line, err := bufio.NewReader(output).ReadString('\n')
	g.Expect(err).NotTo(HaveOccurred(), complaints.String())
	var worker int
	var folder string
	_, err = fmt.Sscanf(line, "worker %d folder %s", &worker, &folder)
	g.Expect(err).NotTo(HaveOccurred(), line)
	during, err := watch.Take(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(leftovers.Compare(before, during)).NotTo(BeEmpty(), "a comparison that sees no server would prove nothing")

	g.Expect(kill(maker, worker)).To(Succeed())
	input.Close()
	_ = maker.Wait()
	g.Eventually(func() ([]leftovers.Difference, error) {
		_, left, err := watch.Settle(t.Context(), before, reap)
		return left, err
	}).WithTimeout(deadline).Should(BeEmpty())
	g.Eventually(folder).WithTimeout(deadline).ShouldNot(BeAnExistingFile(), "the folder of the servers' files")
}

// reap collects the orphans that this process inherited.
func reap() {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != nil || pid <= 0 {
			return
		}
	}
}

func TestMissingProgramsAreNamed(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("PATH", t.TempDir())
	old := postgresPlaces
	t.Cleanup(func() { postgresPlaces = old })
	postgresPlaces = nil
	_, err := postgresPrograms()
	missing, ok := errors.AsType[*MissingError](err)
	g.Expect(ok).To(BeTrue())
	g.Expect(missing.Package).To(Equal("postgresql"))
}

func TestNewestPostgresIsTaken(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	for _, version := range []string{"9.6", "15", "17"} {
		bin := dir + "/" + version + "/bin"
		g.Expect(os.MkdirAll(bin, 0o755)).To(Succeed())
		g.Expect(os.WriteFile(bin+"/initdb", nil, 0o755)).To(Succeed())
	}
	old := postgresPlaces
	t.Cleanup(func() { postgresPlaces = old })
	postgresPlaces = []string{dir + "/*/bin"}
	t.Setenv("PATH", "/nowhere")
	g.Expect(postgresPrograms()).To(HaveExactElements(HaveSuffix("/17/bin/initdb"), HaveSuffix("/15/bin/initdb"), HaveSuffix("/9.6/bin/initdb")))
}

func TestServersThatHaveEndedAreForgotten(t *testing.T) {
	g := NewWithT(t)
	k, err := Start(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(k.Close()).To(Succeed()) })
	shell := func(script string) order {
		return order{Name: "shell", Args: []string{"/bin/sh", "-c", script}, Ready: "ready"}
	}
	err = k.launch(t.Context(), shell("echo too bad; exit 1"))
	failed, ok := errors.AsType[*StartError](err)
	g.Expect(ok).To(BeTrue(), "%v", err)
	g.Expect(failed.Output).To(Equal("too bad"))
	g.Expect(written.Call(t.Context(), k.box, "", "shell")).To(BeEmpty())

	o := shell("echo ready; exec tail -f /dev/null")
	g.Expect(k.launch(t.Context(), o)).To(Succeed())
	s := Server{running: running{k, o}}
	g.Expect(s.Kill(t.Context())).To(Succeed())
	g.Expect(s.Kill(t.Context())).To(Succeed(), "again")
}

// A process that is nobody's child here is left alone, and so are those under the
// number of a server that has ended.
func TestOthersAreNotKilled(t *testing.T) {
	g := NewWithT(t)
	g.Expect(end(t.Context(), os.Getppid())).To(Succeed())

	child := exec.Command("/bin/sh", "-c", "read -r _")
	input, err := child.StdinPipe()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(child.Start()).To(Succeed())
	g.Expect(end(t.Context(), child.Process.Pid)).To(Succeed())
	g.Expect(syscall.Kill(child.Process.Pid, 0)).To(MatchError(syscall.ESRCH))
	input.Close()

	ended := exec.Command("/bin/true")
	g.Expect(ended.Run()).To(Succeed())
	p := &program{process: ended.Process, exited: make(chan struct{})}
	close(p.exited)
	g.Expect(p.kill(t.Context())).To(Succeed())
}

func TestOldProgramsAreNamed(t *testing.T) {
	g := NewWithT(t)
	for output, want := range map[string]int{
		"initdb (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)":         15,
		"initdb (PostgreSQL) 9.6.24":                                 9,
		"Redis server v=5.0.14 sha=00000000:0 malloc=jemalloc-5.1.0": 5,
		"Valkey server v=8.0.1 sha=00000000:0 malloc=jemalloc-5.3.0": 8,
		"nothing of the kind 3":                                      0,
	} {
		number, tells := major(output)
		g.Expect(number).To(Equal(want), output)
		g.Expect(tells).To(Equal(want > 0), output)
	}
	k, err := Start(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(k.Close()).To(Succeed()) })
	programs, err := redisPrograms()
	if err != nil {
		t.Skip(err)
	}
	g.Expect(k.newEnough(t.Context(), programs[0], oldestRedis)).To(Succeed())
	old, ok := errors.AsType[*TooOldError](k.newEnough(t.Context(), programs[0], 1000))
	g.Expect(ok).To(BeTrue())
	g.Expect(old.Error()).To(ContainSubstring("version 1000 or a later one is needed"))
}

func TestNoPasswordIsToldOfAServerThatDoesNotStart(t *testing.T) {
	g := NewWithT(t)
	k := &Keeper{password: "secret"}
	g.Expect(k.startError("redis-server", errEnded, ">>> 'requirepass secret'")).To(MatchError(ContainSubstring(">>> 'requirepass (password)'")))
}
