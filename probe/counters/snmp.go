package counters

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Snapshot holds the protocol counters of one network namespace by group and
// name: "Tcp" and "RetransSegs", "TcpExt" and "ListenOverflows", "Ip6" and
// "InReceives". They count packets, segments, datagrams or events of every
// process in the namespace together, so a check that causes one event may see
// several: compare with at least. A few are gauges or settings (Tcp CurrEstab,
// Tcp RtoMin).
//
// Source: RFC 4022, RFC 4113, RFC 4293; Documentation/networking/snmp_counter.rst.
type Snapshot map[string]map[string]int64

// Read takes a snapshot of the calling thread's network namespace. Without
// IPv6 in the kernel its groups are missing.
func Read() (Snapshot, error) {
	s := Snapshot{}
	tables := []struct {
		name     string
		parse    func(string) error
		optional bool
	}{
		{"snmp", s.parsePairs, false},
		{"netstat", s.parsePairs, false},
		{"snmp6", s.parseColumns, true},
	}
	for _, table := range tables {
		text, err := readFile(procNet + table.name)
		if table.optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading protocol counters: %w", err)
		}
		if err := table.parse(text); err != nil {
			return nil, fmt.Errorf("reading %s%s: %w", procNet, table.name, err)
		}
	}
	return s, nil
}

// Get returns one counter. It fails for one that this kernel does not have.
func (s Snapshot) Get(group, name string) (int64, error) {
	value, ok := s[group][name]
	if !ok {
		return 0, fmt.Errorf("this kernel has no counter %s %s", group, name)
	}
	return value, nil
}

// Sub returns how far each counter has moved since an earlier snapshot. One
// that the earlier lacks counts from zero: the kernel lists the counters of
// ICMP types only once they have counted.
func (s Snapshot) Sub(earlier Snapshot) Snapshot {
	diff := make(Snapshot, len(s))
	for group, counters := range s {
		diff[group] = make(map[string]int64, len(counters))
		for name, value := range counters {
			diff[group][name] = value - earlier[group][name]
		}
	}
	return diff
}

// String lists what is not zero, such as "Tcp ActiveOpens 1, Udp NoPorts 2".
func (s Snapshot) String() string {
	var l list
	for _, group := range slices.Sorted(maps.Keys(s)) {
		for _, name := range slices.Sorted(maps.Keys(s[group])) {
			add(&l, group+" "+name, s[group][name])
		}
	}
	return l.String()
}

// parsePairs adds the counters of a table as /proc/net/snmp and
// /proc/net/netstat have it: a line of names and a line of values for each
// group, both begun by the group's name.
func (s Snapshot) parsePairs(text string) error {
	var group string
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		head, ok := strings.CutSuffix(fields[0], ":")
		if !ok || head == "" {
			return fmt.Errorf("line %q begins with no group", short(line))
		}
		if names == nil {
			group, names = head, fields[1:]
			continue
		}
		if head != group || len(fields)-1 != len(names) {
			return fmt.Errorf("group %q has %d names and then %d values of %q", group, len(names), len(fields)-1, head)
		}
		for i, name := range names {
			if err := s.set(group, name, fields[1+i]); err != nil {
				return err
			}
		}
		names = nil
	}
	if names != nil {
		return fmt.Errorf("group %q has names but no values", group)
	}
	return nil
}

// parseColumns adds the counters of a table as /proc/net/snmp6 has it: a name
// that begins with its group, and a value, on each line.
func (s Snapshot) parseColumns(text string) error {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 2 {
			return fmt.Errorf("line %q is no name and value", short(line))
		}
		group, name, ok := strings.Cut(fields[0], "6")
		if !ok || group == "" || name == "" {
			return fmt.Errorf("%q names no IPv6 counter", short(fields[0]))
		}
		if err := s.set(group+"6", name, fields[1]); err != nil {
			return err
		}
	}
	return nil
}

func (s Snapshot) set(group, name, text string) error {
	value, err := strconv.ParseInt(text, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		// The octet counters use all 64 bits; their differences stay right.
		var unsigned uint64
		unsigned, err = strconv.ParseUint(text, 10, 64)
		value = int64(unsigned)
	}
	if err != nil {
		return fmt.Errorf("counter %s %s: %w", group, name, err)
	}
	if s[group] == nil {
		s[group] = map[string]int64{}
	}
	s[group][name] = value
	return nil
}
