package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// What the tests have done inside.

type view struct {
	Namespace  string // of the network, as /proc/thread-self/ns/net names it
	Interfaces []string
	LoUp       bool
	UID        int
}

var look = Register("test/look", func(_ context.Context, in *Inside, _ struct{}) (view, error) {
	namespace, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return view{}, err
	}
	v := view{Namespace: namespace, UID: os.Getuid()}
	interfaces, err := net.Interfaces()
	for _, i := range interfaces {
		v.Interfaces = append(v.Interfaces, i.Name)
		v.LoUp = v.LoUp || i.Name == "lo" && i.Flags&net.FlagUp != 0
	}
	slices.Sort(v.Interfaces)
	return v, err
})

type echoArg struct {
	Server string // the zone that listens
	Addr   netip.Addr
}

// reach connects from the zone it is called in to a listener in another and
// returns the address that the listener saw.
var reach = Register("test/reach", func(ctx context.Context, in *Inside, arg echoArg) (netip.Addr, error) {
	family := sock.IPv4
	if arg.Addr.Is6() {
		family = sock.IPv6
	}
	var listener *sock.Socket
	var at netip.AddrPort
	err := in.Do(arg.Server, func() (err error) {
		if listener, err = sock.New(sock.TCP, family); err != nil {
			return err
		}
		if err := errors.Join(listener.Bind(netip.AddrPortFrom(arg.Addr, 0)), listener.Listen(1)); err != nil {
			return err
		}
		at, err = listener.LocalAddr()
		return err
	})
	if err != nil {
		return netip.Addr{}, err
	}
	defer listener.Close()
	client, err := sock.New(sock.TCP, family)
	if err != nil {
		return netip.Addr{}, err
	}
	defer client.Close()
	if err := client.Connect(ctx, at); err != nil {
		return netip.Addr{}, err
	}
	server, err := listener.Accept(ctx)
	if err != nil {
		return netip.Addr{}, err
	}
	defer server.Close()
	peer, err := server.PeerAddr()
	return peer.Addr(), err
})

// fail returns what it is told to, both a result and an error.
var fail = Register("test/fail", func(_ context.Context, _ *Inside, kind string) (string, error) {
	switch kind {
	case "errno":
		return "and a result", fmt.Errorf("connect: %w", syscall.ECONNREFUSED)
	case "sentinel":
		return "and a result", fmt.Errorf("look: %w", fs.ErrNotExist)
	case "panic":
		panic("at once")
	case "exit":
		fmt.Fprintln(os.Stderr, "the last words")
		os.Exit(7)
	}
	return "", nil
})

// wait ends with its context, or not even then.
var wait = Register("test/wait", func(ctx context.Context, _ *Inside, stubborn bool) (string, error) {
	<-ctx.Done()
	if stubborn {
		select {}
	}
	return "how far it came", ctx.Err()
})

type attempt struct{ File, Value string }

// write writes a file and returns what it held before.
var write = Register("test/write", func(_ context.Context, _ *Inside, a attempt) (string, error) {
	before, err := os.ReadFile(a.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return strings.TrimSpace(string(before)), os.WriteFile(a.File, []byte(a.Value), 0o600)
})

var read = Register("test/read", func(_ context.Context, _ *Inside, file string) (string, error) {
	text, err := os.ReadFile(file)
	return strings.TrimSpace(string(text)), err
})

// linger starts a program that would outlive everything, and returns when it
// runs.
var linger = Register("test/linger", func(_ context.Context, _ *Inside, name string) (int, error) {
	program := exec.Command("sleep", "1000")
	program.Args[0] = name
	err := program.Start()
	if err != nil {
		return 0, err
	}
	return program.Process.Pid, nil
})

// run runs a program.
var run = Register("test/run", func(ctx context.Context, _ *Inside, args []string) (string, error) {
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	return string(out), err
})

// becomeAnother changes the user of its thread alone and returns who it is
// then.
var becomeAnother = Register("test/another", func(_ context.Context, _ *Inside, uid int) (int, error) {
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
		return 0, errno
	}
	euid, _, _ := unix.RawSyscall(unix.SYS_GETEUID, 0, 0, 0)
	return int(euid), nil
})
