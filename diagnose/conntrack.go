package diagnose

import (
	"context"
	"fmt"
	"slices"
	"strconv"
)

// fullShare is how much of the table of tracked connections is in use when new
// ones are dropped for want of room, or soon will be.
const fullShare = 0.95

// conntrackCheck looks at the table itself.
const conntrackCheck = "CFG-005"

// conntrack finds a table of tracked connections that has no room
// (Documentation/networking/nf_conntrack-sysctl.rst).
func conntrack(_ context.Context, s Symptom) Diagnosis {
	tracked := slices.ContainsFunc(s.Flows, func(f Flow) bool { return f.Protocol == "tcp" || f.Protocol == "udp" })
	if s.Check != conntrackCheck && !(tracked && s.isSlowOrLost()) {
		return Diagnosis{}
	}
	count, countErr := readCountSetting("net.netfilter.nf_conntrack_count")
	most, mostErr := readCountSetting("net.netfilter.nf_conntrack_max")
	if countErr != nil || mostErr != nil || most == 0 || float64(count) < fullShare*float64(most) {
		return Diagnosis{}
	}
	const id = "conntrack-full"
	return found(Finding{
		Cause: Cause{
			ID:       id,
			Summary:  "The table of tracked connections is full, and new connections are dropped.",
			Evidence: []string{fmt.Sprintf("net.netfilter.nf_conntrack_count is %d, and net.netfilter.nf_conntrack_max %d", count, most)},
		},
		Remedies: []Remedy{{
			Command: fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", 2*most),
			Cause:   id,
			Note:    "each entry takes some 300 bytes of memory; `conntrack -L` shows what fills the table",
		}},
	})
}

func readCountSetting(name string) (int, error) {
	value, err := readSetting(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(value)
}
