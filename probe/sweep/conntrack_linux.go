package sweep

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// Messages and attributes of connection tracking
// (linux/netfilter/nfnetlink_conntrack.h), named as there.
const (
	ctnetlink = 1 // NFNL_SUBSYS_CTNETLINK
	ctNew     = 0
	ctDelete  = 2

	ctTupleOrig  = 1
	ctTupleReply = 2
	ctStatus     = 3
	ctProtoInfo  = 4
	ctTimeout    = 7

	tupleIP    = 1
	tupleProto = 2
	ipv4Source = 1
	ipv6Source = 3
	protoNum   = 1
	protoFrom  = 2
	protoTo    = 3

	protoInfoTCP  = 1
	tcpState      = 1
	tcpFlagsOrig  = 4
	tcpFlagsReply = 5
)

// connections makes connection tracking know connections, in the calling
// thread's network namespace.
type connections struct {
	conn *netlink.Conn
	// waiting are messages that were not sent yet.
	waiting []netlink.Message
}

// sentAtOnce is how many connections one system call makes.
const sentAtOnce = 64

func openConnections() (*connections, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	return &connections{conn: conn}, nil
}

// establish adds the connection that a packet of a sweep belongs to, in which
// packets have gone both ways. It is sent to at, if that is valid.
func (c *connections) establish(its connection, at netip.AddrPort) error {
	const (
		seenReply, assured, confirmed = 1 << 1, 1 << 2, 1 << 3
		lifetime                      = 600 // seconds
		established                   = 3   // TCP_CONNTRACK_ESTABLISHED
		liberal                       = 0x08
	)
	from, to := its.from, its.to
	protocol := its.protocol.number(to.Addr().Is6())
	a := nfnl.Attributes{
		{Type: ctTupleOrig | netlink.Nested, Data: tuple(protocol, from, to)},
		{Type: ctTupleReply | netlink.Nested, Data: tuple(protocol, to, from)},
		{Type: ctStatus, Data: binary.BigEndian.AppendUint32(nil, seenReply|assured|confirmed)},
		{Type: ctTimeout, Data: binary.BigEndian.AppendUint32(nil, lifetime)},
	}
	if at.IsValid() {
		a = append(a, destination(at))
	}
	if its.protocol == TCP {
		// Its windows are not known: any sequence number is taken.
		a = append(a, nested(ctProtoInfo, nested(protoInfoTCP,
			netlink.Attribute{Type: tcpState, Data: []byte{established}},
			netlink.Attribute{Type: tcpFlagsOrig, Data: []byte{liberal, liberal}},
			netlink.Attribute{Type: tcpFlagsReply, Data: []byte{liberal, liberal}},
		)))
	}
	b, err := a.Encode()
	if err != nil {
		return err
	}
	c.waiting = append(c.waiting, message(ctNew, netlink.Create, to.Addr().Is6(), b))
	if len(c.waiting) == sentAtOnce {
		return c.flush()
	}
	return nil
}

// flush makes the connections that wait. The kernel answers with each mistake,
// and with an acknowledgement of the last.
func (c *connections) flush() error {
	if len(c.waiting) == 0 {
		return nil
	}
	c.waiting[len(c.waiting)-1].Header.Flags |= netlink.Acknowledge
	_, err := c.conn.SendMessages(c.waiting)
	c.waiting = nil
	if err == nil {
		_, err = c.conn.Receive()
	}
	if err != nil {
		return fmt.Errorf("make established connections: %w", err)
	}
	return nil
}

// ForgetConnections has connection tracking forget every connection, in the calling
// thread's network namespace. It takes CAP_NET_ADMIN, and is for namespaces that
// are one's own.
func ForgetConnections() error {
	c, err := openConnections()
	if err != nil {
		return err
	}
	defer c.close()
	return c.forget()
}

// forget removes every connection.
func (c *connections) forget() error {
	if _, err := c.conn.Execute(message(ctDelete, netlink.Acknowledge, false, nil)); err != nil {
		return fmt.Errorf("forget the connections: %w", err)
	}
	return nil
}

func message(kind uint16, flags netlink.HeaderFlags, ipv6 bool, attributes []byte) netlink.Message {
	family := byte(unix.AF_UNSPEC)
	if attributes != nil {
		family = unix.AF_INET
		if ipv6 {
			family = unix.AF_INET6
		}
	}
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(ctnetlink<<8 | kind), Flags: netlink.Request | flags},
		Data:   append([]byte{family, 0, 0, 0}, attributes...),
	}
}

func (c *connections) close() { _ = c.conn.Close() }

func nested(t uint16, inner ...netlink.Attribute) netlink.Attribute {
	// They are short: encoding cannot fail.
	b, _ := nfnl.Attributes(inner).Encode()
	return netlink.Attribute{Type: t | netlink.Nested, Data: b}
}

func tuple(protocol byte, from, to netip.AddrPort) []byte {
	source := uint16(ipv4Source)
	if from.Addr().Is6() {
		source = ipv6Source
	}
	b, _ := nfnl.Attributes{
		nested(tupleIP,
			netlink.Attribute{Type: source, Data: from.Addr().AsSlice()},
			netlink.Attribute{Type: source + 1, Data: to.Addr().AsSlice()}),
		nested(tupleProto,
			netlink.Attribute{Type: protoNum, Data: []byte{protocol}},
			netlink.Attribute{Type: protoFrom, Data: binary.BigEndian.AppendUint16(nil, from.Port())},
			netlink.Attribute{Type: protoTo, Data: binary.BigEndian.AppendUint16(nil, to.Port())}),
	}.Encode()
	return b
}

// connection is what tells one from another.
type connection struct {
	protocol Protocol
	from, to netip.AddrPort
}

// establish makes the connections that packets belong to.
func (q *questions) establish(chunks []chunk) error {
	if !slices.ContainsFunc(chunks, func(c chunk) bool { return q.sweeps[c.sweep].connects() }) {
		return nil
	}
	c, err := openConnections()
	if err != nil {
		return err
	}
	defer c.close()
	for _, one := range chunks {
		for n := int(one.First); n <= int(one.Last); n++ {
			its, connects := q.outs[one.sweep].connection(uint16(n))
			if !connects || q.made[its] {
				continue
			}
			at := q.sentTo(its)
			answers := connection{its.protocol, its.to, its.from}
			if at.IsValid() {
				answers.from = at
			}
			q.made[its], q.made[answers] = true, true
			if err := c.establish(its, at); err != nil {
				return err
			}
		}
	}
	return c.flush()
}

// connection is that to which a packet belongs.
func (t *template) connection(number uint16) (c connection, connects bool) {
	switch t.sweep.State {
	case Related:
		from, to := t.sweep.about()
		return connection{UDP, from, to}, true
	case Established:
		from, to := t.ends(number)
		return connection{t.sweep.Protocol, from, to}, true
	}
	return connection{}, false
}

// forget removes what connection tracking remembers.
func (q *questions) forget() error {
	if !slices.ContainsFunc(q.sweeps, q.machine.remembers) {
		return nil
	}
	clear(q.made)
	count, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
	if err != nil || string(count) == "0\n" {
		return nil // nothing is tracked
	}
	c, err := openConnections()
	if err != nil {
		return err
	}
	defer c.close()
	return c.forget()
}
