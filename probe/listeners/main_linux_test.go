package listeners

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// roleVariable makes this binary play a part of a test instead of testing.
const roleVariable = "LISTENERS_TEST_ROLE"

// roles are what children of a test do. Each prints one line when it is ready
// and stays until its input ends.
var roles = map[string]func() error{
	// look reads who listens while it listens itself.
	"look": func() error {
		own, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer own.Close()
		list, err := Read(context.Background())
		if err != nil {
			return err
		}
		line, err := json.Marshal(list)
		if err != nil {
			return err
		}
		return stay(string(line))
	},
	"inherit": func() error { return stay("ready") },
	// manager is a holder that goes by the name of a service manager.
	"manager": func() error {
		if err := os.WriteFile("/proc/self/comm", []byte("systemd"), 0); err != nil {
			return err
		}
		return stay("ready")
	},
}

func stay(ready string) error {
	fmt.Println(ready)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func TestMain(m *testing.M) {
	sandbox.Main()
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := roles[role](); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child starts this binary in a role and returns its first line, and what ends
// it.
func child(role string, change func(*exec.Cmd)) (cmd *exec.Cmd, line string, end func(), err error) {
	// The path of a test binary may be closed to other users; this is not.
	cmd = exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", nil, err
	}
	if change != nil {
		change(cmd)
	}
	if err := cmd.Start(); err != nil {
		return nil, "", nil, err
	}
	end = func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}
	line, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		end()
		return nil, "", nil, fmt.Errorf("the child that is to %s: %w", role, err)
	}
	return cmd, strings.TrimSuffix(line, "\n"), end, nil
}

// opening is a socket to be opened.
type opening struct {
	Protocol string
	At       string // address and port; one of IPv6 in brackets
	Device   string // SO_BINDTODEVICE, or the scope of a link-local address
	V6Only   bool
	Backlog  int
}

// open opens it on the calling thread, in whose namespace it then is.
func (o opening) open() (fd int, err error) {
	at := netip.MustParseAddrPort(o.At)
	domain, kind := unix.AF_INET, unix.SOCK_STREAM
	if at.Addr().Is6() {
		domain = unix.AF_INET6
	}
	if o.Protocol == "udp" {
		kind = unix.SOCK_DGRAM
	}
	if fd, err = unix.Socket(domain, kind|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, fmt.Errorf("open a socket for %s: %w", o.At, err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
			err = fmt.Errorf("listen at %s %s: %w", o.Protocol, o.At, err)
		}
	}()
	if domain == unix.AF_INET6 {
		only := 0
		if o.V6Only {
			only = 1
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return fd, err
		}
	}
	if o.Device != "" {
		if err := unix.BindToDevice(fd, o.Device); err != nil {
			return fd, err
		}
	}
	// Addresses that no interface has can be bound to as well.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1); err != nil {
		return fd, err
	}
	if err := unix.Bind(fd, sockaddr(at)); err != nil {
		return fd, err
	}
	if kind == unix.SOCK_STREAM {
		return fd, unix.Listen(fd, o.Backlog)
	}
	return fd, nil
}

func sockaddr(at netip.AddrPort) unix.Sockaddr {
	if at.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
}

// openAll opens sockets, and returns what closes them.
func openAll(openings []opening) (closeAll func(), err error) {
	var fds []int
	closeAll = func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}
	for _, o := range openings {
		fd, err := o.open()
		if err != nil {
			closeAll()
			return nil, err
		}
		fds = append(fds, fd)
	}
	return closeAll, nil
}

// machine is a sandbox with an interface that others could reach it over.
func machine(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	s := sandboxtest.Start(t, sandbox.Config{
		Zones: []string{"", "far"},
		Links: []sandbox.Link{{
			A: sandbox.End{Name: "eth0", Addresses: []netip.Prefix{
				netip.MustParsePrefix("10.9.9.9/24"), netip.MustParsePrefix("fd99::9/64"),
			}},
			B: sandbox.End{Zone: "far", Name: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.9.10/24")}},
		}},
	})
	return s
}

// needIPv6 skips the test on a kernel without it.
func needIPv6(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		t.Skipf("this kernel has no IPv6: %v", err)
	}
}
