package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/process"
)

// workerName is the first argument of a worker, by which it knows that it is
// one and a person knows it in a list of processes.
const workerName = "loopcheck: sandbox"

// workerFD is where a worker finds its end of the socket: the first descriptor
// after the standard three.
const workerFD = 3

// namespaces are those that every worker has of its own. That of PIDs makes
// the worker the init of what it starts, so that all of it dies with it.
const namespaces = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS

// Sandbox is a running worker. Its methods may be called from several
// goroutines.
type Sandbox struct {
	command *exec.Cmd
	output  *process.Tail
	socket  *os.File
	facts   Facts
	gone    chan struct{} // closed when the worker was waited for

	mu      sync.Mutex
	encoder *json.Encoder
	nextID  uint64
	pending map[uint64]chan reply
	ended   error // why nothing can be called any more
}

// Start makes a sandbox. The caller closes it; if the caller's process ends in
// any way without that, the kernel does.
//
// The error is a *RefusedError where this user is not given namespaces here.
func Start(ctx context.Context, config Config) (*Sandbox, error) {
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("start a sandbox: %w", err)
	}
	ctx, cancel := bounded(ctx, startTimeout)
	defer cancel()
	s, err := start(ctx, config, inUserNamespace)
	var refused *RefusedError
	if errors.As(err, &refused) {
		// Root needs no user namespace for the others.
		if without, err := start(ctx, config, withoutUserNamespace); err == nil {
			return without, nil
		}
		if config.OnHost {
			return start(ctx, config, withoutNamespaces)
		}
	}
	return s, err
}

// isolation is what a worker is kept apart by.
type isolation int

const (
	inUserNamespace isolation = iota
	withoutUserNamespace
	withoutNamespaces
)

func start(ctx context.Context, config Config, apart isolation) (*Sandbox, error) {
	s, setup, err := spawn(config, apart)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, setup); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// bounded gives a context without a deadline one.
func bounded(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}

// spawn starts the worker's process.
func spawn(config Config, apart isolation) (*Sandbox, setup, error) {
	plan := setup{Config: config, UserNS: apart == inUserNamespace, Plain: apart == withoutNamespaces, IDs: 1}
	if !config.OnHost {
		plan.Damage = damageCommands()
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, plan, fmt.Errorf("open a socket to a sandbox: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "sandbox"), os.NewFile(uintptr(fds[1]), "worker")
	defer theirs.Close()

	attributes := &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		// What a terminal sends to its foreground is for the parent to
		// handle: a check under way may end first.
		Setpgid: true,
	}
	if !plan.Plain {
		attributes.Cloneflags = namespaces
	}
	if !config.OnHost {
		// Made once the user IDs are mapped: files of a network namespace that
		// was made before belong to nobody inside (/proc/net/ip_tables_names).
		attributes.Unshareflags = syscall.CLONE_NEWNET
	}
	if plan.UserNS {
		ids := mappableIDs()
		plan.IDs = min(ids.users, ids.groups)
		attributes.Cloneflags |= syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{HostID: ids.user, Size: ids.users}}
		attributes.GidMappings = []syscall.SysProcIDMap{{HostID: ids.group, Size: ids.groups}}
		attributes.GidMappingsEnableSetgroups = plan.IDs > 1
		// A binary with file capabilities is not dumpable, and the files in
		// /proc of one that is not belong to root: its user could not write
		// the child's uid_map (prctl(2), PR_SET_DUMPABLE; proc(5)).
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	}
	command := &exec.Cmd{
		Path:        "/proc/self/exe",
		Args:        []string{workerName},
		Env:         workerEnvironment(plan.Plain),
		ExtraFiles:  []*os.File{theirs},
		SysProcAttr: attributes,
	}
	s := &Sandbox{
		command: command,
		output:  &process.Tail{},
		socket:  ours,
		gone:    make(chan struct{}),
		encoder: json.NewEncoder(ours),
		pending: map[uint64]chan reply{},
	}
	command.Stdout, command.Stderr = s.output, s.output
	// A process that was started inside and holds the output dies with the
	// worker, at once; this only keeps a defect from becoming a hang.
	command.WaitDelay = unwindTimeout
	if err := Launch(command); err != nil {
		ours.Close()
		return nil, plan, refusal(err)
	}
	return s, plan, nil
}

// launches takes commands to one thread that never ends: the kernel sends
// Pdeathsig when the thread that started the child does (prctl(2)).
var launches = sync.OnceValue(func() chan<- func() {
	queue := make(chan func())
	go func() {
		runtime.LockOSThread()
		for run := range queue {
			run()
		}
	}()
	return queue
})

// Launch starts a command from a thread that never ends, so that its Pdeathsig
// is sent when this process ends, and not before.
func Launch(command *exec.Cmd) error {
	result := make(chan error)
	launches() <- func() { result <- command.Start() }
	return <-result
}

// await sends the setup and waits until the sandbox stands.
func (s *Sandbox) await(ctx context.Context, plan setup) error {
	first := make(chan reply, 1)
	s.pending[0] = first
	sendErr := s.encoder.Encode(request{Setup: &plan})
	go s.receive()
	// Without a worker, the reason why it died says more than EPIPE.
	select {
	case r, ok := <-first:
		switch {
		case !ok:
			return fmt.Errorf("start a sandbox: %w", s.endedBy())
		case r.Refused:
			return refusal(r.Err.err())
		case r.Err != nil:
			return fmt.Errorf("start a sandbox: %w", r.Err.err())
		}
		s.facts = *r.Facts
		return nil
	case <-ctx.Done():
		return fmt.Errorf("start a sandbox: %w", errors.Join(ctx.Err(), sendErr))
	}
}

// receive hands replies to the calls that wait for them, until the worker is
// gone.
func (s *Sandbox) receive() {
	decoder := json.NewDecoder(s.socket)
	for {
		var r reply
		if err := decoder.Decode(&r); err != nil {
			break
		}
		s.mu.Lock()
		waiting := s.pending[r.ID]
		delete(s.pending, r.ID)
		s.mu.Unlock()
		if waiting != nil {
			waiting <- r
		}
	}
	// Nothing that it could still say would be understood.
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
	s.end(&DiedError{State: s.command.ProcessState.String(), Output: s.output.String()})
	close(s.gone)
}

// end fails every call that waits and all that would follow. The first reason
// stands.
func (s *Sandbox) end(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = reason
	}
	for id, waiting := range s.pending {
		delete(s.pending, id)
		close(waiting)
	}
}

func (s *Sandbox) endedBy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// Facts says what this sandbox is.
func (s *Sandbox) Facts() Facts { return s.facts }

// PID is the worker's process ID.
func (s *Sandbox) PID() int { return s.command.Process.Pid }

// Close kills the worker and with it everything that runs inside, and waits
// until the process is gone. Calls under way return ErrClosed. Closing again
// does nothing.
func (s *Sandbox) Close() error {
	s.end(ErrClosed)
	_ = s.command.Process.Kill()
	<-s.gone
	if err := s.socket.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close a sandbox: %w", err)
	}
	return nil
}

func (s *Sandbox) call(ctx context.Context, name, zone string, arg json.RawMessage) (json.RawMessage, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("call %s in a sandbox: %w", name, err)
	}
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	id, answer, err := s.send(request{Func: name, Zone: zone, Limit: time.Until(deadline), Arg: arg})
	if err != nil {
		return nil, fmt.Errorf("call %s in a sandbox: %w", name, err)
	}
	select {
	case r, ok := <-answer:
		return s.result(name, r, ok)
	case <-ctx.Done():
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		// Deadlines the worker keeps itself, so that a function sees which it was.
		s.cancel(id)
	}
	unwind := time.NewTimer(unwindTimeout)
	defer unwind.Stop()
	select {
	case r, ok := <-answer:
		return s.result(name, r, ok)
	case <-unwind.C:
		return nil, fmt.Errorf("call %s in a sandbox: it does not end: %w", name, ctx.Err())
	}
}

// send begins a call and returns where its reply will arrive.
func (s *Sandbox) send(r request) (uint64, <-chan reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		return 0, nil, s.ended
	}
	s.nextID++
	r.ID = s.nextID
	answer := make(chan reply, 1)
	s.pending[r.ID] = answer
	if err := s.encoder.Encode(r); err != nil && !errors.Is(err, syscall.EPIPE) {
		delete(s.pending, r.ID)
		return 0, nil, err
	}
	// After EPIPE the worker is dying, and its reason is about to be known.
	return r.ID, answer, nil
}

func (s *Sandbox) cancel(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A worker that cannot be told is gone, which ends the call as well.
	_ = s.encoder.Encode(request{ID: id, Cancel: true})
}

func (s *Sandbox) result(name string, r reply, ok bool) (json.RawMessage, error) {
	if !ok {
		return nil, fmt.Errorf("call %s in a sandbox: %w", name, s.endedBy())
	}
	return r.Result, r.Err.err()
}
