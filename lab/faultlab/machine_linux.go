package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/faults"
)

// hold binds the ports.
func hold(h faults.Hold) (release func(), err error) {
	var held []interface{ Close() error }
	release = func() {
		for _, s := range held {
			_ = s.Close() // it is gone with the process in any case
		}
	}
	for port := int(h.From); port <= int(h.To); port++ {
		address := net.JoinHostPort("", strconv.Itoa(port))
		var s interface{ Close() error }
		if h.Network == "udp" {
			s, err = net.ListenPacket("udp", address)
		} else {
			s, err = net.Listen("tcp", address)
		}
		if err != nil {
			release()
			return nil, err
		}
		held = append(held, s)
	}
	return release, nil
}

// conntrackWorld wakes connection tracking, which sleeps until a rule asks for
// it, and keeps the stack from answering the packets that fill the table: a
// reset would take an entry out again.
const conntrackWorld = `nft -f - <<'END'
table ip labfill {
	chain in {
		type filter hook input priority -150
		ip daddr 127.0.2.0/23 drop
		ct state established accept
	}
}
END`

// fillConntrack makes tracked connections until the table has no room: both
// directions of three-way handshakes, so that the entries are not the ones that
// the kernel drops early (nf_conntrack_max in nf_conntrack-sysctl).
func fillConntrack() error {
	limit, err := readNumber("/proc/sys/net/netfilter/nf_conntrack_max")
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	client, server := [4]byte{127, 0, 2, 1}, [4]byte{127, 0, 3, 1}
	send := func(from, to [4]byte, source, destination uint16, flags byte, seq, ack uint32) error {
		err := unix.Sendto(fd, segment(from, to, source, destination, flags, seq, ack), 0, &unix.SockaddrInet4{Addr: to})
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOBUFS) {
			return nil // the table is full
		}
		return err
	}
	const syn, ack = 2, 16
	for n := 0; n < limit+limit/50; n++ {
		source, destination := uint16(1+n%65535), uint16(1+n/65535)
		for _, err := range []error{
			send(client, server, source, destination, syn, 1, 0),
			send(server, client, destination, source, syn|ack, 1, 2),
			send(client, server, source, destination, ack, 2, 2),
		} {
			if err != nil {
				return os.NewSyscallError("sendto", err)
			}
		}
	}
	count, err := readNumber("/proc/sys/net/netfilter/nf_conntrack_count")
	if err != nil {
		return err
	}
	if count < limit-limit/50 {
		return fmt.Errorf("%d connections are tracked, of %d that there is room for", count, limit)
	}
	return nil
}

func readNumber(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// segment is an IPv4 packet with a TCP header and nothing after it.
func segment(from, to [4]byte, source, destination uint16, flags byte, seq, ack uint32) []byte {
	p := make([]byte, 40)
	p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(p[2:], 40)
	copy(p[12:], from[:])
	copy(p[16:], to[:])
	binary.BigEndian.PutUint16(p[20:], source)
	binary.BigEndian.PutUint16(p[22:], destination)
	binary.BigEndian.PutUint32(p[24:], seq)
	binary.BigEndian.PutUint32(p[28:], ack)
	p[32], p[33] = 5<<4, flags
	binary.BigEndian.PutUint16(p[34:], 65535)
	checksum(p)
	return p
}
