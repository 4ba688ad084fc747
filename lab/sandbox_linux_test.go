package lab_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/leftovers"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

const (
	// playMaker is the first argument by which this binary makes one sandbox
	// after another, and tells of each, until it is killed.
	playMaker = "lab-sandbox-maker"
	// sandboxMark is what everything that the makers start has in its
	// environment.
	sandboxMark = "LOOPCHECK_LAB_SANDBOX"
	// creations is how many sandboxes are made in all, and makers how many
	// processes make them at a time.
	creations = 1000
	makers    = 2
	// mostLife is how long a maker may live: several sandboxes' time, so that
	// death meets each of their moments.
	mostLife = 60 * time.Millisecond
	// goneTimeout bounds how long what they made may take to be gone: namespaces by
	// the hundred go one after the other.
	goneTimeout = time.Minute
	// makingTimeout bounds all of it.
	makingTimeout = 5 * time.Minute
)

func TestMain(m *testing.M) {
	sandbox.Main()
	if os.Args[0] == playMaker {
		fmt.Fprintln(os.Stderr, makeSandboxes())
		os.Exit(1)
	}
	m.Run()
}

// occupy leaves a program running and a setting changed.
var occupy = sandbox.Register("lab/occupy", func(context.Context, *sandbox.Inside, struct{}) (struct{}, error) {
	program := exec.Command("sleep", "1000")
	return struct{}{}, errors.Join(program.Start(), os.WriteFile("/proc/sys/net/ipv4/ip_default_ttl", []byte("7"), 0))
})

// makeSandboxes returns only with an error. A worker that was killed is none.
func makeSandboxes() error {
	for ctx := context.Background(); ; {
		fmt.Println("making")
		s, err := sandbox.Start(ctx, sandbox.Config{
			Zones: []string{"inside", "outside"},
			Links: []sandbox.Link{{A: sandbox.End{Zone: "inside", Name: "eth0"}, B: sandbox.End{Zone: "outside", Name: "eth0"}}},
		})
		if err == nil {
			_, err = occupy.Call(ctx, s, "outside", struct{}{})
			err = errors.Join(err, s.Close())
		}
		if err != nil && !errors.As(err, new(*sandbox.DiedError)) {
			return err
		}
	}
}

// TestNothingSurvivesASandbox kills processes that make sandboxes, or the
// sandboxes' workers, at moments drawn at random.
func TestNothingSurvivesASandbox(t *testing.T) {
	s, err := sandbox.Start(t.Context(), sandbox.Config{})
	if errors.As(err, new(*sandbox.RefusedError)) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// Orphans come to this process, where the comparison finds them.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	mark := fmt.Sprintf("%s=%d", sandboxMark, os.Getpid())
	watch := leftovers.Watch{Root: os.Getpid(), Mark: mark, Folders: []leftovers.Folder{{Path: "/run"}}, Patience: goneTimeout}
	before, err := watch.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), makingTimeout)
	defer cancel()
	var made, makersKilled, workersKilled atomic.Int64
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	group, ctx := errgroup.WithContext(ctx)
	for i := range makers {
		draw := rand.New(rand.NewPCG(seed, uint64(i)))
		group.Go(func() error {
			for made.Load() < creations {
				m, err := startMaker(mark)
				if err != nil {
					return err
				}
				// Where the processors are busy it takes longer to start than it lives.
				select {
				case <-m.begun:
				case <-m.read: // it has ended, which kill tells
				case <-ctx.Done():
				}
				for life := mostLife; life > 0; {
					part := time.Duration(draw.Int64N(int64(life) + 1))
					select {
					case <-time.After(part):
					case <-ctx.Done():
						return errors.Join(ctx.Err(), m.kill())
					}
					life -= max(part, time.Millisecond)
					if draw.IntN(2) == 0 {
						workersKilled.Add(m.killWorkers())
					}
				}
				if err := m.kill(); err != nil {
					return err
				}
				made.Add(m.made.Load())
				makersKilled.Add(1)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d sandboxes begun, %d of their parents and %d workers killed", made.Load(), makersKilled.Load(), workersKilled.Load())
	if workersKilled.Load() == 0 {
		t.Error("no worker was killed, so nothing was shown of that")
	}
	_, differences, err := watch.Settle(t.Context(), before, reap)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		t.Error(d)
	}
}

// maker is a process that makes sandboxes.
type maker struct {
	command *exec.Cmd
	made    atomic.Int64
	begun   chan struct{} // closed when it makes the first
	read    chan struct{} // closed when all of its output was read
	errors  strings.Builder
}

func startMaker(mark string) (*maker, error) {
	m := &maker{command: exec.Command("/proc/self/exe"), begun: make(chan struct{}), read: make(chan struct{})}
	m.command.Args = []string{playMaker}
	m.command.Env = append(os.Environ(), mark)
	m.command.Stderr = &m.errors
	out, err := m.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := m.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(m.read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m.made.Add(1) == 1 {
				close(m.begun)
			}
		}
	}()
	return m, nil
}

// killWorkers kills the children of the maker, wherever they have come to.
func (m *maker) killWorkers() (killed int64) {
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", m.command.Process.Pid))
	for _, thread := range threads {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", m.command.Process.Pid, thread.Name()))
		for child := range strings.FieldsSeq(string(children)) {
			if pid, err := strconv.Atoi(child); err == nil && unix.Kill(pid, unix.SIGKILL) == nil {
				killed++
			}
		}
	}
	return killed
}

// kill kills the maker and waits for it. That it ended by itself is an error.
func (m *maker) kill() error {
	_ = m.command.Process.Kill()
	<-m.read
	err := m.command.Wait()
	if status, ok := m.command.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return nil
	}
	return fmt.Errorf("a maker ended: %w: %s", err, m.errors.String())
}

// reap collects the orphans that this process inherited.
func reap() {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != nil || pid <= 0 {
			return
		}
	}
}
