package diagnose

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/probe/iface"
)

// What the kernel gives to the loopback interface (drivers/net/loopback.c,
// include/linux/netdevice.h).
const (
	loMTU         = 65536
	loQdisc       = "noqueue"
	loGSOSegments = 65535
	loGSOBytes    = 65536
	// leastIPv6MTU is below what IPv6 leaves an interface (RFC 8200 5).
	leastIPv6MTU = 1280
)

// deviceChecks look at the loopback interface itself.
var deviceChecks = []string{"ADDR-011", "CFG-003", "LIM-012"}

// readLink is a variable so that tests can show machines that this one is not.
var readLink = iface.Loopback

// loopbackDevice finds what of the loopback interface is not as the kernel
// makes it and can be what a check met: its prefix, its MTU, its queue, and how
// much it takes at once.
func loopbackDevice(_ context.Context, s Symptom) Diagnosis {
	lo, err := readLoopback()
	if err != nil || lo.name == "" {
		return Diagnosis{} // loopbackInterface has told
	}
	var d Diagnosis
	if narrow, is := lo.narrow(); is && s.meetsOtherAddresses() {
		d.Findings = append(d.Findings, prefixFinding(lo, narrow))
	}
	link, err := readLink()
	if errors.Is(err, errors.ErrUnsupported) {
		return d
	}
	if err != nil {
		d.Unseen = append(d.Unseen, Unseen{What: "the loopback interface", Why: err.Error()})
		return d
	}
	looks := slices.Contains(deviceChecks, s.Check)
	if link.MTUBytes < loMTU && (looks || s.dependsOnMTU(link.MTUBytes)) {
		d.Findings = append(d.Findings, mtuFinding(lo, link))
	}
	if link.Qdisc != loQdisc && link.Qdisc != "" && (looks || s.isSlowOrLost()) {
		d.Findings = append(d.Findings, qdiscFinding(link))
	}
	if looks && (link.GSOMaxSegments != 0 && link.GSOMaxSegments < loGSOSegments || link.GSOMaxBytes != 0 && link.GSOMaxBytes < loGSOBytes) {
		d.Findings = append(d.Findings, gsoFinding(link))
	}
	return d
}

// narrow returns the prefix of 127.0.0.1 where it and all others of lo hold
// less than 127/8.
func (lo loopback) narrow() (netip.Prefix, bool) {
	var own netip.Prefix
	for _, p := range lo.addresses {
		if !p.Addr().Is4() || !p.Addr().IsLoopback() {
			continue
		}
		if p.Bits() <= 8 {
			return netip.Prefix{}, false
		}
		if p.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
			own = p
		}
	}
	return own, own.IsValid()
}

// meetsOtherAddresses says whether a check went to addresses of 127/8 beside
// 127.0.0.1.
func (s Symptom) meetsOtherAddresses() bool {
	return slices.Contains(deviceChecks, s.Check) || s.Check == routingCheck || slices.ContainsFunc(s.Flows, func(f Flow) bool {
		a := f.To.Addr()
		return a.Is4() && a.IsLoopback() && a != netip.AddrFrom4([4]byte{127, 0, 0, 1})
	})
}

// dependsOnMTU says whether a check goes by the size of packets, or lacks IPv6,
// which an interface of such an MTU does not have.
func (s Symptom) dependsOnMTU(mtu int) bool {
	return slices.Contains([]string{"TCP-083", "UDP-002", "LIM-009", "PING-006", "NAME-006"}, s.Check) ||
		mtu < leastIPv6MTU && (s.IPv6 || s.Missing == "IPv6 loopback")
}

// isSlowOrLost says whether something did not come, or not in time.
func (s Symptom) isSlowOrLost() bool {
	return slices.ContainsFunc([]string{"deadline", "timeout", "lost", "retransmi", "quickest", "stall", "times as long", "round trips in"}, func(word string) bool {
		return strings.Contains(strings.ToLower(s.Message), word)
	})
}

func prefixFinding(lo loopback, narrow netip.Prefix) Finding {
	const id = "lo-prefix"
	return Finding{
		Cause: Cause{
			ID:       id,
			Summary:  fmt.Sprintf("%s has %v in place of 127.0.0.1/8, so that the other addresses of 127/8 are not the machine's own.", lo.name, narrow),
			Evidence: []string{fmt.Sprintf("%s: addresses: %s", lo.name, lo.list())},
		},
		Remedies: []Remedy{{Command: fmt.Sprintf("ip address add 127.0.0.1/8 dev %s && ip address del %v dev %s", lo.name, narrow, lo.name), Cause: id}},
	}
}

func mtuFinding(lo loopback, link iface.Link) Finding {
	const id = "lo-mtu"
	f := Finding{
		Cause: Cause{
			ID:       id,
			Summary:  fmt.Sprintf("The MTU of %s is %d, so that packets are smaller than they could be and large datagrams go in fragments.", link.Name, link.MTUBytes),
			Evidence: []string{fmt.Sprintf("%s: mtu %d; the kernel makes it with %d", link.Name, link.MTUBytes, loMTU)},
		},
		Remedies: []Remedy{{Command: fmt.Sprintf("ip link set dev %s mtu %d", link.Name, loMTU), Cause: id}},
	}
	if link.MTUBytes < leastIPv6MTU {
		f.Cause.Evidence = append(f.Cause.Evidence, fmt.Sprintf("below %d the kernel takes IPv6 off an interface (RFC 8200 5)", leastIPv6MTU))
		if value, err := readSetting("net.ipv6.conf.all.disable_ipv6"); err == nil && value == "0" {
			f.Remedies[0].Command += " && " + lo.restore(netip.PrefixFrom(netip.IPv6Loopback(), 128))
		}
	}
	return f
}

func qdiscFinding(link iface.Link) Finding {
	id := "lo-qdisc-" + link.Qdisc
	return Finding{
		Cause: Cause{
			ID:       id,
			Summary:  fmt.Sprintf("A queueing discipline, %s, stands before %s, and all that is sent over loopback waits or is dropped there.", link.Qdisc, link.Name),
			Evidence: []string{fmt.Sprintf("%s: qdisc %s; the kernel makes it with %s", link.Name, link.Qdisc, loQdisc)},
		},
		Remedies: []Remedy{{Command: "tc qdisc del dev " + link.Name + " root", Cause: id}},
	}
}

func gsoFinding(link iface.Link) Finding {
	const id = "lo-gso"
	return Finding{
		Cause: Cause{
			ID:       id,
			Summary:  fmt.Sprintf("%s takes less at once than the kernel lets it (gso_max_segs %d, gso_max_size %d), and streams cost more processor time.", link.Name, link.GSOMaxSegments, link.GSOMaxBytes),
			Evidence: []string{fmt.Sprintf("%s: gso_max_segs %d, gso_max_size %d; the kernel makes it with %d and %d", link.Name, link.GSOMaxSegments, link.GSOMaxBytes, loGSOSegments, loGSOBytes)},
		},
		Remedies: []Remedy{{Command: fmt.Sprintf("ip link set dev %s gso_max_segs %d gso_max_size %d", link.Name, loGSOSegments, loGSOBytes), Cause: id}},
	}
}
