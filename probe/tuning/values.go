package tuning

import (
	"strconv"
	"strings"
)

// test is what makes a value one that hurts.
type test = func(value string, read Reader) bool

func not(value string) test { return func(v string, _ Reader) bool { return v != value } }

func is(value string) test { return func(v string, _ Reader) bool { return v == value } }

func below(least int) test {
	return func(v string, _ Reader) bool { n, err := strconv.Atoi(v); return err == nil && n < least }
}

func above(most int) test {
	return func(v string, _ Reader) bool { n, err := strconv.Atoi(v); return err == nil && n > most }
}

// mostBelow is for settings of three numbers, least, default and most.
func mostBelow(least int) test {
	return func(v string, _ Reader) bool {
		fields := strings.Fields(v)
		if len(fields) != 3 {
			return false
		}
		n, err := strconv.Atoi(fields[2])
		return err == nil && n < least
	}
}

// narrow says whether a range holds fewer ports than that. Those of it that are
// reserved do not count: they have a remedy of their own.
func narrow(ports int) test {
	return func(v string, _ Reader) bool {
		low, high, ok := portRange(v)
		return ok && high-low+1 < ports
	}
}

// reserves says whether the reserved ports leave fewer than that of a range
// that would have them.
func reserves(ports int) test {
	return func(v string, read Reader) bool {
		limits, err := read("net.ipv4.ip_local_port_range")
		if err != nil {
			return false
		}
		low, high, ok := portRange(limits)
		if !ok || high-low+1 < ports {
			return false
		}
		left := high - low + 1
		for part := range strings.SplitSeq(v, ",") {
			first, last, isRange := strings.Cut(part, "-")
			if !isRange {
				last = first
			}
			from, fromErr := strconv.Atoi(first)
			to, toErr := strconv.Atoi(last)
			if fromErr != nil || toErr != nil {
				continue
			}
			left -= max(0, min(to, high)-max(from, low)+1)
		}
		return left < ports
	}
}

func portRange(v string) (low, high int, ok bool) {
	fields := strings.Fields(v)
	if len(fields) != 2 {
		return 0, 0, false
	}
	low, lowErr := strconv.Atoi(fields[0])
	high, highErr := strconv.Atoi(fields[1])
	return low, high, lowErr == nil && highErr == nil
}

// beside is a value that hurts where another setting has one of its own.
func beside(hurts test, name, value string) test {
	return func(v string, read Reader) bool {
		other, err := read(name)
		return hurts(v, read) && err == nil && plain(other) == value
	}
}
