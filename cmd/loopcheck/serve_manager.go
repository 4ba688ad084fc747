package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// inheritedListeners are those that a service manager, or `loopcheck ports free
// --hold`, passed on (sd_listen_fds(3)); none where they are for another process.
func inheritedListeners() (all []net.Listener, err error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	count, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || count < 0 || count > maxInherited {
		return nil, fmt.Errorf("LISTEN_FDS=%q: expected a number from 0 to %d, as sd_listen_fds(3) says", os.Getenv("LISTEN_FDS"), maxInherited)
	}
	for fd := firstListenFD; fd < firstListenFD+count; fd++ {
		f := os.NewFile(uintptr(fd), "descriptor "+strconv.Itoa(fd))
		if f == nil {
			return nil, fmt.Errorf("LISTEN_FDS=%d: there is no descriptor %d", count, fd)
		}
		l, err := net.FileListener(f)
		err = errors.Join(err, f.Close())
		if err != nil {
			return nil, fmt.Errorf("LISTEN_FDS=%d: descriptor %d is no listener: %w", count, fd, err)
		}
		all = append(all, l)
	}
	return all, nil
}

const (
	// firstListenFD is where sd_listen_fds(3) begins.
	firstListenFD = 3
	maxInherited  = 64
)

// managerTimeout bounds what a service manager that reads nothing holds up.
const managerTimeout = time.Second

// tellManager tells the service manager, where there is one that wants to know
// (sd_notify(3)).
func tellManager(what string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	// A name that begins with @ is an abstract one, for net as for systemd.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager at NOTIFY_SOCKET: %w", err)
	}
	_ = conn.SetDeadline(time.Now().Add(managerTimeout))
	_, err = conn.Write([]byte(what))
	return errors.Join(err, conn.Close())
}

// onHangup has SIGHUP do something, as servers do, until the returned function is
// called. When the terminal is closed it ends the program as it would have without,
// unless that is ignored (nohup(1)).
func onHangup(do func()) (stop func()) {
	ignored := signal.Ignored(syscall.SIGHUP)
	attended := hasTerminal()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-signals:
			}
			switch {
			case !attended || hasTerminal():
				do()
			case !ignored:
				signal.Reset(syscall.SIGHUP)
				if self, err := os.FindProcess(os.Getpid()); err == nil {
					_ = self.Signal(syscall.SIGHUP)
				}
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}

// hasTerminal says whether the process has a controlling terminal (tty(4)).
func hasTerminal() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	_ = tty.Close()
	return true
}
