package firewall

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/stage"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// load loads rules, or skips where nft or sandboxes are not to be had.
func load(t testing.TB, text string) *Rules {
	t.Helper()
	return loadFile(t, ruleset.File{Name: "rules", Text: text})
}

// skipRefused skips where this machine gives no sandbox, or has no nft.
func skipRefused(t testing.TB, err error) {
	t.Helper()
	if missing, ok := errors.AsType[*ruleset.MissingProgramError](err); ok {
		t.Skip(missing.Error())
	}
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		t.Skip(refused.Error())
	}
}

// randomRulesets is how many are tried; RANDOM_RULESETS says another number.
const randomRulesets = 25

// A map says of every port what a small model of the rules says, and of some
// what real sockets see.
func TestRandomRulesets(t *testing.T) {
	count := randomRulesets
	if text := os.Getenv("RANDOM_RULESETS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		count = n
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for i := range count {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		m := newModel(r)
		if !t.Run(strconv.Itoa(i), func(t *testing.T) { tryModel(t, r, m) }) {
			t.Fatalf("seed %d, ruleset %d:\n%s", seed, i, m)
		}
	}
}

var interfaceOf = map[string]string{Loopback: "lo", Outside: "eth0", "lan0": "lan0"}

func tryModel(t *testing.T, r *rand.Rand, m model) {
	rules := load(t, m.String())
	zones := []string{Loopback, Outside}
	maps, err := Make(t.Context(), rules, Options{From: zones, Uplink: "eth0"})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range maps.Maps {
		if one.Protocol == "icmp" {
			continue
		}
		covered := 1
		for _, its := range one.Ranges {
			if int(its.First) != covered {
				t.Fatalf("a range begins at %d after one that ended before %d", its.First, covered)
			}
			for ; covered <= int(its.Last); covered++ {
				if want := m.verdict(interfaceOf[one.Zone], one.Protocol, one.Family, covered); its.Outcome() != want {
					t.Fatalf("%s %s from %s, port %d: %s, by the model %s", one.Protocol, one.Family, one.Zone, covered, its.Outcome(), want)
				}
			}
		}
		if covered != 65536 {
			t.Fatalf("%s %s from %s ends at %d", one.Protocol, one.Family, one.Zone, covered-1)
		}
	}
	sockets(t, r, m, rules, maps)
}

// sampled is how many ports of each map are asked by real sockets.
const sampled = 6

// sockets asks some ports by sockets, with a program behind each.
func sockets(t *testing.T, r *rand.Rand, m model, rules *Rules, maps *Maps) {
	g, err := NewGround(t.Context(), rules, stage.Config{Zones: zonesOf(rules, Options{Uplink: "eth0"})})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.Load(t.Context(), rules.Ruleset); err != nil {
		t.Fatal(err)
	}
	var asked []socketQuestion
	for _, one := range maps.Maps {
		if one.Protocol == "icmp" {
			continue
		}
		family := sock.IPv4
		if one.Family == "ipv6" {
			family = sock.IPv6
		}
		zone := one.Zone
		if zone == Loopback {
			zone = stage.Machine
		}
		for range sampled {
			its := one.Ranges[r.IntN(len(one.Ranges))]
			port := its.First + uint16(r.IntN(int(its.Last-its.First)+1))
			asked = append(asked, socketQuestion{Zone: zone, Protocol: one.Protocol, To: netip.AddrPortFrom(g.Own(zone, family), port), Want: its.Verdict.String()})
		}
	}
	wrong, err := askSockets.Call(t.Context(), g.Sandbox, stage.Machine, asked)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range wrong {
		t.Error(text)
	}
}

type socketQuestion struct {
	Zone     string
	Protocol string
	To       netip.AddrPort
	Want     string
	// Landed are where the packet may come to, where that is another place, and
	// LandedZone the zone that is there; "" is the machine's.
	Landed     []netip.AddrPort
	LandedZone string
}

// askSockets asks each question by a socket of its zone, with a program that
// answers, and returns those that were answered otherwise than wanted.
var askSockets = sandbox.Register("firewall/ask-sockets", func(ctx context.Context, in *sandbox.Inside, questions []socketQuestion) (wrong []string, err error) {
	byZone := map[string][]socketQuestion{}
	var stops []func()
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	for _, q := range questions {
		byZone[q.Zone] = append(byZone[q.Zone], q)
		listening := []netip.AddrPort{q.To}
		if len(q.Landed) > 0 {
			listening = q.Landed
		}
		zone := stage.Machine
		if q.LandedZone != "" {
			zone = q.LandedZone
		}
		for _, at := range listening {
			err := in.Do(zone, func() error {
				stop, err := answer(ctx, q.Protocol, at)
				stops = append(stops, stop)
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	for zone, its := range byZone {
		err := in.Do(zone, func() error {
			var packets []verdict.Packet
			for _, q := range its {
				kind := sock.TCP
				if q.Protocol == "udp" {
					kind = sock.UDP
				}
				packets = append(packets, verdict.Packet{Protocol: kind, To: q.To, Payload: []byte("anybody there")})
			}
			answers, err := verdict.OfAll(ctx, packets, 300*time.Millisecond)
			for i, a := range answers {
				if a.Verdict.String() != its[i].Want {
					wrong = append(wrong, fmt.Sprintf("%s to %s from %s: the map says %s, a socket sees %s", its[i].Protocol, its[i].To, zone, its[i].Want, a))
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return wrong, nil
})

// answer is a program at a port, in the zone of the calling thread. One that is
// asked twice has one program.
func answer(ctx context.Context, protocol string, at netip.AddrPort) (stop func(), err error) {
	kind, family := sock.TCP, sock.IPv4
	if protocol == "udp" {
		kind = sock.UDP
	}
	if at.Addr().Is6() {
		family = sock.IPv6
	}
	s, err := sock.New(kind, family)
	if err != nil {
		return func() {}, err
	}
	if err := s.Bind(at); err != nil {
		_ = s.Close()
		return func() {}, nil
	}
	if kind == sock.TCP {
		return func() { _ = s.Close() }, s.Listen(8)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 64)
		for {
			n, from, err := s.RecvFrom(ctx, buffer, 0)
			if err != nil {
				return
			}
			_, _ = s.SendTo(ctx, buffer[:n], from, 0)
		}
	}()
	return func() {
		cancel()
		<-done
		_ = s.Close()
	}, nil
}
