// Package portset holds sets of port numbers, as a person writes them
// ("1-1023,62893") and as the registry of ports divides them (RFC 6335 6).
package portset

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// Range is the ports from First to Last, both of them included.
type Range struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
}

// The three ranges of RFC 6335 6: assigned by IETF review, assigned on request,
// and never assigned, which is where the example port 62893 is.
var (
	System  = Range{1, 1023}
	User    = Range{1024, 49151}
	Dynamic = Range{49152, 65535}
)

// IANA lists the three ranges with the names that RFC 6335 gives them.
func IANA() []struct {
	Name string
	Range
} {
	return []struct {
		Name string
		Range
	}{{"system", System}, {"user", User}, {"dynamic", Dynamic}}
}

// Len is how many ports the range has.
func (r Range) Len() int { return int(r.Last) - int(r.First) + 1 }

// Contains says whether a port is within the range.
func (r Range) Contains(port uint16) bool { return r.First <= port && port <= r.Last }

// String is "80" or "8000-8010".
func (r Range) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Set is a set of ports. The zero value is empty; sets are never changed.
type Set struct {
	// ranges are ascending, and between two of them is at least one port.
	ranges []Range
}

// All is every port that a packet can be sent to: 1 to 65535.
func All() Set { return Of(Range{1, 65535}) }

// Of is the set of the ports of all ranges. One whose Last is below its First
// has none.
func Of(ranges ...Range) Set {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b Range) int { return int(a.First) - int(b.First) })
	var s Set
	for _, r := range sorted {
		n := len(s.ranges)
		switch {
		case r.Last < r.First:
		case n > 0 && int(r.First) <= int(s.ranges[n-1].Last)+1:
			s.ranges[n-1].Last = max(s.ranges[n-1].Last, r.Last)
		default:
			s.ranges = append(s.ranges, r)
		}
	}
	return s
}

// Ports is the set of single ports.
func Ports(ports ...uint16) Set {
	ranges := make([]Range, len(ports))
	for i, p := range ports {
		ranges[i] = Range{p, p}
	}
	return Of(ranges...)
}

// Parse reads ports and ranges of them that are separated by commas, such as
// "1-1023,62893". The error is one line that says what was wrong and what to
// write.
func Parse(text string) (Set, error) {
	var ranges []Range
	for part := range strings.SplitSeq(text, ",") {
		r, err := parseRange(strings.TrimSpace(part))
		if err != nil {
			return Set{}, err
		}
		ranges = append(ranges, r)
	}
	return Of(ranges...), nil
}

func parseRange(text string) (Range, error) {
	if text == "" {
		return Range{}, fmt.Errorf("a port is missing: write ports such as 62893 or 1-1023, separated by commas")
	}
	low, high, isRange := strings.Cut(text, "-")
	first, err := parsePort(strings.TrimSpace(low))
	if err != nil {
		return Range{}, err
	}
	if !isRange {
		return Range{first, first}, nil
	}
	last, err := parsePort(strings.TrimSpace(high))
	if err != nil {
		return Range{}, err
	}
	if last < first {
		return Range{}, fmt.Errorf("range %s is reversed: write %d-%d", text, last, first)
	}
	return Range{first, last}, nil
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	switch {
	case err != nil && !isDigits(text):
		return 0, fmt.Errorf("%q is no port: write a number from 1 to 65535, or a range such as 1-1023", text)
	case err != nil || n < 1 || n > 65535:
		return 0, fmt.Errorf("port %s is out of range: write a number from 1 to 65535", text)
	}
	return uint16(n), nil
}

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// Len is how many ports the set has.
func (s Set) Len() int {
	n := 0
	for _, r := range s.ranges {
		n += r.Len()
	}
	return n
}

// Contains says whether a port is in the set.
func (s Set) Contains(port uint16) bool {
	return slices.ContainsFunc(s.ranges, func(r Range) bool { return r.Contains(port) })
}

// Within is the set of those ports that are in the range too.
func (s Set) Within(r Range) Set {
	var within []Range
	for _, own := range s.ranges {
		within = append(within, Range{max(own.First, r.First), min(own.Last, r.Last)})
	}
	return Of(within...)
}

// Without is the set of those ports that are not in the other.
func (s Set) Without(other Set) Set {
	var left []Range
	for _, r := range s.ranges {
		first := int(r.First)
		for _, out := range other.Within(r).ranges {
			if first < int(out.First) {
				left = append(left, Range{uint16(first), out.First - 1})
			}
			first = int(out.Last) + 1
		}
		if first <= int(r.Last) {
			left = append(left, Range{uint16(first), r.Last})
		}
	}
	return Of(left...)
}

// Ranges returns the ports as few ranges as can be, ascending.
func (s Set) Ranges() []Range { return slices.Clone(s.ranges) }

// All goes through the ports, ascending.
func (s Set) All() iter.Seq[uint16] {
	return func(yield func(uint16) bool) {
		for _, r := range s.ranges {
			for p := int(r.First); p <= int(r.Last); p++ {
				if !yield(uint16(p)) {
					return
				}
			}
		}
	}
}

// String is what Parse reads, "" for the empty set.
func (s Set) String() string {
	texts := make([]string, len(s.ranges))
	for i, r := range s.ranges {
		texts[i] = r.String()
	}
	return strings.Join(texts, ",")
}
