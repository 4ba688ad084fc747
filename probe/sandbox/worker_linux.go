package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Main makes this process a worker, if it was started as one, and then does
// not return. Otherwise it does nothing. Call it before anything else.
func Main() {
	if len(os.Args) != 1 || os.Args[0] != workerName {
		return
	}
	// A binary with file capabilities has lost the death signal on execve
	// (prctl(2), PR_SET_PDEATHSIG). If the parent was gone by then, the socket
	// tells.
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
	// The first thread is the one that must not end with a function's.
	runtime.LockOSThread()
	// A user's may take what the worker itself and its programs need of the files
	// they make.
	unix.Umask(umask)
	unix.CloseOnExec(workerFD)
	_ = unix.SetNonblock(workerFD, true)
	w := &worker{socket: os.NewFile(workerFD, "parent"), running: map[uint64]context.CancelFunc{}}
	w.encoder = json.NewEncoder(w.socket)
	w.serve()
	os.Exit(0)
}

// umask is that of a worker (umask(2)).
const umask = 0o022

// workerEnvironment is the parent's, with the folders of system programs, which
// an ordinary user's path may lack, and with the one folder that is writable
// inside for what programs put aside.
func workerEnvironment(plain bool) []string {
	environment := append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if plain {
		return environment
	}
	return append(environment, "TMPDIR=/run")
}

type worker struct {
	socket *os.File
	zones  zones

	sending sync.Mutex
	encoder *json.Encoder

	mu      sync.Mutex
	running map[uint64]context.CancelFunc
}

// serve takes requests until the parent is gone.
func (w *worker) serve() {
	decoder := json.NewDecoder(w.socket)
	var first request
	if decoder.Decode(&first) != nil || first.Setup == nil {
		return
	}
	facts, err := w.prepare(*first.Setup)
	w.send(reply{Facts: &facts, Err: toWire(err), Refused: errors.As(err, new(*deniedError))})
	if err != nil {
		return
	}
	for {
		var r request
		if decoder.Decode(&r) != nil {
			return
		}
		if r.Cancel {
			w.cancel(r.ID)
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), r.Limit)
		w.mu.Lock()
		w.running[r.ID] = cancel
		w.mu.Unlock()
		go w.run(ctx, r)
	}
}

func (w *worker) send(r reply) {
	w.sending.Lock()
	defer w.sending.Unlock()
	// Without a parent there is nobody to tell.
	_ = w.encoder.Encode(r)
}

// cancel ends a call's context; the call may have returned already.
func (w *worker) cancel(id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if cancel := w.running[id]; cancel != nil {
		cancel()
	}
	delete(w.running, id)
}

func (w *worker) run(ctx context.Context, r request) {
	defer w.cancel(r.ID)
	var result json.RawMessage
	err := w.zones.do(r.Zone, func() (err error) {
		f, known := registered[r.Func]
		if !known {
			return fmt.Errorf("no function %q is registered", r.Func)
		}
		result, err = f(ctx, &Inside{zone: r.Zone, zones: w.zones}, r.Arg)
		return err
	})
	w.send(reply{ID: r.ID, Result: result, Err: toWire(err)})
}

// Inside is a function's view of the sandbox that it runs in.
type Inside struct {
	zone  string
	zones zones
}

// Zone is the name of the zone that the function was called in.
func (in *Inside) Zone() string { return in.zone }

// Do runs f in a zone, on a thread of its own that ends with it, and waits for
// it.
func (in *Inside) Do(zone string, f func() error) error { return in.zones.do(zone, f) }

// prepare makes the surroundings. Where rights are missing for what a sandbox
// cannot be without, the error wraps a deniedError.
func (w *worker) prepare(plan setup) (Facts, error) {
	facts := Facts{UserNamespace: plan.UserNS, IDs: plan.IDs, Plain: plan.Plain}
	if plan.Plain {
		facts.Proc, facts.Sys = true, true
		w.zones = zones{"": nil}
		return facts, nil
	}
	if !plan.UserNS {
		facts.IDs = idsOfRoot
	}
	if err := mountOwn(&facts); err != nil {
		return facts, err
	}
	if plan.Config.OnHost {
		w.zones = zones{"": nil}
		return facts, nil
	}
	zones, err := makeZones(plan.Config.zones())
	if err != nil {
		return facts, err
	}
	w.zones = zones
	for _, link := range plan.Config.Links {
		if err := zones.join(link); err != nil {
			return facts, err
		}
	}
	for _, zone := range plan.Config.zones() {
		for _, command := range plan.Damage {
			if err := zones.do(zone, func() error { return shell(command) }); err != nil {
				return facts, err
			}
		}
	}
	return facts, nil
}

func shell(command string) error {
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		return fmt.Errorf("damage %q: %w: %s", command, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// deniedError says that the new namespaces gave no rights.
type deniedError struct{ err error }

func (e *deniedError) Error() string { return e.err.Error() }
func (e *deniedError) Unwrap() error { return e.err }

// denied marks an error for want of rights.
func denied(err error) error {
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOSPC) {
		return &deniedError{err}
	}
	return err
}
