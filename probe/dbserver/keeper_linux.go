package dbserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/loopcheck/loopcheck/probe/freeport"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

const (
	// makeTimeout is for initdb, which takes a second or two of processor time.
	makeTimeout = 60 * time.Second
	// startTimeout is for a server that has its files, which takes some tens of
	// milliseconds, or after it was killed some more.
	startTimeout = 20 * time.Second
	// portTries is how often a port is looked for that nobody takes before the
	// server does.
	portTries = 3
)

// Keeper holds servers, and ends with them. Its methods may be called from several
// goroutines.
type Keeper struct {
	box    *sandbox.Sandbox
	folder string // as the servers see it
	// seen is the same folder as this process sees it: their mounts are their own,
	// and are reached by way of /proc/PID/root (proc_pid_root(5)).
	seen        string
	certificate certificate
	password    string
	postgres    string // the folder of PostgreSQL's programs, when its files were made
}

// running is what it takes to start a server again.
type running struct {
	keeper *Keeper
	order  order
}

// Start makes the place where servers run. The caller closes it; if the caller's
// process ends in any way without that, all of it is gone nevertheless. The error is
// a *PrivilegeError or a *FolderError where that is what is lacking.
func Start(ctx context.Context) (*Keeper, error) {
	certificate, err := newCertificate(time.Now())
	if err != nil {
		return nil, err
	}
	box, err := sandbox.Start(ctx, sandbox.Config{OnHost: true})
	if err != nil {
		return nil, fmt.Errorf("start a place for database servers: %w", err)
	}
	k := &Keeper{box: box, certificate: certificate, password: rand.Text()}
	place, err := settle.Call(ctx, box, "", box.Facts())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a folder for database servers: %w", place.Lacks.of(err)), box.Close())
	}
	k.folder = place.Folder
	k.seen = k.folder
	if !box.Facts().Plain {
		k.seen = filepath.Join("/proc", strconv.Itoa(box.PID()), "root", k.folder)
	}
	files := []file{{"cert.pem", certificate.cert}, {"key.pem", certificate.key}, {"password", []byte(k.password + "\n")}}
	if _, err := write.Call(ctx, box, "", files); err != nil {
		return nil, errors.Join(fmt.Errorf("write the files of database servers: %w", err), k.Close())
	}
	return k, nil
}

// of is the error of what is lacking.
func (l lack) of(err error) error {
	switch l {
	case lacksPrivileges:
		return &PrivilegeError{err}
	case lacksFolder:
		return &FolderError{err}
	default:
		return err
	}
}

// Close ends all servers and removes what they wrote. Closing again does nothing.
func (k *Keeper) Close() error {
	var err error
	if k.box.Facts().Plain {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		if _, err = leave.Call(ctx, k.box, "", struct{}{}); errors.Is(err, sandbox.ErrClosed) {
			err = nil
		}
	}
	return errors.Join(err, k.box.Close())
}

// start starts a server for which ports were found, at others where somebody was
// quicker.
func (k *Keeper) start(ctx context.Context, count int, prepare func([]uint16) (order, error)) (ports []uint16, o order, err error) {
	for range portTries {
		if ports, err = freePorts(ctx, count); err != nil {
			return nil, order{}, err
		}
		if o, err = prepare(ports); err != nil {
			return nil, order{}, err
		}
		if err = k.launch(ctx, o); err == nil {
			return ports, o, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, order{}, err
}

func freePorts(ctx context.Context, count int) ([]uint16, error) {
	found, err := freeport.Find(ctx, freeport.Options{Count: count})
	if err != nil {
		return nil, err
	}
	var numbers []uint16
	for _, p := range found {
		numbers = append(numbers, p.Number)
		p.Close()
	}
	return numbers, nil
}

func (k *Keeper) launch(ctx context.Context, o order) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if output, err := launch.Call(ctx, k.box, "", o); err != nil {
		return k.startError(filepath.Base(o.Args[0]), err, output)
	}
	return nil
}

// startError is a *StartError. A server may quote the line of its settings that it
// does not like, which may be the password's.
func (k *Keeper) startError(program string, err error, output string) error {
	return &StartError{Program: program, Err: err, Output: strings.ReplaceAll(output, k.password, "(password)")}
}

// usable is the first of some programs that the servers' user can execute and that
// is new enough. Where none is, the error says what the first of them is: an
// *UnusableError or a *TooOldError. It is a *PrivilegeError where that user is not to
// be had.
func (k *Keeper) usable(ctx context.Context, programs []string, needs int) (program string, err error) {
	for _, program := range programs {
		failed := k.newEnough(ctx, program, needs)
		if failed == nil {
			return program, nil
		}
		if err == nil || errors.As(failed, new(*PrivilegeError)) {
			err = failed
		}
	}
	return "", err
}

// newEnough asks a program for its version, as the servers' user. One that does not
// tell may be of any.
func (k *Keeper) newEnough(ctx context.Context, program string, needs int) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	output, err := run.Call(ctx, k.box, "", []string{program, "--version"})
	var errno syscall.Errno
	if errors.As(err, &errno) {
		switch errno {
		case syscall.EACCES, syscall.ENOENT, syscall.ENOEXEC:
			return &UnusableError{Program: program, Err: errno}
		case syscall.EPERM, syscall.EINVAL, syscall.ENOSPC, syscall.EUSERS:
			// Of clone(2) with CLONE_NEWUSER, and of setuid(2).
			return &PrivilegeError{err}
		}
	}
	if err != nil {
		return nil // the start tells what is wrong with it
	}
	if has, tells := major(output); tells && has < needs {
		return &TooOldError{Program: filepath.Base(program), Has: has, Needs: needs}
	}
	return nil
}

// told is how initdb, redis-server and valkey-server tell their version.
var told = regexp.MustCompile(`(?:\(PostgreSQL\) |\bv=)(\d+)`)

// major is the major version in what a program told of its version.
func major(output string) (number int, tells bool) {
	match := told.FindStringSubmatch(output)
	if match == nil {
		return 0, false
	}
	number, err := strconv.Atoi(match[1])
	return number, err == nil
}

// Kill ends the server and every process of it by SIGKILL, and waits until they
// have ended: its sockets are closed by then.
func (s *Server) Kill(ctx context.Context) error {
	_, err := kill.Call(ctx, s.keeper.box, "", s.order.Name)
	return err
}

// Restart starts a server that was killed, at the same places.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.keeper.launch(ctx, s.order); err != nil || s.order.Name != postgresName {
		return err
	}
	return s.keeper.forgetMemory(ctx)
}

// Log returns the end of what the server wrote since it was started.
func (s *Server) Log(ctx context.Context) (string, error) {
	return written.Call(ctx, s.keeper.box, "", s.order.Name)
}

func loopback(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}
