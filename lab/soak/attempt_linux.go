package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/report"
)

// endGrace is how long the command may take to end after SIGINT before it is
// killed: loopcheck finishes the current check and writes its reports.
const endGrace = 2 * time.Second

// maxReportBytes bounds the report that is read. A quick run's is well below
// one megabyte.
const maxReportBytes = 64 << 20

// starter hands functions to one thread that never ends: Pdeathsig kills a child
// when the thread that started it does, see PR_SET_PDEATHSIG in prctl(2).
var starter = sync.OnceValue(func() chan<- func() {
	tasks := make(chan func())
	go func() {
		runtime.LockOSThread()
		for task := range tasks {
			task()
		}
	}()
	return tasks
})

func startOnLastingThread(cmd *exec.Cmd) (err error) {
	done := make(chan struct{})
	starter() <- func() {
		defer close(done)
		err = cmd.Start()
	}
	<-done
	return err
}

// attempt is one start of the command. Its output goes to files: a pipe would be
// kept open by a process that it leaves behind, and the end never come.
type attempt struct {
	cmd            *exec.Cmd
	stdout, stderr *os.File
	started        time.Time
	ended          chan error
	duration       time.Duration // valid once ended has something
}

// start starts the command in the folders of a variant. It returns once the
// stage, if there is one, has been replaced by the command.
func (s *soak) start(v variant, place folders) (*attempt, error) {
	a := &attempt{ended: make(chan error, 1)}
	var err error
	if a.stdout, err = os.CreateTemp(s.base, "stdout-"); err != nil {
		return nil, err
	}
	if a.stderr, err = os.CreateTemp(s.base, "stderr-"); err != nil {
		a.discard()
		return nil, err
	}
	a.cmd = exec.Command(s.binary, s.args...)
	a.cmd.Dir = place.work
	a.cmd.Env = append(os.Environ(), "HOME="+place.home, "TMPDIR="+place.tmp, s.mark)
	a.cmd.Stdout, a.cmd.Stderr = a.stdout, a.stderr
	a.cmd.SysProcAttr = v.attributes()
	if len(v.steps) > 0 {
		a.cmd.Path = "/proc/self/exe"
		a.cmd.Args = append([]string{stageName, strings.Join(v.steps, ","), s.binary}, s.args...)
		err = s.startStage(a)
	} else {
		a.started = time.Now()
		err = s.startOwn(a.cmd)
	}
	if err != nil {
		a.discard()
		return nil, err
	}
	go func() {
		err := a.cmd.Wait()
		a.duration = time.Since(a.started)
		a.ended <- err
	}()
	return a, nil
}

// startOwn starts a process that soak itself waits for.
func (s *soak) startOwn(cmd *exec.Cmd) error {
	if err := startOnLastingThread(cmd); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	s.own[cmd.Process.Pid] = true
	return nil
}

// startStage starts soak's stage and waits until it is set.
func (s *soak) startStage(a *attempt) error {
	report, err := s.stage(a.cmd)
	if err == nil && report == "" {
		a.started = time.Now()
		return nil
	}
	if err == nil {
		_ = a.cmd.Wait() // its error is the report
		delete(s.own, a.cmd.Process.Pid)
		err = fmt.Errorf("set the stage: %s", report)
	}
	return err
}

// stage starts a command that is a stage, and returns what the stage reports.
func (s *soak) stage(cmd *exec.Cmd) (string, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return "", fmt.Errorf("make a pipe for the stage: %w", err)
	}
	defer read.Close()
	cmd.ExtraFiles = []*os.File{write}
	err = s.startOwn(cmd)
	write.Close()
	if err != nil {
		return "", err
	}
	report, err := io.ReadAll(read)
	return string(report), err
}

// wait returns what came of the attempt once it has ended. When the context ends
// or the time is up it is asked to end, and killed if it does not.
func (s *soak) wait(ctx context.Context, a *attempt) outcome {
	defer a.discard()
	timeout := time.NewTimer(s.timeout)
	defer timeout.Stop()
	exit := ""
	select {
	case err := <-a.ended:
		return a.outcome(err, exit)
	case <-ctx.Done():
	case <-timeout.C:
		exit = "timeout"
	}
	_ = a.cmd.Process.Signal(os.Interrupt) // fails only if it has just ended
	grace := time.NewTimer(endGrace)
	defer grace.Stop()
	select {
	case err := <-a.ended:
		return a.outcome(err, exit)
	case <-grace.C:
	}
	_ = a.cmd.Process.Kill()
	return a.outcome(<-a.ended, exit)
}

func (a *attempt) outcome(err error, exit string) outcome {
	o := outcome{exit: exit, duration: a.duration}
	state := a.cmd.ProcessState
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		o.rssBytes = int64(usage.Maxrss) * 1024 // an int32 on 32-bit machines
	}
	if o.exit == "" {
		o.exit = exitText(state)
	}
	o.stderr = lastLine(a.stderr)
	var exited *exec.ExitError
	switch {
	case exit == "timeout":
		o.err = errors.New("it did not end in time")
	case err != nil && !errors.As(err, &exited):
		o.err = err
	default:
		if _, err := a.stdout.Seek(0, io.SeekStart); err != nil {
			o.err = err
			break
		}
		o.report, o.err = report.Decode(io.LimitReader(a.stdout, maxReportBytes))
	}
	return o
}

// exitText is the exit code, or the name of the signal that ended it.
func exitText(state *os.ProcessState) string {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return unix.SignalName(status.Signal())
	}
	return strconv.Itoa(state.ExitCode())
}

// maxLineBytes bounds what is shown of stderr.
const maxLineBytes = 400

func lastLine(f *os.File) string {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	tail := make([]byte, min(size, maxLineBytes))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(tail), []byte("\n"))
	return string(lines[len(lines)-1])
}

// discard removes the files of the output.
func (a *attempt) discard() {
	for _, f := range []*os.File{a.stdout, a.stderr} {
		if f != nil {
			f.Close()
			os.Remove(filepath.Clean(f.Name()))
		}
	}
}
