package containers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
)

func sizeInside(ctx context.Context, in *sandbox.Inside, p plan) (seen bridgeMTUs, err error) {
	if err := p.build(ctx, in, &seen.outcome); err != nil || seen.Lacks != "" {
		return seen, err
	}
	read := func(mtu *int) (err error) {
		*mtu, err = iface.MTU(bridgeOf[web])
		return err
	}
	return seen, errors.Join(
		read(&seen.Whole),
		iface.SetMTU(veth(app), tunnelMTU), read(&seen.Smaller),
		iface.SetMTU(veth(app), cableMTU), read(&seen.Again),
	)
}

// transferBytes is a few times what both ends' buffers and the first window hold.
const transferBytes = 256 << 10

func transferInside(ctx context.Context, in *sandbox.Inside, p plan) (seen transfers, err error) {
	if err := p.build(ctx, in, &seen.outcome); err != nil || seen.Lacks != "" {
		return seen, err
	}
	families := []sock.Family{sock.IPv4}
	if seen.WithoutIPv6 == "" {
		families = append(families, sock.IPv6)
	} else {
		p = p.without()
	}
	// The outside keeps the MTU of a cable: it would tell that of a tunnel in its SYN.
	if err := iface.SetMTU(uplink, tunnelMTU); err != nil {
		return seen, err
	}
	for _, ph := range p.Phases {
		if err := ph.enter(ctx, &seen.outcome); err != nil || seen.Lacks != "" {
			return seen, err
		}
	}
	for _, family := range families {
		t, err := transferOver(ctx, in, family)
		if err != nil {
			return seen, err
		}
		seen.Streams = append(seen.Streams, t)
	}
	return seen, nil
}

// transferOver sends a stream from the container to the outside.
func transferOver(ctx context.Context, in *sandbox.Inside, family sock.Family) (t transfer, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t = transfer{Family: family, Sent: transferBytes}
	sink := service{Zone: outside, At: outsideOwn.port(family, inside)}
	listener, err := sink.listen(in)
	if err != nil {
		return t, err
	}
	defer listener.Close()
	arrived := make(chan int, 1)
	go func() { arrived <- drain(ctx, listener) }()
	err = in.Do(web, func() error { return t.send(ctx, family, sink.At) })
	if errors.Is(err, context.DeadlineExceeded) {
		t.Failed, err = fmt.Sprintf("%d bytes are not taken within %s", t.Sent, patience), nil
	}
	t.Arrived = <-arrived // drain ends with the context
	if t.Failed == "" && t.Arrived < t.Sent && ctx.Err() != nil {
		t.Failed = fmt.Sprintf("%d of %d bytes arrive within %s", t.Arrived, t.Sent, patience)
	}
	return t, err
}

// send sends the stream and reads what the container has learnt.
func (t *transfer) send(ctx context.Context, family sock.Family, to netip.AddrPort) error {
	client, err := sock.New(sock.TCP, family)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Connect(ctx, to); err != nil {
		return err
	}
	rest := bytes.Repeat([]byte{'x'}, t.Sent)
	for len(rest) > 0 {
		n, err := client.Send(ctx, rest, 0)
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	if err := client.Shutdown(sock.Write); err != nil {
		return err
	}
	// The other end closes when it has read everything.
	if _, err := client.Recv(ctx, make([]byte, 1), 0); err != nil {
		return err
	}
	info, err := client.TCPInfo()
	t.PathMTUBytes = info.PathMTUBytes
	return err
}

// drain counts what one connection brings until its end.
func drain(ctx context.Context, listener *sock.Socket) (count int) {
	conn, err := listener.Accept(ctx)
	if err != nil {
		return 0
	}
	defer conn.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Recv(ctx, buf, 0)
		if err != nil || n == 0 {
			return count
		}
		count += n
	}
}
