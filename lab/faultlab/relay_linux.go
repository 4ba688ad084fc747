package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/faults"
)

// relayWorld stands before the traffic is sent into the device: the device, the
// table that leads there, and what lets 127/8 come back from it
// (route_localnet and accept_local in the kernel's ip-sysctl). It is without IPv6,
// whose multicast route the kernel adds some time after the device is opened.
const relayWorld = `set -e
ip tuntap add dev lab0 mode tun
! [ -e /proc/sys/net/ipv6 ] || sysctl -qw net.ipv6.conf.lab0.disable_ipv6=1
ip address add 198.51.100.1/32 dev lab0
ip link set lab0 mtu 65535 up
sysctl -qw net.ipv4.conf.lab0.route_localnet=1 net.ipv4.conf.lab0.accept_local=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.lab0.rp_filter=0
ip rule add pref 100 lookup local
ip rule del pref 0
ip route add 127.0.0.0/8 dev lab0 src 127.0.0.1 table 1000`

// relayed is how a fault's relay gets its packets.
type relayed faults.Relay

// holdBack is how long a packet waits for one that could overtake it.
const holdBack = 5 * time.Millisecond

func (t trial) startRelay() (stop func(), err error) {
	if t.Machine.Relay == nil {
		return func() {}, nil
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq("lab0")
	if err != nil {
		return nil, err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("TUNSETIFF", err)
	}
	device := os.NewFile(uintptr(fd), "lab0")
	r := relayed(*t.Machine.Relay)
	packets := make(chan timed, 4096)
	go r.read(device, packets)
	go r.write(device, packets)
	return func() { device.Close() }, nil
}

// timed is a packet and when it may go on.
type timed struct {
	packet []byte
	due    time.Time
}

func (r relayed) read(device *os.File, packets chan<- timed) {
	defer close(packets)
	buffer := make([]byte, 1<<16)
	for {
		n, err := device.Read(buffer)
		if err != nil {
			return
		}
		packets <- timed{append([]byte(nil), buffer[:n]...), time.Now().Add(r.Delay)}
	}
}

func (r relayed) write(device *os.File, packets <-chan timed) {
	var swapped []byte
	wait := time.NewTimer(holdBack)
	flush := func() {
		if swapped != nil {
			_, _ = device.Write(swapped) // a device that is gone has no use for it
			swapped = nil
		}
	}
	turn := 0
	for {
		select {
		case <-wait.C:
			flush()
			continue
		case p, more := <-packets:
			if !more {
				return
			}
			if r.Delay > 0 {
				time.Sleep(time.Until(p.due)) // the delay is what is injected
			}
			data := payload(p.packet)
			if len(data) > 0 {
				turn++
			}
			now := func(every int) bool { return every > 0 && len(data) > 0 && turn%every == 0 }
			if now(r.Corrupt) {
				data[len(data)/2] ^= 0xff
				checksum(p.packet)
			}
			if now(r.Swap) && swapped == nil {
				swapped = p.packet
				wait.Reset(holdBack)
				continue
			}
			_, _ = device.Write(p.packet)
			if now(r.Double) {
				_, _ = device.Write(p.packet)
			}
			flush()
		}
	}
}

// transport is the header after that of IPv4 (RFC 791), and the protocol;
// nothing for a fragment.
func transport(packet []byte) ([]byte, byte) {
	if len(packet) < 20 || packet[0]>>4 != 4 || binary.BigEndian.Uint16(packet[6:])&0x3fff != 0 {
		return nil, 0
	}
	header := int(packet[0]&15) * 4
	if header < 20 || header > len(packet) {
		return nil, 0
	}
	return packet[header:], packet[9]
}

// payload is what TCP (RFC 9293) or UDP (RFC 768) carries.
func payload(packet []byte) []byte {
	segment, protocol := transport(packet)
	switch {
	case protocol == unix.IPPROTO_UDP && len(segment) > 8:
		return segment[8:]
	case protocol == unix.IPPROTO_TCP && len(segment) >= 20:
		if offset := int(segment[12]>>4) * 4; offset >= 20 && offset < len(segment) {
			return segment[offset:]
		}
	}
	return nil
}

// checksum makes the checksum of TCP or UDP right (RFC 1071).
func checksum(packet []byte) {
	segment, protocol := transport(packet)
	at := 6
	if protocol == unix.IPPROTO_TCP {
		at = 16
	}
	binary.BigEndian.PutUint16(segment[at:], 0)
	sum := uint32(protocol) + uint32(len(segment))
	for _, part := range [][]byte{packet[12:20], segment} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
		if len(part)%2 == 1 {
			sum += uint32(part[len(part)-1]) << 8
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	if sum ^= 0xffff; sum == 0 && protocol == unix.IPPROTO_UDP {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(segment[at:], uint16(sum))
}

// rule is what sends the traffic into the device.
func (r relayed) rule() string {
	return "ip rule add pref 50 iif lo to 127.0.0.0/8 ipproto " + r.Protocol + " lookup 1000"
}
