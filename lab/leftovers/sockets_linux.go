package leftovers

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// socket is a line of a table of sockets.
type socket struct {
	proto string
	inode string
	text  string // addresses and state
	uid   int    // -1 where the table does not say
	// bound says that it holds on to an address or an interface, so that it is
	// reported even when no process is seen to hold it.
	bound bool
}

// socketTable says where a table is and how to read a line of it.
type socketTable struct {
	proto string
	parse func(proto string, fields []string) (socket, bool)
}

// socketTables are in /proc/thread-self/net; see proc_pid_net(5). A table that
// is missing is of a protocol the kernel does not have or has not loaded.
var socketTables = []socketTable{
	{"tcp", parseInet},
	{"tcp6", parseInet},
	{"udp", parseInet},
	{"udp6", parseInet},
	{"udplite", parseInet},
	{"udplite6", parseInet},
	{"raw", parseInet},
	{"raw6", parseInet},
	{"icmp", parseInet},
	{"icmp6", parseInet},
	{"packet", parsePacket},
	{"unix", parseUnix},
}

// tcpStates are the numbers of include/net/tcp_states.h.
var tcpStates = map[string]string{
	"01": "ESTABLISHED", "02": "SYN_SENT", "03": "SYN_RECV", "04": "FIN_WAIT1",
	"05": "FIN_WAIT2", "06": "TIME_WAIT", "07": "CLOSE", "08": "CLOSE_WAIT",
	"09": "LAST_ACK", "0A": "LISTEN", "0B": "CLOSING", "0C": "NEW_SYN_RECV",
}

// socketList is every socket of the network namespace, owners unknown.
type socketList struct {
	sockets []socket
	blind   string
	notes   []string
}

// readSockets reads the tables of the calling thread's namespace: /proc/net
// would show that of the process's first thread.
func readSockets() socketList {
	var list socketList
	const dir = "/proc/thread-self/net/"
	if _, err := os.Stat(dir); err != nil {
		list.blind = err.Error()
		return list
	}
	for _, table := range socketTables {
		content, err := os.ReadFile(dir + table.proto)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			list.notes = append(list.notes, err.Error())
			continue
		}
		for i, line := range strings.Split(string(content), "\n") {
			if i == 0 || line == "" {
				continue // the head of the table
			}
			// A line without an inode is of a socket no process can hold any more:
			// TIME_WAIT, a handshake under way, or a close that the kernel finishes.
			if s, ok := table.parse(table.proto, strings.Fields(line)); ok && s.inode != "0" {
				list.sockets = append(list.sockets, s)
			}
		}
	}
	return list
}

func parseInet(proto string, fields []string) (socket, bool) {
	if len(fields) < 10 {
		return socket{}, false
	}
	local, ok1 := parseHexAddress(fields[1])
	remote, ok2 := parseHexAddress(fields[2])
	uid, err := strconv.Atoi(fields[7])
	if !ok1 || !ok2 || err != nil {
		return socket{}, false
	}
	s := socket{proto: proto, inode: fields[9], uid: uid}
	s.text = local.String()
	if remote.Port() != 0 || !remote.Addr().IsUnspecified() {
		s.text += " to " + remote.String()
	}
	if strings.HasPrefix(proto, "tcp") {
		state := tcpStates[fields[3]]
		s.text = state + " " + s.text
		s.bound = state == "LISTEN"
		return s, state != "TIME_WAIT"
	}
	s.bound = true
	return s, true
}

// parseHexAddress reads ADDRESS:PORT as the kernel prints it: the port as a
// number, the address as 32-bit words of network order read in host order.
func parseHexAddress(text string) (netip.AddrPort, bool) {
	address, port, _ := strings.Cut(text, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	words, err := hex.DecodeString(address)
	if err != nil || len(words)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(words); i += 4 {
		binary.NativeEndian.PutUint32(words[i:], binary.BigEndian.Uint32(words[i:]))
	}
	ip, ok := netip.AddrFromSlice(words)
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), ok
}

func parsePacket(proto string, fields []string) (socket, bool) {
	if len(fields) < 9 {
		return socket{}, false
	}
	uid, err := strconv.Atoi(fields[7])
	return socket{
		proto: proto, inode: fields[8], uid: uid, bound: true,
		text: fmt.Sprintf("protocol 0x%s on interface index %s", fields[3], fields[4]),
	}, err == nil
}

func parseUnix(proto string, fields []string) (socket, bool) {
	if len(fields) < 7 {
		return socket{}, false
	}
	s := socket{proto: proto, inode: fields[6], uid: -1, text: "unnamed"}
	if len(fields) > 7 {
		s.text = strings.Join(fields[7:], " ")
	}
	return s, true
}

// key identifies a socket for as long as the machine runs.
func (s socket) key() string { return s.proto + " " + s.inode }

// area tells the sockets of the command from those of others. The list has to
// be read before the census and again after it: a socket without an owner that
// is gone by then was merely closed meanwhile.
func (list socketList) area(c *census, again socketList) area {
	if list.blind != "" {
		return blindArea(list.blind)
	}
	still := map[string]bool{}
	for _, s := range again.sockets {
		still[s.key()] = true
	}
	a := newArea()
	a.notes = list.notes
	if c.hidden > 0 {
		a.note("owners that are processes of other users (%d of them, needs root)", c.hidden)
	}
	euid := os.Geteuid()
	for _, s := range list.sockets {
		owners := c.sockets["socket:["+s.inode+"]"]
		mine := slices.DeleteFunc(slices.Clone(owners), func(p *process) bool { return !p.ours })
		// Without an owner in sight it is ours to report only where we would have
		// been allowed to see the owner.
		orphan := len(owners) == 0 && s.bound && still[s.key()] && (c.hidden == 0 || s.uid == euid)
		name := fmt.Sprintf("%s %s", s.proto, s.text)
		switch {
		case len(mine) > 0:
			var who []string
			for _, p := range mine {
				who = append(who, p.String())
			}
			slices.Sort(who)
			name += ", held by " + strings.Join(who, ", ")
		case orphan:
			name += ", held by no process in sight"
		}
		a.add(s.key(), entry{name: name, foreign: len(mine) == 0 && !orphan})
	}
	return a
}
