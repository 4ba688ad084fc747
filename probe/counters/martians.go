package counters

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Martians counts the packets of IPv4 that came in over the wire and were
// dropped for an address that cannot have come so (RFC 1812 5.3.7; log_martians
// in Documentation/networking/ip-sysctl.rst). They are those of every network
// namespace of the machine together, so compare with at least. Each counts in
// 32 bits: a difference is right as long as less than 2³² came in between.
type Martians struct {
	Sources      uint32 // dropped for where they said they came from
	Destinations uint32 // dropped for where they were to go
}

// ReadMartians reads the counters (net/ipv4/route.c of the kernel, rt_cache).
func ReadMartians() (Martians, error) {
	return readAs("counters of martians", procNet+"stat/rt_cache", parseMartians)
}

// Sub returns what was counted since an earlier reading.
func (m Martians) Sub(earlier Martians) Martians {
	return Martians{Sources: m.Sources - earlier.Sources, Destinations: m.Destinations - earlier.Destinations}
}

// String lists what is not zero, such as "sources 1, destinations 2".
func (m Martians) String() string {
	var l list
	add(&l, "sources", m.Sources)
	add(&l, "destinations", m.Destinations)
	return l.String()
}

// parseMartians takes a line of names and one of hexadecimal values for each
// processor.
func parseMartians(text string) (m Martians, err error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	names := strings.Fields(lines[0])
	for _, wanted := range []struct {
		name string
		sum  *uint32
	}{{"in_martian_src", &m.Sources}, {"in_martian_dst", &m.Destinations}} {
		column := slices.Index(names, wanted.name)
		if column < 0 {
			return Martians{}, fmt.Errorf("no column %s in %q", wanted.name, short(lines[0]))
		}
		for _, line := range lines[1:] {
			fields := strings.Fields(line)
			if len(fields) <= column {
				return Martians{}, fmt.Errorf("row %q has no column %s", short(line), wanted.name)
			}
			value, err := strconv.ParseUint(fields[column], 16, 32)
			if err != nil {
				return Martians{}, fmt.Errorf("row %q, %s: %w", short(line), wanted.name, err)
			}
			*wanted.sum += uint32(value)
		}
	}
	return m, nil
}
