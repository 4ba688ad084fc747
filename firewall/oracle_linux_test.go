package firewall

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/stage"
)

const (
	// askedBySockets is how many ports of each map are asked by real sockets.
	askedBySockets = 40
	// askedByTrace is of how many ports of each map nft shows the way.
	askedByTrace = 10
	// oraclePatience bounds the wait for what nft prints.
	oraclePatience = time.Minute
)

// elsewhere is a zone whose packets cannot go back past the machine.
const elsewhere = "elsewhere"

// oracle answers by other means than a map: by a file that nft or
// iptables-restore loads, sockets, and what nft says of packets.
type oracle struct {
	*stage.Stage
	rules *Rules
	ported
}

func newOracle(t *testing.T, rules *Rules, file ruleset.File, p ported) *oracle {
	t.Helper()
	c := stage.Config{Zones: zonesOf(rules, Options{Uplink: "eth0"}), Forwards: true}
	beside := stage.Zone{Name: elsewhere, Interface: "elsewhere0"}
	for addr, zone := range p.containers {
		if zone == elsewhere {
			beside.Beyond = append(beside.Beyond, netip.PrefixFrom(netip.MustParseAddr(addr), 32))
		}
	}
	if len(beside.Beyond) > 0 {
		c.Zones = append(c.Zones, beside)
	}
	for _, name := range rules.interfaces() {
		if !slices.ContainsFunc(c.Zones, func(z stage.Zone) bool { return z.Interface == name }) {
			c.Interfaces = append(c.Interfaces, name)
		}
	}
	s, err := stage.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	file.Traced = true
	if err := ruleset.LoadFileInto(t.Context(), s.Sandbox, stage.Machine, file); err != nil {
		t.Fatal(err)
	}
	for addr, zone := range p.containers {
		at := netip.MustParseAddr(addr)
		if _, err := hosts.Call(t.Context(), s.Sandbox, zone, netip.PrefixFrom(at, at.BitLen())); err != nil {
			t.Fatal(err)
		}
	}
	return &oracle{s, rules, p}
}

// hosts gives a zone's host an address.
var hosts = sandbox.Register("firewall/oracle-hosts", func(ctx context.Context, _ *sandbox.Inside, addr netip.Prefix) (struct{}, error) {
	return struct{}{}, stage.AddAddress(ctx, "lo", addr)
})

// question is one about a port of a map.
func (o *oracle) question(m Map, its Range, port uint16) socketQuestion {
	zone, family := m.Zone, sock.IPv4
	if zone == Loopback {
		zone = stage.Machine
	}
	if m.Family == "ipv6" {
		family = sock.IPv6
	}
	q := socketQuestion{Zone: zone, Protocol: m.Protocol, To: netip.AddrPortFrom(o.Own(zone, family), port), Want: its.Verdict.String()}
	if its.Landed.IsValid() {
		q.Landed = []netip.AddrPort{its.Landed}
		if o.byChance(its.Outcome(), its.Outcome()) {
			q.Landed = nil
			for _, at := range o.chance {
				q.Landed = append(q.Landed, netip.MustParseAddrPort(at))
			}
		}
		q.LandedZone = o.containers[its.Landed.Addr().String()]
	}
	return q
}

// sockets asks some ports of each map, those of small ranges as often as those of
// large ones.
func (o *oracle) sockets(t *testing.T, r *rand.Rand, maps *Maps) {
	t.Helper()
	var asked []socketQuestion
	for _, m := range maps.Maps {
		if m.Protocol == "icmp" {
			continue
		}
		known := map[uint16]bool{}
		for range askedBySockets {
			its := m.Ranges[r.IntN(len(m.Ranges))]
			port := its.First + uint16(r.IntN(int(its.Last-its.First)+1))
			if !known[port] {
				asked = append(asked, o.question(m, its, port))
			}
			known[port] = true
		}
	}
	wrong, err := askSockets.Call(t.Context(), o.Sandbox, stage.Machine, asked)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range wrong {
		t.Error(text)
	}
	t.Logf("%d ports asked by sockets", len(asked))
}

// met is a base chain's decision about a packet, as nft prints it.
type met struct {
	Family, Table, Base, Chain string
	// Handle is the rule's; 0 for a policy.
	Handle uint64
	Accept bool
}

// traces compares the rule of some edges with what nft shows.
func (o *oracle) traces(t *testing.T, maps *Maps) {
	t.Helper()
	var asked []socketQuestion
	var ranges []Range
	for _, m := range maps.Maps {
		if m.Protocol == "icmp" {
			continue
		}
		type edge struct {
			port uint16
			its  Range
		}
		var edges []edge
		for _, its := range m.Ranges {
			edges = append(edges, edge{its.First, its})
			if its.Last != its.First {
				edges = append(edges, edge{its.Last, its})
			}
		}
		for i := range min(askedByTrace, len(edges)) {
			// Spread over the map.
			e := edges[i*len(edges)/min(askedByTrace, len(edges))]
			asked, ranges = append(asked, o.question(m, e.its, e.port)), append(ranges, e.its)
		}
	}
	ways, err := monitored.Call(t.Context(), o.Sandbox, stage.Machine, asked)
	if err != nil {
		t.Fatal(err)
	}
	nats := o.natChains()
	for i, way := range ways {
		got := "no rule on the way"
		if r := ranges[i].Rule; r >= 0 {
			rule := maps.Rules[r]
			got = fmt.Sprintf("%s %s %s handle %d", rule.Family, rule.Table, rule.Chain, rule.Handle)
		}
		want := decision(way, nats)
		chance := func(text string) bool { return o.chanceChains != nil && o.chanceChains.MatchString(text) }
		if got != want && !(chance(got) && chance(want)) {
			t.Errorf("%s to %s from %s: decided by %s, and nft shows %s of %v", asked[i].Protocol, asked[i].To, asked[i].Zone, got, want, way)
		}
	}
	t.Logf("%d ways compared", len(ways))
}

// natChains are those of the type nat, as nft lists them.
func (o *oracle) natChains() map[string]bool {
	nats := map[string]bool{}
	for _, table := range o.rules.Tables {
		for _, c := range table.Chains {
			if c.Base != nil && c.Base.Type == "nat" {
				nats[table.Family+" "+table.Name+" "+c.Name] = true
			}
		}
	}
	return nats
}

// decision is the rule that dropped a packet; or the last that accepted it in a
// chain that filters, or else in one that translates; or else a policy in the
// same order.
func decision(way []met, nats map[string]bool) string {
	var found [4]string
	for _, m := range way {
		text := fmt.Sprintf("%s %s %s handle %d", m.Family, m.Table, m.Chain, m.Handle)
		if !m.Accept {
			return text
		}
		order := 0
		if m.Handle == 0 {
			order += 2
		}
		if nats[m.Family+" "+m.Table+" "+m.Base] {
			order++
		}
		found[order] = text
	}
	for _, text := range found {
		if text != "" {
			return text
		}
	}
	return "no rule on the way"
}

const oracleTable = "loopcheck_oracle"

// oracleRules mark every packet before any other rule sees it.
const oracleRules = `table inet loopcheck_oracle {
	chain out { type filter hook output priority -500; meta nftrace set 1; }
	chain in { type filter hook prerouting priority -500; meta nftrace set 1; }
}
table netdev loopcheck_oracle {
	chain in { type filter hook ingress devices = { lo, eth0 } priority -500; meta nftrace set 1; }
}
`

// monitored sends a packet by a socket for each question and reads from nft
// monitor trace what it met.
var monitored = sandbox.Register("firewall/oracle-monitored", func(ctx context.Context, in *sandbox.Inside, asked []socketQuestion) (ways [][]met, err error) {
	ctx, cancel := context.WithTimeout(ctx, oraclePatience)
	defer cancel()
	load := exec.CommandContext(ctx, "nft", "-f", "-")
	load.Stdin = strings.NewReader(oracleRules)
	if out, err := load.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	defer func() {
		for _, family := range []string{"inet", "netdev"} {
			if out, failed := exec.Command("nft", "delete", "table", family, oracleTable).CombinedOutput(); failed != nil {
				err = errors.Join(err, fmt.Errorf("%w: %s", failed, out))
			}
		}
	}()
	monitor := exec.CommandContext(ctx, "nft", "-a", "-n", "monitor", "trace")
	out, err := monitor.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := monitor.Start(); err != nil {
		return nil, err
	}
	defer func() {
		cancel()
		_ = monitor.Wait() // it was killed
	}()
	m := &monitorReader{lines: make(chan string, 1000)}
	go func() {
		defer close(m.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			m.lines <- scanner.Text()
		}
	}()
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	for _, q := range asked {
		var source uint16
		var closing func()
		err := in.Do(q.Zone, func() (err error) {
			source, closing, err = sendOne(q)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("send to %s: %w", q.To, err)
		}
		way, err := m.await(ctx, source)
		closing()
		if err != nil {
			return nil, err
		}
		ways = append(ways, way)
	}
	return ways, nil
})

// sendOne sends a SYN or a datagram, and says from which port.
func sendOne(q socketQuestion) (source uint16, closing func(), err error) {
	domain, kind := unix.AF_INET, unix.SOCK_STREAM
	var to unix.Sockaddr
	if q.To.Addr().Is6() {
		domain, to = unix.AF_INET6, &unix.SockaddrInet6{Port: int(q.To.Port()), Addr: q.To.Addr().As16()}
	} else {
		to = &unix.SockaddrInet4{Port: int(q.To.Port()), Addr: q.To.Addr().As4()}
	}
	if q.Protocol == "udp" {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, err
	}
	closing = func() { _ = unix.Close(fd) }
	if err := unix.Connect(fd, to); err != nil && !errors.Is(err, unix.EINPROGRESS) && !refusal(err) {
		return 0, closing, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, closing, err
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		source = uint16(name.Port)
	case *unix.SockaddrInet6:
		source = uint16(name.Port)
	}
	if kind == unix.SOCK_DGRAM {
		if _, err := unix.Write(fd, []byte("?")); err != nil && !refusal(err) {
			return 0, closing, err
		}
	}
	return source, closing, nil
}

// refusal is what a firewall's answer, or the lack of a program, gives a sender.
func refusal(err error) bool {
	return slices.ContainsFunc([]error{unix.EPERM, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EACCES, unix.EINVAL},
		func(known error) bool { return errors.Is(err, known) })
}

// markerPort is where datagrams go that say how far nft has read.
const markerPort = 1

var (
	monitorLine   = regexp.MustCompile(`^trace id ([0-9a-f]+) (\S+) (\S+) (\S+) (.*?)\s*$`)
	monitorPacket = regexp.MustCompile(`^packet: .* (?:tcp|udp) sport (\d+) `)
	// At ingress nft prints no more than bits, without the first zeros.
	monitorBits   = regexp.MustCompile(`^packet: .* @th,0,(\d+) 0x([0-9a-f]+)`)
	monitorRule   = regexp.MustCompile(` # handle (\d+) \(verdict (\S+).*\)$`)
	monitorPolicy = regexp.MustCompile(`^policy (accept|drop)$`)
)

// monitorReader reads what nft monitor trace prints.
type monitorReader struct{ lines chan string }

// begin waits until nft prints what it sees: before, it is deaf.
func (m *monitorReader) begin(ctx context.Context) error {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		_, closing, err := sendOne(marker)
		if err != nil {
			return err
		}
		closing()
		select {
		case _, open := <-m.lines:
			if !open {
				return errors.New("nft monitor trace has ended")
			}
			return nil
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var marker = socketQuestion{Protocol: "udp", To: netip.MustParseAddrPort("127.0.0.1:" + strconv.Itoa(markerPort))}

// sourceIn is the source port of a packet that a line shows; 0 where it shows
// none.
func sourceIn(line string) uint16 {
	if p := monitorPacket.FindStringSubmatch(line); p != nil {
		port, _ := strconv.ParseUint(p[1], 10, 16)
		return uint16(port)
	}
	if p := monitorBits.FindStringSubmatch(line); p != nil {
		bits, _ := strconv.Atoi(p[1])
		digits := strings.Repeat("0", max(0, bits/4-len(p[2]))) + p[2]
		port, _ := strconv.ParseUint(digits[:min(4, len(digits))], 16, 16)
		return uint16(port)
	}
	return 0
}

// await reads what the packet from a port met. The markers that follow it go on
// being sent until one is read after the packet was seen.
func (m *monitorReader) await(ctx context.Context, source uint16) (way []met, err error) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	var mark uint16
	ours, base := map[string]bool{}, map[string]string{}
	seen := false
	for {
		var line string
		var open bool
		select {
		case line, open = <-m.lines:
			if !open {
				return nil, errors.New("nft monitor trace has ended")
			}
		case <-again.C:
			if !seen {
				continue
			}
			var closing func()
			if mark, closing, err = sendOne(marker); err != nil {
				return nil, err
			}
			closing()
			continue
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for what the packet from port %d met: %w", source, ctx.Err())
		}
		parts := monitorLine.FindStringSubmatch(line)
		if parts == nil {
			continue
		}
		id, family, table, chain, rest := parts[1], parts[2], parts[3], parts[4], parts[5]
		if from := sourceIn(rest); from != 0 {
			if from == mark && table == oracleTable {
				return way, nil
			}
			if from == source {
				ours[id], seen = true, true
			}
		}
		if !ours[id] || table == oracleTable {
			continue
		}
		if strings.HasPrefix(rest, "packet: ") {
			base[id+family+table] = chain
			continue
		}
		step := met{Family: family, Table: table, Base: base[id+family+table], Chain: chain}
		if r := monitorRule.FindStringSubmatch(rest); r != nil && (r[2] == "accept" || r[2] == "drop") {
			step.Handle, _ = strconv.ParseUint(r[1], 10, 64)
			step.Accept = r[2] == "accept"
			way = append(way, step)
		}
		if p := monitorPolicy.FindStringSubmatch(rest); p != nil {
			step.Chain, step.Accept = step.Base, p[1] == "accept"
			way = append(way, step)
		}
	}
}
