package portscan

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/checksum"
	"github.com/loopcheck/loopcheck/probe/internal/errqueue"
	"github.com/loopcheck/loopcheck/probe/internal/mmsg"
	"github.com/loopcheck/loopcheck/probe/sock"
)

const (
	// rawBatch is how many SYNs one system call sends. The answers of a batch
	// have to fit in the socket's receive buffer, of which each takes about 700
	// bytes: less than half of the 208 KiB that net.core.rmem_default says.
	rawBatch = 128
	// tcpHeaderBytes is a header without options (RFC 9293 3.1).
	tcpHeaderBytes = 20
	// answerBytes is an IPv4 header with all options and a TCP header.
	answerBytes = 60 + tcpHeaderBytes
)

// Flags of a TCP header (RFC 9293 3.1).
const (
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// rawAsker sends SYNs through a raw socket.
type rawAsker struct {
	// holder keeps the port they come from, so that no program gets it. A bound
	// socket that is neither connected nor listens takes no segment.
	holder int
	raw    int
	port   uint16
	ipv6   bool
	seq    uint32
	// sum is the checksum of header and pseudo header, as the ones' complement
	// sum of 16-bit words (RFC 1071), without the destination port.
	sum    uint32
	out    *mmsg.Batch
	in     *mmsg.Batch
	errors *mmsg.Batch
}

func openRaw(local, to netip.Addr, of func(uint16) dislike) (asker, error) {
	a := &rawAsker{raw: -1, ipv6: to.Is6(), seq: rand.Uint32()}
	var err error
	if a.holder, a.port, err = bindFree(unix.SOCK_STREAM, local, of); err != nil {
		return nil, err
	}
	if err := a.openRawSocket(local, to); err != nil {
		a.close()
		return nil, err
	}
	a.out = mmsg.New(rawBatch, tcpHeaderBytes, 0)
	a.in = mmsg.New(rawBatch, answerBytes, 0)
	a.errors = mmsg.New(32, tcpHeaderBytes, errqueue.ControlBytes)
	a.writeHeaders(local, to)
	return a, nil
}

func (a *rawAsker) openRawSocket(local, to netip.Addr) error {
	var err error
	a.raw, err = unix.Socket(domainOf(to), unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return fmt.Errorf("open a raw socket: %w", err)
	}
	// The filter comes before the addresses: until both are set the socket
	// receives whatever TCP the machine does.
	program, err := bpf.Assemble(answersTo(a.port, a.ipv6))
	if err != nil {
		return fmt.Errorf("assemble the filter of a raw socket: %w", err)
	}
	filter := make([]unix.SockFilter, len(program))
	for i, p := range program {
		filter[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	if err := unix.SetsockoptSockFprog(a.raw, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}); err != nil {
		return fmt.Errorf("filter what a raw socket receives: %w", err)
	}
	if err := errqueue.Enable(a.raw, a.ipv6); err != nil {
		return fmt.Errorf("queue the errors of a raw socket: %w", err)
	}
	// Where net.core.rmem_max allows less, that is what it gets.
	if err := unix.SetsockoptInt(a.raw, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20); err != nil {
		return fmt.Errorf("size the buffer of a raw socket: %w", err)
	}
	from, _ := sockaddr(local)
	if err := unix.Bind(a.raw, from); err != nil {
		return fmt.Errorf("bind a raw socket to %s: %w", local, err)
	}
	sa, _ := sockaddr(to)
	if err := unix.Connect(a.raw, sa); err != nil {
		return fmt.Errorf("connect a raw socket to %s: %w", to, err)
	}
	return nil
}

// answersTo is a filter that lets segments to the port pass that may answer a
// SYN, cut to their headers. An IPv4 raw socket is given the IP header as well
// (raw(7)).
func answersTo(port uint16, ipv6 bool) []bpf.Instruction {
	// X is where the TCP header begins.
	header := bpf.Instruction(bpf.LoadMemShift{Off: 0})
	if ipv6 {
		header = bpf.LoadConstant{Dst: bpf.RegX, Val: 0}
	}
	return []bpf.Instruction{
		header,
		bpf.LoadIndirect{Off: 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(port), SkipTrue: 3},
		bpf.LoadIndirect{Off: 13, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: flagRST | flagACK, SkipTrue: 1},
		bpf.RetConstant{Val: answerBytes},
		bpf.RetConstant{Val: 0},
	}
}

// writeHeaders fills what all SYNs have in common.
func (a *rawAsker) writeHeaders(local, to netip.Addr) {
	header := make([]byte, tcpHeaderBytes)
	binary.BigEndian.PutUint16(header, a.port)
	binary.BigEndian.PutUint32(header[4:], a.seq)
	header[12] = tcpHeaderBytes / 4 << 4
	header[13] = flagSYN
	binary.BigEndian.PutUint16(header[14:], 65535)
	// The pseudo header: both addresses, the protocol, the length.
	pseudo := append(local.AsSlice(), to.AsSlice()...)
	a.sum = checksum.Sum(checksum.Sum(unix.IPPROTO_TCP+tcpHeaderBytes, header), pseudo)
	for i := range a.out.Len() {
		copy(a.out.Buffer(i), header)
	}
}

// address writes the header of one SYN.
func (a *rawAsker) address(header []byte, port uint16) {
	binary.BigEndian.PutUint16(header[2:], port)
	binary.BigEndian.PutUint16(header[16:], checksum.Fold(a.sum+uint32(port)))
}

func (a *rawAsker) holds() []uint16 { return []uint16{a.port} }

func (a *rawAsker) close() {
	_ = unix.Close(a.holder)
	if a.raw >= 0 {
		_ = unix.Close(a.raw)
	}
}

func (a *rawAsker) ask(ctx context.Context, ports []uint16, wait time.Duration, tell listener) error {
	missing := newAwaited(ports)
	record := missing.noting(tell.record)
	for begin := 0; begin < len(ports); begin += rawBatch {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := ports[begin:min(begin+rawBatch, len(ports))]
		if err := a.send(part, record); err != nil {
			return err
		}
		if err := a.drain(record); err != nil {
			return err
		}
		tell.asked(len(part))
	}
	return missing.await(ctx, a.raw, wait, func() error { return a.drain(record) })
}

// send sends a SYN to each port. What the kernel refuses to send is recorded.
func (a *rawAsker) send(ports []uint16, record recorder) error {
	for i, port := range ports {
		a.address(a.out.Buffer(i), port)
	}
	var r refusal
	for sent := 0; sent < len(ports); {
		n, err := a.out.Send(a.raw, sent, len(ports))
		sent += n
		if err == nil {
			continue
		}
		queued, queueErr := a.drainErrors(record)
		if queueErr != nil {
			return queueErr
		}
		refused, err := r.judge(ports[sent], err, queued)
		if err != nil {
			return fmt.Errorf("send a SYN to port %d: %w", ports[sent], err)
		}
		if refused != 0 {
			record(ports[sent], Answer{State: Dropped, Errno: refused})
			sent++
		}
	}
	return nil
}

// drain records the answers that have come.
func (a *rawAsker) drain(record recorder) error {
	for {
		n, err := a.in.Receive(a.raw, 0)
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil {
			// It tells of an ICMP error, once.
			if _, err := a.drainErrors(record); err != nil {
				return err
			}
			continue
		}
		for i := range n {
			a.judge(a.in.Received(i), record)
		}
		if n < rawBatch {
			return nil
		}
	}
}

// judge records what a segment says of the port that it comes from. A stray
// acknowledgement, as a connection in TIME_WAIT may send, says nothing.
func (a *rawAsker) judge(packet []byte, record recorder) {
	if !a.ipv6 {
		if len(packet) < 1 || len(packet) < int(packet[0]&0xf)*4 {
			return
		}
		packet = packet[int(packet[0]&0xf)*4:]
	}
	if len(packet) < tcpHeaderBytes {
		return
	}
	from, flags := binary.BigEndian.Uint16(packet), packet[13]
	answersUs := flags&flagACK != 0 && binary.BigEndian.Uint32(packet[8:]) == a.seq+1
	switch {
	case !answersUs:
	case flags&flagRST != 0:
		record(from, Answer{State: Closed})
	case flags&flagSYN != 0:
		record(from, Answer{State: Open})
	}
}

// drainErrors records the ICMP errors in the queue and counts its entries. Each
// holds the header of the segment that it is about; those of other sockets are
// among them.
func (a *rawAsker) drainErrors(record recorder) (int, error) {
	return drainErrors(a.errors, a.raw, func(i int, e errqueue.Error) {
		header := a.errors.Received(i)
		if len(header) >= 4 && binary.BigEndian.Uint16(header) == a.port {
			record(binary.BigEndian.Uint16(header[2:]), Answer{State: Rejected, ICMP: icmpOf(e)})
		}
	})
}

func icmpOf(e errqueue.Error) sock.ICMPError { return sock.ICMPError{Type: e.Type, Code: e.Code} }
