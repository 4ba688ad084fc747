package nftrace

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

// patience bounds what a test waits for; nothing in here takes as long.
const patience = 20 * time.Second

// packet is one that a test sends in a sandbox.
type packet struct {
	Protocol uint8          `json:"protocol"`
	To       netip.AddrPort `json:"to"`
}

func (p packet) String() string { return fmt.Sprintf("protocol %d to %v", p.Protocol, p.To) }

func (p packet) is(other Packet) bool {
	return other.Head != nil && other.Head.Packet.Protocol == p.Protocol && other.Head.Packet.Destination == p.To &&
		(other.Head.Packet.ICMP == nil || other.Head.Packet.ICMP.Type == 8 || other.Head.Packet.ICMP.Type == 128)
}

// send sends the packet and does not care whether it arrives. What it returns
// stays open until close, so that a connection is neither reset nor repeated.
func (p packet) send() (closing func(), err error) {
	if p.Protocol == ICMP || p.Protocol == ICMPv6 {
		return func() {}, p.sendEcho()
	}
	kind := map[uint8]sock.Kind{TCP: sock.TCP, UDP: sock.UDP}[p.Protocol]
	family := sock.IPv4
	if p.To.Addr().Is6() {
		family = sock.IPv6
	}
	s, err := sock.New(kind, family)
	if err != nil {
		return nil, err
	}
	closing = func() { s.Close() }
	if kind == sock.TCP {
		if err := s.StartConnect(p.To); err != nil && err != syscall.EINPROGRESS && !isRefusal(err) {
			return closing, err
		}
		return closing, nil
	}
	if _, err := s.SendTo(context.Background(), []byte("?"), p.To, 0); err != nil && !isRefusal(err) {
		return closing, err
	}
	return closing, nil
}

// isRefusal says that an error is what a firewall's answer or the lack of a
// listener gives to who sends.
func isRefusal(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EPERM, syscall.ECONNREFUSED, syscall.EINPROGRESS} {
		if strings.Contains(err.Error(), errno.Error()) {
			return true
		}
	}
	return false
}

func (p packet) sendEcho() error {
	family, protocol, kind := unix.AF_INET, unix.IPPROTO_ICMP, icmp.Type(ipv4.ICMPTypeEcho)
	var to unix.Sockaddr
	if p.To.Addr().Is4() {
		to = &unix.SockaddrInet4{Addr: p.To.Addr().As4()}
	}
	if p.To.Addr().Is6() {
		family, protocol, kind = unix.AF_INET6, unix.IPPROTO_ICMPV6, ipv6.ICMPTypeEchoRequest
		to = &unix.SockaddrInet6{Addr: p.To.Addr().As16()}
	}
	message, err := (&icmp.Message{Type: kind, Body: &icmp.Echo{ID: 77, Seq: 5, Data: []byte("?")}}).Marshal(nil)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, message, 0, to)
}

// monitor is a running nft monitor trace.
type monitor struct {
	command *exec.Cmd
	lines   chan string
	// known are the steps that were read, by the packet's number.
	known map[string][]string
}

// startMonitor returns once nft prints what it sees: it sends packets until a
// line comes. They have to be marked.
func startMonitor(ctx context.Context) (*monitor, error) {
	m := &monitor{command: exec.CommandContext(ctx, "nft", "-s", "monitor", "trace"), lines: make(chan string, 10000), known: map[string][]string{}}
	out, err := m.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := m.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(m.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			m.lines <- scanner.Text()
		}
	}()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err := (packet{UDP, netip.MustParseAddrPort("127.0.0.1:1")}).send(); err != nil {
			return nil, err
		}
		select {
		case line, open := <-m.lines:
			if !open {
				return nil, fmt.Errorf("nft monitor trace: %w", m.command.Wait())
			}
			m.add(line)
			return m, nil
		case <-again.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

var (
	traceLine = regexp.MustCompile(`^trace id ([0-9a-f]+) (\S+ \S+ \S+) (.*?)\s*$`)
	ruleLine  = regexp.MustCompile(`^rule (.*) \(verdict (.*)\)$`)
	// counted is what nft prints of a counter's state.
	counted = regexp.MustCompile(` packets \d+ bytes \d+`)
)

// add takes a line, as render writes events. The ends of chains are left out, as
// some versions of nft do.
func (m *monitor) add(line string) {
	parts := traceLine.FindStringSubmatch(line)
	if parts == nil || strings.HasPrefix(parts[3], "packet: ") || strings.HasPrefix(parts[3], "verdict ") {
		return
	}
	if rule := ruleLine.FindStringSubmatch(parts[3]); rule != nil {
		parts[3] = "rule " + rule[1] + ": " + rule[2]
	}
	m.known[parts[1]] = append(m.known[parts[1]], parts[2]+" "+counted.ReplaceAllString(parts[3], ""))
}

func (m *monitor) steps(id uint32) []string { return m.known[fmt.Sprintf("%08x", id)] }

// await reads on until nft has printed so many steps of a packet.
func (m *monitor) await(ctx context.Context, id uint32, count int) ([]string, error) {
	for {
		if steps := m.steps(id); len(steps) >= count {
			return steps, nil
		}
		select {
		case line, open := <-m.lines:
			if !open {
				return m.steps(id), fmt.Errorf("nft monitor trace: %w", m.command.Wait())
			}
			m.add(line)
		case <-ctx.Done():
			return m.steps(id), ctx.Err()
		}
	}
}

// rules is what nft writes for each rule, by table and handle.
type rules map[string]string

var (
	tableLine  = regexp.MustCompile(`^table (\S+ \S+) `)
	handleLine = regexp.MustCompile(`^\s+(.*) # handle (\d+)$`)
)

func listRules() (rules, error) {
	out, err := exec.Command("nft", "-a", "-s", "list", "ruleset").Output()
	if err != nil {
		return nil, fmt.Errorf("nft list ruleset: %w", err)
	}
	table, found := "", rules{}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, "\n")
		if m := tableLine.FindStringSubmatch(line); m != nil {
			table = m[1]
		}
		if m := handleLine.FindStringSubmatch(line); m != nil {
			found[table+" "+m[2]] = counted.ReplaceAllString(m[1], "")
		}
	}
	return found, nil
}

// render writes an event as steps does.
func (r rules) render(e Event) string {
	switch {
	case e.Type == Policy:
		return fmt.Sprintf("%s policy %v", e.Named(), e.Verdict)
	case e.Handle == 0:
		return fmt.Sprintf("%s verdict %v", e.Named(), e.Verdict)
	}
	return fmt.Sprintf("%s rule %s: %v", e.Named(), r[fmt.Sprintf("%s %s %d", e.Family, e.Table, e.Handle)], e.Verdict)
}

func runNft(script string) error {
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(script)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}

// start starts a sandbox, or skips where this user is given none.
func start(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	s := sandboxtest.Start(t, sandbox.Config{})
	return s
}

func needNft(t *testing.T) {
	t.Helper()
	for _, folder := range []string{"", "/usr/sbin/", "/sbin/"} {
		if _, err := exec.LookPath(folder + "nft"); err == nil {
			return
		}
	}
	t.Skip("nft is not installed: it is in the package nftables")
}
