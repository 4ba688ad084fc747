package nftrace

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

var update = flag.Bool("update", false, "capture the messages that FuzzDecode and TestDecode read")

const comparedRules = `
table ip four {
	chain in {
		type filter hook input priority 0; policy drop;
		udp dport 5001 accept
		udp dport 5002 counter drop
		udp dport 5003 reject
		tcp dport 5004 reject with tcp reset
		udp dport 5005 jump sub
		udp dport 5006 goto last
		tcp dport 5007 accept
		udp dport { 5011, 5013, 5015 } accept
		ct state new udp dport 5014 accept
		icmp type echo-request limit rate 100/second accept
	}
	chain sub { udp dport 5005 counter; }
	chain last { udp dport 5006 log prefix "last"; }
}
table ip later {
	chain in {
		type filter hook input priority 10; policy accept;
		udp dport 5011 drop
	}
	chain post {
		type nat hook postrouting priority 100; policy accept;
		udp dport 5015 snat to 127.0.0.77
	}
}
table ip6 six {
	chain in {
		type filter hook input priority 0; policy drop;
		udp dport 5001 accept
		tcp dport 5004 reject
		icmpv6 type echo-request accept
	}
}
table inet both {
	chain out {
		type filter hook output priority 5;
		udp dport 5012 drop
	}
	chain in {
		type filter hook input priority 20;
		udp dport 5013 jump first
		udp dport 5013 mark set 7
		udp dport 5013 accept
	}
	chain first { udp dport 5013 jump second; }
	chain second { udp dport 5013 return; }
}
`

// compared holds, for each packet, the steps that it has to take.
var compared = []struct {
	packet packet
	steps  []string
}{
	{to(UDP, "127.0.0.1:5001"), []string{"inet both out policy accept", "ip later post policy accept", "ip four in rule udp dport 5001 accept: accept", "ip later in policy accept", "inet both in policy accept"}},
	{to(UDP, "127.0.0.1:5002"), []string{"inet both out policy accept", "ip later post policy accept", "ip four in rule udp dport 5002 counter drop: drop"}},
	{to(UDP, "127.0.0.1:5003"), []string{"inet both out policy accept", "ip later post policy accept", "ip four in rule udp dport 5003 reject: drop"}},
	{to(TCP, "127.0.0.1:5004"), []string{"inet both out policy accept", "ip later post policy accept", "ip four in rule tcp dport 5004 reject with tcp reset: drop"}},
	{to(UDP, "127.0.0.1:5005"), []string{
		"inet both out policy accept", "ip later post policy accept",
		"ip four in rule udp dport 5005 jump sub: jump sub",
		"ip four sub rule udp dport 5005 counter: continue", "ip four sub verdict continue", "ip four in policy drop",
	}},
	{to(UDP, "127.0.0.1:5006"), []string{
		"inet both out policy accept", "ip later post policy accept",
		"ip four in rule udp dport 5006 goto last: goto last",
		`ip four last rule udp dport 5006 log prefix "last": continue`, "ip four last verdict continue", "ip four in policy drop",
	}},
	{to(TCP, "127.0.0.1:5007"), []string{"inet both out policy accept", "ip later post policy accept", "ip four in rule tcp dport 5007 accept: accept", "ip later in policy accept", "inet both in policy accept"}},
	{to(UDP, "127.0.0.1:5011"), []string{"inet both out policy accept", "ip later post policy accept", "ip four in rule udp dport { 5011, 5013, 5015 } accept: accept", "ip later in rule udp dport 5011 drop: drop"}},
	{to(UDP, "127.0.0.1:5012"), []string{"inet both out rule udp dport 5012 drop: drop"}},
	{to(UDP, "127.0.0.1:5013"), []string{
		"inet both out policy accept", "ip later post policy accept",
		"ip four in rule udp dport { 5011, 5013, 5015 } accept: accept", "ip later in policy accept",
		"inet both in rule udp dport 5013 jump first: jump first",
		"inet both first rule udp dport 5013 jump second: jump second",
		"inet both second rule udp dport 5013 return: return",
		"inet both first verdict continue",
		"inet both in rule udp dport 5013 meta mark set 0x00000007: continue",
		"inet both in rule udp dport 5013 accept: accept",
	}},
	{to(UDP, "127.0.0.1:5014"), []string{"inet both out policy accept", "ip later post policy accept", "ip four in rule ct state new udp dport 5014 accept: accept", "ip later in policy accept", "inet both in policy accept"}},
	{to(UDP, "127.0.0.1:5015"), []string{
		"inet both out policy accept", "ip later post rule udp dport 5015 snat to 127.0.0.77: accept",
		"ip four in rule udp dport { 5011, 5013, 5015 } accept: accept", "ip later in policy accept", "inet both in policy accept",
	}},
	{to(UDP, "127.0.0.1:5099"), []string{"inet both out policy accept", "ip later post policy accept", "ip four in policy drop"}},
	{to(ICMP, "127.0.0.1:0"), []string{
		"inet both out policy accept", "ip later post policy accept",
		"ip four in rule icmp type echo-request limit rate 100/second accept: accept", "ip later in policy accept", "inet both in policy accept",
	}},
	{to(UDP, "[::1]:5001"), []string{"inet both out policy accept", "ip6 six in rule udp dport 5001 accept: accept", "inet both in policy accept"}},
	{to(TCP, "[::1]:5004"), []string{"inet both out policy accept", "ip6 six in rule tcp dport 5004 reject: drop"}},
	{to(UDP, "[::1]:5099"), []string{"inet both out policy accept", "ip6 six in policy drop"}},
	{to(ICMPv6, "[::1]:0"), []string{"inet both out policy accept", "ip6 six in rule icmpv6 type echo-request accept: accept", "inet both in policy accept"}},
}

func to(protocol uint8, address string) packet {
	return packet{protocol, netip.MustParseAddrPort(address)}
}

// asked is what the comparison sends, and how many steps each packet takes.
type asked struct {
	Packet packet `json:"packet"`
	Steps  int    `json:"steps"`
}

// seen is what became of one packet: by its own steps, and, for each of its
// numbers, by ours and by nft's.
type seen struct {
	Packet  Packet              `json:"packet"`
	Steps   []string            `json:"steps"`
	Ours    map[uint32][]string `json:"ours"`
	Monitor map[uint32][]string `json:"monitor"`
}

type comparison struct {
	Seen  []seen   `json:"seen"`
	Trace Trace    `json:"trace"`
	Raw   [][]byte `json:"raw"`
}

var compareRules = sandbox.Register("nftrace/compare", func(ctx context.Context, _ *sandbox.Inside, all []asked) (c comparison, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := runNft(comparedRules); err != nil {
		return c, err
	}
	listed, err := listRules()
	if err != nil {
		return c, err
	}
	marking, err := Mark()
	if err != nil {
		return c, err
	}
	defer marking.Close()
	m, err := startMonitor(ctx)
	if err != nil {
		return c, err
	}
	raw, err := Open()
	if err != nil {
		return c, err
	}
	defer raw.Close()
	reader, err := Open()
	if err != nil {
		return c, err
	}
	defer reader.Close()
	waiting := map[packet]int{}
	for _, a := range all {
		closing, err := a.Packet.send()
		if err != nil {
			return c, fmt.Errorf("send %v: %w", a.Packet, err)
		}
		defer closing()
		waiting[a.Packet] = a.Steps
	}
	trace, err := reader.Gather(ctx, func(p Packet) bool {
		for sent, steps := range waiting {
			if sent.is(p) && count(p) >= steps {
				delete(waiting, sent)
			}
		}
		return len(waiting) == 0
	})
	if err != nil {
		return c, fmt.Errorf("%w; still waited for %v", err, waiting)
	}
	c.Trace = *trace
	if c.Raw, err = rawMessages(raw.conn); err != nil {
		return c, err
	}
	own, err := listRules()
	if err != nil {
		return c, err
	}
	for _, a := range all {
		p, _ := trace.Find(a.Packet.is)
		s := seen{Packet: p, Ours: map[uint32][]string{}, Monitor: map[uint32][]string{}}
		for _, traversal := range p.Traversals {
			for _, step := range traversal.Steps {
				s.Steps = append(s.Steps, listed.render(step))
			}
		}
		for _, id := range p.IDs {
			for _, e := range trace.Events {
				// Some versions of nft leave out the ends of chains.
				if e.ID == id && (e.Type != Return || e.Handle != 0) {
					s.Ours[id] = append(s.Ours[id], own.render(e))
				}
			}
			if s.Monitor[id], err = m.await(ctx, id, len(s.Ours[id])); err != nil {
				return c, fmt.Errorf("%w: %v: nft has printed %q of %q", err, a.Packet, s.Monitor[id], s.Ours[id])
			}
		}
		c.Seen = append(c.Seen, s)
	}
	return c, nil
})

func count(p Packet) (steps int) {
	for _, t := range p.Traversals {
		steps += len(t.Steps)
	}
	return steps
}

func rawMessages(conn *netlink.Conn) (raw [][]byte, err error) {
	err = nfnl.ReadNow(conn, func(m syscall.NetlinkMessage) { raw = append(raw, m.Data) })
	return raw, err
}

func TestAgreesWithNftMonitor(t *testing.T) {
	needNft(t)
	s := start(t)
	var all []asked
	for _, c := range compared {
		all = append(all, asked{c.packet, len(c.steps)})
	}
	got, err := compareRules.Call(t.Context(), s, "", all)
	if err != nil {
		t.Fatal(err)
	}
	if got.Trace.Losses != 0 || len(got.Trace.Undecoded) != 0 {
		t.Errorf("%d losses, undecoded: %q", got.Trace.Losses, got.Trace.Undecoded)
	}
	for i, c := range compared {
		t.Run(c.packet.String(), func(t *testing.T) {
			seen := got.Seen[i]
			if diff := cmp.Diff(c.steps, seen.Steps); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(seen.Monitor, seen.Ours); diff != "" {
				t.Errorf("nft monitor trace (-nft +ours):\n%s", diff)
			}
			if len(seen.Ours) != len(seen.Packet.IDs) || len(seen.Packet.IDs) == 0 {
				t.Errorf("numbers: %v", seen.Packet.IDs)
			}
			last := c.steps[len(c.steps)-1]
			step, decided := seen.Packet.Decision()
			if !decided || last[len(last)-4:] == "drop" != (step.Verdict.Code == Drop) {
				t.Errorf("decided %v by %v, and the last step is %s", decided, step, last)
			}
		})
	}
	if *update {
		writeCorpus(t, got.Raw)
	}
}

// writeCorpus keeps one message of each shape.
func writeCorpus(t *testing.T, raw [][]byte) {
	t.Helper()
	folder := filepath.Join("testdata", "fuzz", "FuzzDecode")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	var golden []decoded
	for _, data := range raw {
		e, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if len(known) == corpusSize || marks(e) {
			continue
		}
		shape := fmt.Sprint(e.Named(), e.Type, e.Verdict, e.Protocol, e.Head != nil)
		if e.Head != nil {
			shape += e.Head.Packet.ProtocolName()
		}
		if known[shape] {
			continue
		}
		known[shape] = true
		name := fmt.Sprintf("captured_%02d", len(known))
		text := "go test fuzz v1\n[]byte(" + strconv.Quote(string(data)) + ")\n"
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		golden = append(golden, decoded{name, e})
	}
	text, err := json.MarshalIndent(golden, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goldenFile, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// An ordinary user has the same rights in a sandbox.
func TestAgreesWithNftMonitorForAnOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this is an ordinary user already")
	}
	needNft(t)
	const nobody = 65534
	binary := filepath.Join(t.TempDir(), "nftrace.test")
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, text, 0o755); err != nil {
		t.Fatal(err)
	}
	// The folder above it is the test's alone.
	if err := os.Chmod(filepath.Dir(filepath.Dir(binary)), 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), binary, "-test.run=^TestAgreesWithNftMonitor$|^TestNeedsRights$", "-test.v")
	command.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return len(s) > 7 && s[:7] == "TMPDIR=" })
	command.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{}},
		Pdeathsig:  unix.SIGKILL,
	}
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
