package names

import (
	"os"
	"slices"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

// The files that decide about localhost, as they are on a sound machine, and a
// DNS server that is on no machine (RFC 5737).
const (
	localhost = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.1.1 here\n"
	nobody    = "127.0.1.1 here\n"
	elsewhere = "nameserver 192.0.2.53\n"
)

func hosts(contents string) []string    { return damage.File("/etc/hosts", contents) }
func resolver(contents string) []string { return damage.File("/etc/resolv.conf", contents) }
func sources(contents string) []string  { return damage.File("/etc/nsswitch.conf", contents) }

func TestEveryCheckPassesOnASoundMachine(t *testing.T) {
	for name, setup := range map[string][]string{
		"as usual":            hosts(localhost),
		"another DNS server":  slices.Concat(hosts(localhost), resolver(elsewhere)),
		"IPv4 alone":          hosts("127.0.0.1\tlocalhost.localdomain LocalHost # here\n"),
		"another of 127/8":    hosts("127.1.2.3 localhost\n"),
		"without IPv6":        append(hosts(localhost), "sysctl -e -w net.ipv6.conf.lo.disable_ipv6=1"),
		"without IPv6 at all": append(hosts(localhost), "sysctl -e -w net.ipv6.conf.all.disable_ipv6=1"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			damage.EveryCheckPasses(t, setup)
		})
	}
}

// A resolver on the machine may know localhost by itself.
func TestResolverOnThisMachineIsNotJudged(t *testing.T) {
	for name, setup := range map[string][]string{
		"stub":          resolver("nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.com\n"),
		"its own card":  append(resolver(elsewhere), "ip address add 192.0.2.53/32 dev lo"),
		"none is named": resolver("# empty\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			NewWithT(t).Expect(damage.Outcomes(t, slices.Concat(hosts(nobody), setup), "NAME-001 || NAME-003 || NAME-006 || NAME-007 || NAME-008")).To(HaveEach(And(
				HaveField("State", check.Skip),
				HaveField("Message", ContainSubstring("on this machine")),
			)))
		})
	}
}

func TestChecksFailInADamagedStack(t *testing.T) {
	damage.Table(t, map[string]damage.Case{
		"an address of the network": {
			Setup:  hosts("192.0.2.7 localhost\n127.0.0.1 localhost\n"),
			Filter: "names",
			Want: map[string]string{
				"NAME-001": "addresses of localhost that are no loopback ones\nExpected\n    [192.0.2.7]",
				"NAME-003": "line 1 of /etc/hosts leads localhost to 192.0.2.7, which is no loopback address",
				"NAME-006": "bind to 192.0.2.7, an address of localhost",
			},
		},
		"left to DNS": {
			Setup:  slices.Concat(hosts(nobody), resolver(elsewhere)),
			Filter: "NAME-001",
			Want:   map[string]string{"NAME-001": "localhost is asked of the DNS server 192.0.2.53:53, outside of the machine"},
		},
		"lo down, without its address": {
			Setup:  append(hosts(localhost), "ip address flush dev lo", "ip link set lo down"),
			Filter: "NAME-001 || NAME-006",
			Want:   map[string]string{"NAME-006": "bind to 127.0.0.1, an address of localhost"},
		},
		"::1 taken off lo": {
			Setup:  append(hosts(localhost), "ip address del ::1/128 dev lo"),
			Filter: "names",
			Want:   map[string]string{"NAME-006": "bind to ::1, an address of localhost"},
			IPv6:   true,
		},
		"::1 alone": {
			Setup:  hosts("::1 localhost\n"),
			Filter: "NAME-008",
			Want:   map[string]string{"NAME-008": "localhost has no IPv4 address: it is ::1"},
		},
		"nobody at the name server": {
			Setup: slices.Concat(resolver("nameserver 127.0.0.77\n"), sources("hosts: files dns\n"),
				[]string{"ip link add lab0 type veth peer name lab1", "ip link set lab1 up", "ip link set lab0 up", "ip address add 192.0.2.1/24 dev lab0"}),
			Filter: "NAME-009",
			Want:   map[string]string{"NAME-009": "127.0.0.77:53: nobody listens there"},
		},
		"127.0.0.1/32": {
			Setup:  append(hosts("127.0.1.1 localhost\n"), "ip address del 127.0.0.1/8 dev lo", "ip address add 127.0.0.1/32 dev lo"),
			Filter: "names && !NAME-007", // the line gives 127.0.0.1 no name
			Want:   map[string]string{"NAME-006": "bind to 127.0.1.1, an address of localhost"},
		},
	})
}

func TestOrderOfSourcesDecides(t *testing.T) {
	if _, err := os.Stat("/etc/nsswitch.conf"); err != nil {
		t.Skipf("this machine has no order to change: %v", err)
	}
	damage.Table(t, map[string]damage.Case{
		"DNS first": {
			Setup:  slices.Concat(hosts(localhost), resolver(elsewhere), sources("hosts: dns files\n")),
			Filter: "NAME-001",
			Want:   map[string]string{"NAME-001": "localhost is asked of the DNS server 192.0.2.53:53"},
		},
		"nobody knows it": {
			Setup:  slices.Concat(hosts(nobody), sources("hosts: files\n")),
			Filter: "NAME-001",
			Want:   map[string]string{"NAME-001": "lookup localhost: no such host"},
		},
		"modules of the C library": {
			Setup:  slices.Concat(hosts(localhost), resolver(elsewhere), sources("hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns\n")),
			Filter: "names",
		},
	})
}

func TestOneFaultIsOneFailure(t *testing.T) {
	outcomes := damage.Outcomes(t, slices.Concat(hosts(nobody), resolver(elsewhere)), "NAME-006")
	NewWithT(t).Expect(outcomes).To(HaveKeyWithValue("NAME-006", And(
		HaveField("State", check.Skip), HaveField("Message", ContainSubstring("192.0.2.53:53")))))
}
