package addressing

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"sync"
	"time"

	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

// wireUsual is what the settings of the machine's IPv4 are, for all interfaces
// and for its card: a new network namespace has those of the host, which may be
// a router or a hardened server.
var wireUsual = map[string]string{
	"accept_local":   "0",
	"route_localnet": "0",
	"rp_filter":      "0",
	"log_martians":   "0", // the log is the host's
}

const (
	// wireRecount is how often a counter is read again that has not moved yet.
	wireRecount = time.Millisecond
	// wireDrain is how long more is looked for when all is there that had to
	// come.
	wireDrain = time.Millisecond
)

// wireAskHere runs in the zone of the machine.
func wireAskHere(ctx context.Context, in *sandbox.Inside, plan wirePlan) (seen wireSeen, failed error) {
	if err := plan.prepare(ctx, &seen); err != nil || seen.Without != "" {
		return seen, err
	}
	receiver, err := wireReceiver(plan.At)
	if err != nil {
		return seen, err
	}
	defer receiver.Close()
	if plan.Listens {
		listener, err := wireListener(plan.At)
		if err != nil {
			return seen, err
		}
		defer listener.Close()
	}
	read := wireCounters
	if plan.Rule {
		rule, err := addWireRule()
		if lacksNFTables(err) {
			return seen.lacks(wireNFTables.Name, err)
		}
		if err != nil {
			return seen, err
		}
		defer func() { failed = errors.Join(failed, rule.remove()) }()
		read = rule.counters
	}
	before, err := read()
	if err != nil {
		return seen, err
	}
	if err := plan.send(in); err != nil {
		return seen, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := plan.receive(ctx, receiver, &seen); err != nil {
		return seen, err
	}
	return seen, plan.count(ctx, read, before, &seen)
}

// lacks says that the kernel lacks something, and how that was found.
func (seen wireSeen) lacks(need string, why error) (wireSeen, error) {
	seen.Without, seen.Why = need, why.Error()
	return seen, nil
}

// prepare makes the machine as the plan has it, whatever it was left as.
func (p wirePlan) prepare(ctx context.Context, seen *wireSeen) error {
	for name, value := range wireUsual {
		for _, of := range []string{"all", wireCard} {
			if err := sysctl.Set("net.ipv4.conf."+of+"."+name, value); err != nil {
				return err
			}
		}
	}
	for name, value := range p.Settings {
		if err := sysctl.Set(name, value); err != nil {
			return err
		}
	}
	if p.Second {
		if err := iface.Give("lo", wireSecond); err != nil {
			return err
		}
	}
	if !p.IPv6 {
		return nil
	}
	for _, of := range []string{"lo", wireCard} {
		err := sysctl.Set("net.ipv6.conf."+of+".disable_ipv6", "0")
		if errors.Is(err, fs.ErrNotExist) {
			seen.Without, seen.Why = wireIPv6.Name, err.Error()
			return nil
		}
		if err != nil {
			return err
		}
	}
	if err := iface.Give(wireCard, wireOwn6); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return iface.AwaitLocal(ctx, wireOwn6.Addr())
}

// wireReceiver is a socket at the address. One of IPv6 takes IPv4 as well.
func wireReceiver(at netip.Addr) (*sock.Socket, error) {
	s, err := sock.New(sock.UDP, familyOf(at))
	if err != nil {
		return nil, err
	}
	if at.Is6() {
		err = s.Set(sock.V6Only, 0)
	}
	if err = errors.Join(err, s.Bind(netip.AddrPortFrom(at, wirePort))); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func wireListener(at netip.Addr) (*sock.Socket, error) {
	s, err := sock.New(sock.TCP, familyOf(at))
	if err != nil {
		return nil, err
	}
	if at.Is6() {
		err = s.Set(sock.V6Only, 0)
	}
	if err = errors.Join(err, s.Bind(netip.AddrPortFrom(at, wirePort)), s.Listen(1)); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// send has the neighbour send all of the plan's datagrams.
func (p wirePlan) send(in *sandbox.Inside) error {
	to, err := iface.HardwareAddress(wireCard)
	if err != nil {
		return err
	}
	frames, err := wireFrames(in)
	if err != nil {
		return err
	}
	return frames.Send(to, p.packets()...)
}

// wireFrames is the neighbour's end of the cable. It stays open as long as the
// sandbox's process: closing it takes longer than all that is asked through it.
var wireFrames = func() func(*sandbox.Inside) (*sock.Frames, error) {
	var once sync.Once
	var frames *sock.Frames
	var err error
	return func(in *sandbox.Inside) (*sock.Frames, error) {
		once.Do(func() {
			err = in.Do(wireNeighbour, func() (err error) {
				frames, err = sock.OpenFrames(wireCard)
				return err
			})
		})
		return frames, err
	}
}()

func (p wirePlan) packets() (packets [][]byte) {
	for _, d := range p.Send {
		if d.SYN {
			packets = append(packets, sock.SYNPacket(d.From, d.To))
			continue
		}
		packets = append(packets, sock.UDPPacket(d.From, d.To, []byte(d.Text)))
	}
	return packets
}

// receive waits for what has to arrive. What need not is there by then, if it
// comes at all: it was sent before, over the same cable.
func (p wirePlan) receive(ctx context.Context, receiver *sock.Socket, seen *wireSeen) error {
	awaited := map[string]bool{}
	for _, d := range p.Send {
		if d.Arrives {
			awaited[d.Text] = true
		}
	}
	buf := make([]byte, 512)
	for {
		limit, cancel := ctx, context.CancelFunc(func() {})
		if len(awaited) == 0 {
			limit, cancel = context.WithTimeout(ctx, wireDrain)
		}
		n, err := receiver.Recv(limit, buf, 0)
		cancel()
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			seen.Late = len(awaited) > 0
			return nil
		case err != nil:
			return err
		}
		text := string(buf[:n])
		seen.Arrived = append(seen.Arrived, text)
		delete(awaited, text)
	}
}

// count waits until everything has counted that the plan says.
func (p wirePlan) count(ctx context.Context, read func() (map[string]int64, error), before map[string]int64, seen *wireSeen) error {
	for {
		now, err := read()
		if err != nil {
			return err
		}
		seen.Counted, seen.Answers = map[string]int64{}, now[wireSegments]-before[wireSegments]
		missing := false
		for name, want := range p.Counted {
			// Those of martians are 32 bits wide.
			seen.Counted[name] = int64(uint32(now[name] - before[name]))
			missing = missing || seen.Counted[name] < want
		}
		if !missing || seen.Answers > 0 {
			return nil // what was answered was not dropped, and so will not count
		}
		if ctx.Err() != nil {
			seen.Late = true
			return nil
		}
		time.Sleep(wireRecount) // nothing tells of a counter
	}
}
