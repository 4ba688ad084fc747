package sweep

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/mmsg"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

const (
	// sendBatch is how many packets one system call sends. The answers of a
	// batch have to fit in the receive buffers.
	sendBatch = 64
	// answerBytes is as much of an answer as is read: an ICMP error with the
	// headers of what it is about.
	answerBytes = 192
	etherHeader = 14
)

// receiveBuffer is as large as net.core.rmem_max usually lets it be, in bytes.
var receiveBuffer = 208 << 10

// door is where packets of one zone and family go out, and answers come in.
// Closing a packet socket takes milliseconds, so that doors stay open.
type door struct {
	ipv6 bool
	// raw sends over lo, where rules of the output hook come first.
	raw int
	// link is the Ethernet header of what is sent at a cable; nil over lo.
	link []byte
	*queue

	mu sync.Mutex
	// ins receive answers. Those of raw sockets of IPv6 come without a header,
	// and are of this protocol then.
	ins     []inlet
	answers *mmsg.Batch
}

// queue is what packets of a zone wait in. A frame that is sent after them, a
// marker, says when they were dealt with.
type queue struct {
	// out sends markers, in receives them at the other end of the cable, or of lo.
	out, in int
	// index is that of the interface that they go out at, and link their header.
	index int
	link  []byte
}

type inlet struct {
	fd       int
	protocol byte // 0 where the IP header is there
}

// doorKey names one: a zone and a family.
type doorKey struct {
	zone string
	ipv6 bool
}

var (
	doorsMu sync.Mutex
	doors   = map[doorKey]*door{}
	// queues are by zone: each marker is received once.
	queues = map[string]*queue{}
)

// openDoor returns the door of a zone, which is opened once in the life of a
// sandbox.
func openDoor(in *sandbox.Inside, machine Machine, key doorKey) (*door, error) {
	doorsMu.Lock()
	defer doorsMu.Unlock()
	if d := doors[key]; d != nil {
		return d, nil
	}
	d := &door{ipv6: key.ipv6, raw: -1, answers: mmsg.New(sendBatch, answerBytes, 0)}
	cable := Cable{Interface: "lo", Far: "lo"}
	if key.zone != machine.Zone {
		cable = machine.Cables[key.zone]
	}
	err := d.openQueue(in, machine, key.zone, cable)
	if err == nil {
		err = in.Do(key.zone, func() error {
			if key.zone == machine.Zone {
				return d.openLoopback()
			}
			return d.openCable(cable.Interface)
		})
	}
	if err != nil {
		d.close()
		return nil, fmt.Errorf("zone %q: %w", key.zone, err)
	}
	doors[key] = d
	return d, nil
}

func (d *door) close() {
	for _, i := range append(d.ins, inlet{fd: d.raw}) {
		if i.fd >= 0 {
			_ = unix.Close(i.fd)
		}
	}
}

func (d *door) domain() int {
	if d.ipv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// openLoopback opens raw sockets: what they receive has passed the input hook,
// as what a program receives has.
func (d *door) openLoopback() (err error) {
	d.raw, err = unix.Socket(d.domain(), unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return fmt.Errorf("open a raw socket: %w", err)
	}
	if err := unix.SetsockoptInt(d.raw, unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
		return os.NewSyscallError("setsockopt SO_BROADCAST", err)
	}
	protocols := []byte{numberTCP, numberICMP}
	if d.ipv6 {
		protocols[1] = numberICMPv6
	}
	for _, protocol := range protocols {
		fd, err := unix.Socket(d.domain(), unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(protocol))
		if err != nil {
			return fmt.Errorf("open a raw socket: %w", err)
		}
		i := inlet{fd: fd}
		if d.ipv6 {
			i.protocol = protocol
		}
		d.ins = append(d.ins, i)
		if err := i.prepare(answersOf(d.ipv6, i.protocol)); err != nil {
			return err
		}
	}
	return nil
}

// openQueue opens the ends of a zone's queue, once.
func (d *door) openQueue(in *sandbox.Inside, machine Machine, zone string, cable Cable) error {
	if d.queue = queues[zone]; d.queue != nil {
		return nil
	}
	q := &queue{out: -1, in: -1}
	var far net.HardwareAddr
	err := in.Do(machine.Zone, func() error {
		link, err := net.InterfaceByName(cable.Far)
		if err != nil {
			return fmt.Errorf("look for %s: %w", cable.Far, err)
		}
		far = link.HardwareAddr
		q.in, _, err = openFrames(cable.Far, etherMarker)
		return err
	})
	if err != nil {
		return err
	}
	err = in.Do(zone, func() error {
		link, err := net.InterfaceByName(cable.Interface)
		if err != nil {
			return fmt.Errorf("look for %s: %w", cable.Interface, err)
		}
		q.link = make([]byte, etherHeader)
		copy(q.link, far)
		copy(q.link[len(far):], link.HardwareAddr)
		q.out, q.index, err = openFrames(cable.Interface, 0)
		return err
	})
	if err != nil {
		_ = unix.Close(q.in)
		return err
	}
	d.queue, queues[zone] = q, q
	return nil
}

// openCable opens packet sockets at the end of a zone's cable.
func (d *door) openCable(name string) (err error) {
	protocol := uint16(unix.ETH_P_IP)
	if d.ipv6 {
		protocol = unix.ETH_P_IPV6
	}
	d.link = slices.Clone(d.queue.link)
	binary.BigEndian.PutUint16(d.link[12:], protocol)
	fd, _, err := openFrames(name, protocol)
	if err != nil {
		return err
	}
	d.ins = []inlet{{fd: fd}}
	return d.ins[0].prepare(answersOf(d.ipv6, 0))
}

// openFrames opens a packet socket at an interface of the calling thread's
// zone, that receives frames of one protocol; none of protocol 0.
func openFrames(name string, protocol uint16) (fd, index int, err error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return -1, 0, fmt.Errorf("look for %s: %w", name, err)
	}
	kind := unix.SOCK_RAW
	if protocol == unix.ETH_P_IP || protocol == unix.ETH_P_IPV6 {
		kind = unix.SOCK_DGRAM // what is received begins with the IP header
	}
	fd, err = unix.Socket(unix.AF_PACKET, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, 0, fmt.Errorf("open a packet socket: %w", err)
	}
	network := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, protocol))
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: network, Ifindex: link.Index}); err != nil {
		_ = unix.Close(fd)
		return -1, 0, fmt.Errorf("bind a packet socket to %s: %w", name, err)
	}
	return fd, link.Index, nil
}

func (i inlet) prepare(filter []bpf.Instruction) error {
	program, err := bpf.Assemble(filter)
	if err != nil {
		return fmt.Errorf("assemble the filter of a socket: %w", err)
	}
	code := make([]unix.SockFilter, len(program))
	for i, p := range program {
		code[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	if err := unix.SetsockoptSockFprog(i.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}); err != nil {
		return fmt.Errorf("filter what a socket receives: %w", err)
	}
	// Where net.core.rmem_max allows less, that is what it gets.
	if err := unix.SetsockoptInt(i.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
		return fmt.Errorf("size the buffer of a socket: %w", err)
	}
	return nil
}

// answersOf lets ICMP pass, and segments with RST, or SYN and ACK. A protocol
// says that there is no IP header.
func answersOf(ipv6 bool, protocol byte) []bpf.Instruction {
	const accept = answerBytes
	tcp := func(skipHeader bpf.Instruction) []bpf.Instruction {
		return []bpf.Instruction{
			skipHeader,
			bpf.LoadIndirect{Off: tcpFlagsAt, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: flagRST, SkipTrue: 2},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: flagSYN | flagACK},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: flagSYN | flagACK, SkipTrue: 1},
			bpf.RetConstant{Val: accept},
			bpf.RetConstant{Val: 0},
		}
	}
	switch {
	case protocol == numberTCP:
		return tcp(bpf.LoadConstant{Dst: bpf.RegX, Val: 0})
	case protocol != 0:
		return []bpf.Instruction{bpf.RetConstant{Val: accept}}
	}
	at, icmp, skip := uint32(9), uint32(numberICMP), bpf.Instruction(bpf.LoadMemShift{Off: 0})
	if ipv6 {
		at, icmp, skip = 6, numberICMPv6, bpf.LoadConstant{Dst: bpf.RegX, Val: ipv6Bytes}
	}
	return append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: at, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: icmp, SkipTrue: 6},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: numberTCP, SkipTrue: 6},
	}, tcp(skip)...)
}

// drain hands out the answers that have come.
func (d *door) drain(add func(answer)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.ins {
		for {
			n, err := d.answers.Receive(i.fd, 0)
			if errors.Is(err, unix.EAGAIN) {
				break
			}
			if err != nil {
				return fmt.Errorf("receive answers: %w", err)
			}
			for k := range n {
				var a answer
				var ok bool
				if i.protocol != 0 {
					a, ok = readSegment(i.protocol, d.answers.Received(k), true)
				} else {
					a, ok = readAnswer(d.answers.Received(k))
				}
				if ok {
					add(a)
				}
			}
			if n < sendBatch {
				break
			}
		}
	}
	return nil
}

// losses are the answers for which the sockets had no room so far.
func (d *door) losses() (lost uint32, err error) {
	for _, i := range d.ins {
		its, err := i.losses()
		if err != nil {
			return 0, err
		}
		lost += its
	}
	return lost, nil
}

// losses are counted by the kernel (SO_MEMINFO, linux/sock_diag.h). The call is
// made here: unix.GetsockoptString ends at the first zero.
func (i inlet) losses() (uint32, error) {
	const drops = 8 // SK_MEMINFO_DROPS
	var info [drops + 1]uint32
	length := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(i.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info[0])), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return 0, fmt.Errorf("ask what a socket had no room for: %w", errno)
	}
	return info[drops], nil
}
