package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// typeNames are what nft(8) calls the types of ICMP and ICMPv6 (IANA, ICMP
// Parameters, ICMPv6 Parameters).
var typeNames = map[sock.Family]map[string]uint16{
	sock.IPv4: {
		"echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
		"router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
		"timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
		"address-mask-request": 17, "address-mask-reply": 18,
	},
	sock.IPv6: {
		"destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
		"echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131,
		"mld-listener-done": 132, "nd-router-solicit": 133, "nd-router-advert": 134, "nd-neighbor-solicit": 135,
		"nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138, "ind-neighbor-solicit": 141,
		"ind-neighbor-advert": 142, "mld2-listener-report": 143,
	},
}

// typeOf is a type of ICMP, by name or number.
func typeOf(text string, family sock.Family) (uint16, error) {
	if n, err := strconv.ParseUint(text, 10, 8); err == nil {
		return uint16(n), nil
	}
	if n, known := typeNames[family][text]; known {
		return n, nil
	}
	names := make([]string, 0, len(typeNames[family]))
	for name := range typeNames[family] {
		names = append(names, name)
	}
	slices.Sort(names)
	return 0, fmt.Errorf("%q is no type of %s: write a number from 0 to 255, or one of %s", text, icmpName(family), strings.Join(names, ", "))
}

func icmpName(family sock.Family) string {
	if family == sock.IPv6 {
		return "ICMPv6"
	}
	return "ICMP"
}

// typeText names a type, where it has one name in the families.
func typeText(r portset.Range, families []sock.Family) string {
	if r.First != r.Last || len(families) != 1 {
		return r.String()
	}
	for name, n := range typeNames[families[0]] {
		if n == r.First {
			return name
		}
	}
	return r.String()
}
