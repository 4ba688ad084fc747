package socktable

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// parseProcNet reads one line of /proc/net/tcp, udp, raw and their namesakes of
// IPv6, without the heading (proc_pid_net(5)).
func parseProcNet(protocol Protocol, line string) (Socket, error) {
	fields := strings.Fields(line)
	if len(fields) < 10 {
		return Socket{}, fmt.Errorf("%s socket in %d columns: %w", protocol, len(fields), errShort)
	}
	s := Socket{Protocol: protocol}
	local, localPort, err := parseHexAddress(fields[1])
	if err != nil {
		return Socket{}, fmt.Errorf("local address of a %s socket: %w", protocol, err)
	}
	remote, remotePort, err := parseHexAddress(fields[2])
	if err != nil {
		return Socket{}, fmt.Errorf("remote address of a %s socket: %w", protocol, err)
	}
	if local.Is4() != remote.Is4() {
		return Socket{}, fmt.Errorf("%s socket from %s to %s", protocol, local, remote)
	}
	if local.Is6() {
		s.Family = sock.IPv6
	}
	s.setEndpoints(local, localPort, remote, remotePort)

	tx, rx, _ := strings.Cut(fields[4], ":")
	numbers := []struct {
		text       string
		base, bits int
		set        func(uint64)
	}{
		{fields[3], 16, 8, func(n uint64) { s.State = sock.TCPState(n) }},
		{tx, 16, 32, func(n uint64) { s.SendQueue = uint32(n) }},
		{rx, 16, 32, func(n uint64) { s.ReceiveQueue = uint32(n) }},
		{fields[7], 10, 32, func(n uint64) { s.UID = int64(n) }},
		{fields[9], 10, 32, func(n uint64) { s.Inode = uint32(n) }},
	}
	for _, number := range numbers {
		n, err := strconv.ParseUint(number.text, number.base, number.bits)
		if err != nil {
			return Socket{}, fmt.Errorf("columns of a %s socket: %w", protocol, err)
		}
		number.set(n)
	}
	s.forgetUntoldUser()
	return s, nil
}

// parseHexAddress reads ADDRESS:PORT as these files have it: the port as a
// number, the address as words of 32 bits in network order, printed as numbers
// of this machine.
func parseHexAddress(text string) (netip.Addr, uint16, error) {
	address, port, _ := strings.Cut(text, ":")
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.Addr{}, 0, err
	}
	b, err := hex.DecodeString(address)
	if err != nil {
		return netip.Addr{}, 0, err
	}
	if len(b) != 4 && len(b) != 16 {
		return netip.Addr{}, 0, fmt.Errorf("address of %d bytes", len(b))
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	ip, _ := netip.AddrFromSlice(b)
	return ip, uint16(number), nil
}
