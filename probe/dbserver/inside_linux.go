package dbserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/process"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// held is what the worker's process holds.
var held struct {
	sync.Mutex
	facts    sandbox.Facts
	folder   string
	sweeper  io.Closer
	programs map[string]*program
}

// program is a server.
type program struct {
	process *os.Process
	log     *process.Tail
	exited  chan struct{} // closed when it was waited for
	silent  chan struct{} // closed when nobody is left who could write
}

// settled is the folder of the servers' files. Beside an error stands what is
// lacking, where that is known: types of errors do not leave the worker.
type settled struct {
	Folder string
	Lacks  lack
}

type lack string

const (
	lacksPrivileges lack = "privileges"
	lacksFolder     lack = "folder"
)

// settle makes the folder of the servers' files.
var settle = sandbox.Register("dbserver/settle", func(_ context.Context, _ *sandbox.Inside, facts sandbox.Facts) (s settled, err error) {
	held.Lock()
	defer held.Unlock()
	held.facts, held.programs = facts, map[string]*program{}
	// So that the sockets in it are found from outside: see Keeper.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		return settled{}, fmt.Errorf("let others look into /proc: %w", err)
	}
	if err := maySwitch(); err != nil {
		return settled{Lacks: lacksPrivileges}, err
	}
	if !facts.Plain {
		held.folder = "/run/databases"
		if err := os.Mkdir(held.folder, 0o700); err != nil {
			return settled{}, err
		}
		return settled{Folder: held.folder}, own(held.folder)
	}
	// The children of a server that was killed come to this process, which waits
	// for them; in a PID namespace they do in any case.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return settled{}, fmt.Errorf("adopt orphans: %w", err)
	}
	if held.folder, err = temporaryFolder(temporaryPlaces()); err != nil {
		return settled{Lacks: lacksFolder}, err
	}
	if held.sweeper, err = sweep(held.folder); err != nil {
		return settled{}, errors.Join(err, os.Remove(held.folder))
	}
	return settled{Folder: held.folder}, nil
})

// sweep starts who removes a folder when this process has ended, however it does:
// then its standard input ends. What dies at the same moment may still write.
func sweep(folder string) (io.Closer, error) {
	command := exec.Command("sh", "-c", `read -r _; for _ in 1 2 3 4 5 6 7 8 9; do rm -rf -- "$0" 2>/dev/null && exit; sleep 0.2; done`, folder)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("open a pipe: %w", err)
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start what removes %s: %w", folder, err)
	}
	return sweeper{input, command}, nil
}

type sweeper struct {
	input   io.Closer
	command *exec.Cmd
}

// Close removes the folder.
func (s sweeper) Close() error { return errors.Join(s.input.Close(), s.command.Wait()) }

// command is a program of a server's. It has nothing of the user's environment,
// in which PostgreSQL and Redis look for settings.
func command(ctx context.Context, args []string) *exec.Cmd {
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.SysProcAttr, c.Dir = attributes(), held.folder
	// With TZ, initdb does not go through all time zones for the machine's.
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + held.folder, "TMPDIR=" + held.folder, "LC_ALL=C", "TZ=UTC"}
	return c
}

// file is one to be written in the folder; with no name none is.
type file struct {
	Name string
	Text []byte
}

var write = sandbox.Register("dbserver/write", func(_ context.Context, _ *sandbox.Inside, files []file) (struct{}, error) {
	for _, f := range files {
		path := filepath.Join(held.folder, f.Name)
		if err := os.WriteFile(path, f.Text, 0o600); err != nil {
			return struct{}{}, err
		}
		if err := own(path); err != nil {
			return struct{}{}, err
		}
	}
	return struct{}{}, nil
})

// run runs a program to its end and returns the end of what it wrote.
var run = sandbox.Register("dbserver/run", func(ctx context.Context, _ *sandbox.Inside, args []string) (string, error) {
	output := &process.Tail{}
	c := command(ctx, args)
	c.Stdout, c.Stderr = output, output
	if err := sandbox.Launch(c); err != nil {
		return "", err
	}
	err := c.Wait()
	return output.String(), err
})

// order is a server to be started.
type order struct {
	Name string
	Args []string
	// Ready stands in the line that the server writes when it lets clients in.
	Ready string
}

// errEnded says that a server ended before it let anybody in.
var errEnded = errors.New("it ended")

// launch starts a server and waits until it is ready. Beside an error comes the end
// of what it wrote.
var launch = sandbox.Register("dbserver/launch", func(ctx context.Context, _ *sandbox.Inside, o order) (string, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return "", fmt.Errorf("open a pipe: %w", err)
	}
	c := command(context.Background(), o.Args)
	c.Stdout, c.Stderr = write, write
	err = sandbox.Launch(c)
	write.Close()
	if err != nil {
		read.Close()
		return "", err
	}
	p := &program{process: c.Process, log: &process.Tail{}, exited: make(chan struct{}), silent: make(chan struct{})}
	ready := make(chan struct{})
	go p.follow(read, o.Ready, ready)
	go func() {
		_ = c.Wait()
		close(p.exited)
	}()
	held.Lock()
	held.programs[o.Name] = p
	held.Unlock()
	select {
	case <-ready:
		return "", nil
	case <-p.exited:
		err = errEnded
	case <-ctx.Done():
		err = ctx.Err()
	}
	held.Lock()
	delete(held.programs, o.Name)
	held.Unlock()
	err = errors.Join(err, p.kill(context.Background()))
	select {
	case <-p.silent:
	case <-time.After(lastWords):
	}
	return p.log.String(), err
})

// lastWords bounds the reading of what was written by a server that is dead.
const lastWords = time.Second

// follow reads what a server writes until nobody is left who could, and closes
// ready when it says that it is.
func (p *program) follow(read *os.File, says string, ready chan<- struct{}) {
	defer close(p.silent)
	defer read.Close()
	for lines := bufio.NewReader(read); ; {
		line, err := lines.ReadString('\n')
		_, _ = p.log.Write([]byte(line))
		if ready != nil && strings.Contains(line, says) {
			close(ready)
			ready = nil
		}
		if err != nil {
			return
		}
	}
}

// kill ends a server and its children by SIGKILL and waits until they have.
var kill = sandbox.Register("dbserver/kill", func(ctx context.Context, _ *sandbox.Inside, name string) (struct{}, error) {
	held.Lock()
	p := held.programs[name]
	delete(held.programs, name)
	held.Unlock()
	if p == nil {
		return struct{}{}, nil
	}
	return struct{}{}, p.kill(ctx)
})

func (p *program) kill(ctx context.Context) error {
	// The server itself comes first, which would start again in their place what
	// it had lost, and tell the others to end in good order.
	children := childrenOf(p.process.Pid)
	err := p.process.Kill()
	switch {
	case errors.Is(err, os.ErrProcessDone):
		children = nil // the number may be another's by now
	case err != nil:
		return fmt.Errorf("kill a server: %w", err)
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		return fmt.Errorf("await the end of a server: %w", ctx.Err())
	}
	for _, pid := range children {
		if err := end(ctx, pid); err != nil {
			return err
		}
	}
	return nil
}

// childrenOf lists the children of a process (proc_pid_task(5), children).
func childrenOf(pid int) (children []int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil // it has ended
	}
	for field := range strings.FieldsSeq(string(text)) {
		var child int
		if _, err := fmt.Sscan(field, &child); err == nil {
			children = append(children, child)
		}
	}
	return children
}

// end kills a process whose parent has been, and waits for it. It is this process's
// own now, and since nobody else waits for it, its number is no other's. One that
// is no child has ended.
func end(ctx context.Context, pid int) error {
	child, err := wait(pid, unix.WNOHANG)
	if child == pid || errors.Is(err, unix.ECHILD) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the process %d: %w", pid, err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		return fmt.Errorf("kill the process %d: %w", pid, err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := wait(pid, 0)
		ended <- err
	}()
	select {
	case err := <-ended:
		if err != nil && !errors.Is(err, unix.ECHILD) {
			return fmt.Errorf("await the end of the process %d: %w", pid, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("await the end of the process %d: %w", pid, ctx.Err())
	}
}

// wait is wait4(2), which is interrupted by no signal.
func wait(pid, options int) (child int, err error) {
	for {
		if child, err = unix.Wait4(pid, nil, options, nil); !errors.Is(err, unix.EINTR) {
			return child, err
		}
	}
}

// forget has the kernel remove a segment of System V shared memory when its last
// process has ended (shmctl(2), IPC_RMID).
var forget = sandbox.Register("dbserver/forget", func(_ context.Context, _ *sandbox.Inside, segment int) (struct{}, error) {
	_, err := unix.SysvShmCtl(segment, unix.IPC_RMID, nil)
	if errors.Is(err, unix.EPERM) && switches() {
		// Without CAP_SYS_ADMIN, only its owner may.
		err = asNobody(func() error {
			_, err := unix.SysvShmCtl(segment, unix.IPC_RMID, nil)
			return err
		})
	}
	return struct{}{}, err
})

// written returns the end of what a server wrote.
var written = sandbox.Register("dbserver/log", func(_ context.Context, _ *sandbox.Inside, name string) (string, error) {
	held.Lock()
	defer held.Unlock()
	if p := held.programs[name]; p != nil {
		return p.log.String(), nil
	}
	return "", nil
})

// leave ends all servers and removes their files, where namespaces do not do it.
var leave = sandbox.Register("dbserver/leave", func(ctx context.Context, _ *sandbox.Inside, _ struct{}) (_ struct{}, err error) {
	held.Lock()
	defer held.Unlock()
	for _, p := range held.programs {
		err = errors.Join(err, p.kill(ctx))
	}
	return struct{}{}, errors.Join(err, held.sweeper.Close())
})
