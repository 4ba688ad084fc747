package diagnose

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// IDs of causes that make all of loopback fail.
const (
	loMissing = "lo-missing"
	loDown    = "lo-down"
)

// loopback is what there is to know about the loopback interface.
type loopback struct {
	name      string
	up        bool
	addresses []netip.Prefix
}

// readLoopback reads the first interface that has the loopback flag. It is a
// variable so that tests can show machines that this one is not.
var readLoopback = func() (loopback, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return loopback{}, fmt.Errorf("list interfaces: %w", err)
	}
	i := slices.IndexFunc(interfaces, func(i net.Interface) bool { return i.Flags&net.FlagLoopback != 0 })
	if i < 0 {
		return loopback{}, nil
	}
	lo := loopback{name: interfaces[i].Name, up: interfaces[i].Flags&net.FlagUp != 0}
	addresses, err := interfaces[i].Addrs()
	if err != nil {
		return loopback{}, fmt.Errorf("list addresses of %s: %w", lo.name, err)
	}
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			lo.addresses = append(lo.addresses, prefix)
		}
	}
	return lo, nil
}

// loopbackInterface finds an interface that is missing, down, or without the
// address that everything on loopback is asked at.
func loopbackInterface(_ context.Context, s Symptom) Diagnosis {
	if s.Missing != "" {
		return Diagnosis{} // it was not asked, so that lo had no part in it
	}
	lo, err := readLoopback()
	if err != nil {
		return Diagnosis{Unseen: []Unseen{{What: "the loopback interface", Why: err.Error()}}}
	}
	needed := netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 8)
	if s.IPv6 {
		needed = netip.PrefixFrom(netip.IPv6Loopback(), 128)
	}
	switch {
	case lo.name == "":
		return found(Finding{Cause: Cause{
			ID:       loMissing,
			Summary:  "There is no loopback interface.",
			Evidence: []string{"no interface has the LOOPBACK flag"},
		}})
	case !lo.up:
		// The kernel gives 127.0.0.1/8 and ::1 back when lo comes up, so one
		// command mends both.
		return found(Finding{
			Cause: Cause{
				ID:       loDown,
				Summary:  fmt.Sprintf("The loopback interface %s is down.", lo.name),
				Evidence: []string{fmt.Sprintf("%s: no UP flag; addresses: %s", lo.name, lo.list())},
			},
			Remedies: []Remedy{{Command: "ip link set dev " + lo.name + " up", Cause: loDown}},
		})
	case !lo.holds(needed.Addr()):
		id := "lo-without-" + needed.Addr().String()
		return found(Finding{
			Cause: Cause{
				ID:       id,
				Summary:  fmt.Sprintf("The loopback interface %s does not have %v.", lo.name, needed.Addr()),
				Evidence: []string{fmt.Sprintf("%s: addresses: %s", lo.name, lo.list())},
			},
			Remedies: []Remedy{{Command: lo.restore(needed), Cause: id}},
		})
	}
	return Diagnosis{}
}

// restore is the command that gives lo an address of its own again.
func (lo loopback) restore(needed netip.Prefix) string {
	others := slices.ContainsFunc(lo.addresses, func(p netip.Prefix) bool { return p.Addr().Is6() })
	if needed.Addr().Is6() && !others {
		return restoreIPv6
	}
	return fmt.Sprintf("ip address add %v dev %s", needed, lo.name)
}

// restoreIPv6 makes the kernel give lo its ::1 with the routes that belong to
// it: an address that is added by hand brings a route of the main table. It
// would take other IPv6 addresses of lo away.
const restoreIPv6 = "sysctl -w net.ipv6.conf.lo.disable_ipv6=1 net.ipv6.conf.lo.disable_ipv6=0"

func found(findings ...Finding) Diagnosis { return Diagnosis{Findings: findings} }

func (lo loopback) holds(address netip.Addr) bool {
	return slices.ContainsFunc(lo.addresses, func(p netip.Prefix) bool { return p.Addr() == address })
}

func (lo loopback) list() string {
	if len(lo.addresses) == 0 {
		return "none"
	}
	list := make([]string, len(lo.addresses))
	for i, a := range lo.addresses {
		list[i] = a.String()
	}
	return strings.Join(list, ", ")
}
