package counters

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Sockets tells how many sockets there are over IPv4, and of all families
// together, and what they hold. All are gauges: a difference may be negative.
// Some are kept for the whole machine, so that other namespaces move them.
//
// Source: proc_net(5), Documentation/networking/snmp_counter.rst; ip-sysctl
// (tcp_mem, udp_mem, tcp_max_orphans, ipfrag_high_thresh).
type Sockets struct {
	Used int64 // open, of every family and protocol
	TCP  TCPSockets
	UDP  UDPSockets
	// UDPLite and Raw are sockets in use. A kernel without UDP-Lite has none.
	UDPLite, Raw int64
	Fragments    Fragments
}

// TCPSockets are the TCP sockets over IPv4; Orphans, TimeWait, Allocated and
// MemPages count those over IPv6 too.
type TCPSockets struct {
	InUse     int64 // that listen, connect or are connected, but for TIME_WAIT
	Orphans   int64 // of the whole machine: closed by their process, not yet by the peer
	TimeWait  int64 // in TIME_WAIT
	Allocated int64 // of the whole machine, unconnected ones too
	MemPages  int64 // pages that buffers of the whole machine hold
}

// UDPSockets are the UDP sockets over IPv4.
type UDPSockets struct {
	InUse    int64 // bound to a port
	MemPages int64 // pages that buffers of the whole machine hold, IPv6 too
}

// Fragments are IP datagrams that wait for the rest of their fragments.
type Fragments struct {
	InUse    int64 // datagrams
	MemBytes int64
}

// Sockets6 tells how many sockets over IPv6 are in use, in the sense of
// Sockets. A socket that serves both families counts here.
//
// Source: proc_net(5).
type Sockets6 struct {
	TCP, UDP, UDPLite, Raw int64
	Fragments              Fragments
}

// ReadSockets reads the gauges of the calling thread's network namespace.
func ReadSockets() (Sockets, error) {
	return readAs("socket gauges", procNet+"sockstat", parseSockets)
}

// ReadSockets6 reads those of IPv6. It fails with an error that wraps
// fs.ErrNotExist where the kernel has no IPv6.
func ReadSockets6() (Sockets6, error) {
	return readAs("IPv6 socket gauges", procNet+"sockstat6", parseSockets6)
}

// Sub returns how far each gauge has moved since an earlier reading.
func (s Sockets) Sub(earlier Sockets) Sockets {
	subGauges(s.gauges(), earlier.gauges())
	return s
}

// Sub returns how far each gauge has moved since an earlier reading.
func (s Sockets6) Sub(earlier Sockets6) Sockets6 {
	subGauges(s.gauges(), earlier.gauges())
	return s
}

// String lists what is not zero, by the kernel's names, such as
// "sockets used 2, TCP tw -1".
func (s Sockets) String() string { return listGauges(s.gauges()) }

// String lists what is not zero, by the kernel's names, such as "TCP6 inuse 1".
func (s Sockets6) String() string { return listGauges(s.gauges()) }

// gauge is one figure: the name that begins its line, its own name, where it
// belongs, and whether a kernel may do without.
type gauge struct {
	line, name string
	value      *int64
	optional   bool
}

// Linux 7.1 has no UDP-Lite any more, and not its lines.
func (s *Sockets) gauges() []gauge {
	return []gauge{
		{"sockets", "used", &s.Used, false},
		{"TCP", "inuse", &s.TCP.InUse, false},
		{"TCP", "orphan", &s.TCP.Orphans, false},
		{"TCP", "tw", &s.TCP.TimeWait, false},
		{"TCP", "alloc", &s.TCP.Allocated, false},
		{"TCP", "mem", &s.TCP.MemPages, false},
		{"UDP", "inuse", &s.UDP.InUse, false},
		{"UDP", "mem", &s.UDP.MemPages, false},
		{"UDPLITE", "inuse", &s.UDPLite, true},
		{"RAW", "inuse", &s.Raw, false},
		{"FRAG", "inuse", &s.Fragments.InUse, false},
		{"FRAG", "memory", &s.Fragments.MemBytes, false},
	}
}

func (s *Sockets6) gauges() []gauge {
	return []gauge{
		{"TCP6", "inuse", &s.TCP, false},
		{"UDP6", "inuse", &s.UDP, false},
		{"UDPLITE6", "inuse", &s.UDPLite, true},
		{"RAW6", "inuse", &s.Raw, false},
		{"FRAG6", "inuse", &s.Fragments.InUse, false},
		{"FRAG6", "memory", &s.Fragments.MemBytes, false},
	}
}

func subGauges(now, earlier []gauge) {
	for i := range now {
		*now[i].value -= *earlier[i].value
	}
}

func listGauges(gauges []gauge) string {
	var l list
	for _, g := range gauges {
		add(&l, g.line+" "+g.name, *g.value)
	}
	return l.String()
}

func parseSockets(text string) (Sockets, error) {
	var s Sockets
	if err := parseGauges(text, s.gauges()); err != nil {
		return Sockets{}, err
	}
	return s, nil
}

func parseSockets6(text string) (Sockets6, error) {
	var s Sockets6
	if err := parseGauges(text, s.gauges()); err != nil {
		return Sockets6{}, err
	}
	return s, nil
}

// parseGauges takes lines such as "UDP: inuse 1 mem 2". It passes over lines
// and names that are yet to come.
func parseGauges(text string, gauges []gauge) error {
	found := map[string]int64{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		head, ok := strings.CutSuffix(fields[0], ":")
		if !ok || len(fields)%2 == 0 {
			return fmt.Errorf("line %q is no heading with names and values", short(line))
		}
		for i := 1; i < len(fields); i += 2 {
			value, err := strconv.ParseInt(fields[i+1], 10, 64)
			if err != nil {
				return fmt.Errorf("%s %s: %w", short(head), short(fields[i]), err)
			}
			found[head+" "+fields[i]] = value
		}
	}
	if len(found) == 0 {
		return errors.New("no gauge in it")
	}
	for _, g := range gauges {
		value, ok := found[g.line+" "+g.name]
		if !ok && !g.optional {
			return fmt.Errorf("no gauge %s %s", g.line, g.name)
		}
		*g.value = value
	}
	return nil
}
