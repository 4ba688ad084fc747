package socktable_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// openSome leaves a few sockets of every kind that is compared.
func openSome(t *testing.T) {
	t.Helper()
	l, addr := listener(t, "127.0.0.1:0", 2)
	connected(t, unix.SOCK_STREAM, addr)
	accept(t, l)
	udp := open(t, unix.AF_INET, unix.SOCK_DGRAM, 0)
	connected(t, unix.SOCK_DGRAM, bind(t, udp, "127.0.0.1:0"))
	six := open(t, unix.AF_INET6, unix.SOCK_STREAM, 0)
	bind(t, six, "[::]:0")
	if err := unix.Listen(six, 1); err != nil {
		t.Fatal(err)
	}
	bind(t, open(t, unix.AF_INET6, unix.SOCK_DGRAM, 0), "[::]:0")
}

// Others open and close sockets meanwhile: a comparison holds when it does once.
func eventuallySame(t *testing.T, asked func() []string, seen func() ([]string, error)) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		before := asked()
		other, err := seen()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(other).NotTo(BeEmpty())
		g.Expect(other).To(ConsistOf(before))
	}).WithTimeout(patience).Should(Succeed())
}

func TestAgreesWithProc(t *testing.T) {
	for file, c := range map[string]struct {
		protocol socktable.Protocol
		family   sock.Family
	}{
		"tcp": {socktable.TCP, sock.IPv4}, "tcp6": {socktable.TCP, sock.IPv6},
		"udp": {socktable.UDP, sock.IPv4}, "udp6": {socktable.UDP, sock.IPv6},
	} {
		t.Run(file, func(t *testing.T) {
			alone(t)
			openSome(t)
			asked := func() []string {
				var lines []string
				for _, s := range read(t, socktable.Options{Protocols: []socktable.Protocol{c.protocol}}).Sockets {
					// The file has no TCP sockets that are only bound.
					if s.Family == c.family && (s.Protocol == socktable.UDP || s.State != sock.Closed) {
						lines = append(lines, summary(s))
					}
				}
				return lines
			}
			eventuallySame(t, asked, func() ([]string, error) {
				text, err := os.ReadFile("/proc/thread-self/net/" + file)
				if err != nil {
					return nil, err
				}
				var lines []string
				_, rest, _ := bytes.Cut(text, []byte("\n"))
				for line := range bytes.Lines(rest) {
					s, err := socktable.ParseProcNet(c.protocol, string(line))
					if err != nil {
						return nil, err
					}
					lines = append(lines, summary(s))
				}
				return lines, nil
			})
		})
	}
}

func summary(s socktable.Socket) string {
	return fmt.Sprintf("%s %s %s %s uid %d inode %d", s.Local, s.Remote, s.State, s.Protocol, s.UID, s.Inode)
}

func TestAgreesWithSS(t *testing.T) {
	if _, err := exec.LookPath("ss"); err != nil {
		t.Skip(err)
	}
	for flag, c := range map[string]struct {
		protocol socktable.Protocol
		state    sock.TCPState
	}{
		"--tcp": {socktable.TCP, sock.Listening}, "--udp": {socktable.UDP, sock.Closed},
	} {
		t.Run(flag, func(t *testing.T) {
			alone(t)
			openSome(t)
			asked := func() []string {
				var lines []string
				for _, s := range read(t, socktable.Options{
					Protocols: []socktable.Protocol{c.protocol}, States: []sock.TCPState{c.state},
				}).Sockets {
					if s.Local.Port() != 0 {
						lines = append(lines, fmt.Sprintf("%d %d %s inode %d", s.ReceiveQueue, s.SendQueue, s.Local, s.Inode))
					}
				}
				return lines
			}
			eventuallySame(t, asked, func() ([]string, error) { return listOfSS(flag) })
		})
	}
}

// listOfSS writes what ss(8) lists as asked does.
func listOfSS(flag string) ([]string, error) {
	out, err := exec.Command("ss", "--no-header", "--oneline", "--numeric", "--listening", "--extended", flag).Output()
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		// State, queues, local and remote address, details.
		fields := strings.Fields(line)
		_, inode, _ := strings.Cut(line, "ino:")
		inode, _, _ = strings.Cut(inode, " ")
		local := strings.NewReplacer("*", "[::]").Replace(fields[3])
		// ss marks an address by its interface.
		if host, rest, bound := strings.Cut(local, "%"); bound {
			_, port, _ := strings.Cut(rest, ":")
			local = host + ":" + port
		}
		addr, err := netip.ParseAddrPort(local)
		if err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprintf("%s %s %s inode %s", fields[1], fields[2], addr, inode))
	}
	return lines, nil
}
