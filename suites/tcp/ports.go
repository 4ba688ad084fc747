package tcp

import (
	"fmt"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// ephemeralPorts is the need of a check that opens many connections to one
// port: each takes an ephemeral port of its own.
var ephemeralPorts = check.Need{
	Name: "ephemeral ports",
	How:  "widen the range with `sysctl -w net.ipv4.ip_local_port_range='32768 60999'`, and take out of net.ipv4.ip_local_reserved_ports what needs no protection",
}

// sparePorts are left for what else the machine connects meanwhile.
const sparePorts = 100

// needPorts skips the spec where the machine is set to have fewer ephemeral
// ports than that and some to spare. Whether they are free the spec finds out.
func needPorts(count int) {
	GinkgoHelper()
	// Only Linux has these settings; elsewhere, connecting tells.
	limits, err := sysctl.Read("net.ipv4.ip_local_port_range")
	if err != nil {
		return
	}
	reserved, err := sysctl.Read("net.ipv4.ip_local_reserved_ports")
	if err != nil {
		return
	}
	if ports, err := countPorts(limits, reserved); err == nil && ports < count+sparePorts {
		spec.Skip(ephemeralPorts, fmt.Sprintf("net.ipv4.ip_local_port_range less ip_local_reserved_ports leaves %d ports, %d are needed", ports, count+sparePorts))
	}
}

// countPorts is how many ports the range holds that are not in
// the reserved ones, a list such as "8080,9000-9100" (networking/ip-sysctl.rst).
func countPorts(limits, reserved string) (int, error) {
	var first, last int
	if _, err := fmt.Sscan(limits, &first, &last); err != nil {
		return 0, fmt.Errorf("parse the port range %q: %w", limits, err)
	}
	ports := max(0, last-first+1)
	// The kernel prints the reserved ranges in order and never one twice.
	for part := range strings.SplitSeq(strings.TrimSpace(reserved), ",") {
		if part == "" {
			continue
		}
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		low, err := strconv.Atoi(from)
		if err != nil {
			return 0, fmt.Errorf("parse the reserved ports %q: %w", reserved, err)
		}
		high, err := strconv.Atoi(to)
		if err != nil {
			return 0, fmt.Errorf("parse the reserved ports %q: %w", reserved, err)
		}
		ports -= max(0, min(high, last)-max(low, first)+1)
	}
	return ports, nil
}
