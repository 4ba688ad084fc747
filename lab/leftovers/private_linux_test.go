package leftovers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Everything here changes the machine, and so runs in private namespaces, which
// end with the process and take along what was planted.

func writeSysctl(t *testing.T, path, value string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join("/proc/sys", path), []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// onLostThread runs a function on a thread that ends with it, so that the
// namespaces it entered are nobody else's. It is awaited.
func onLostThread(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		do()
	}()
	<-done
}

func TestNamesWhatChangesTheNetwork(t *testing.T) {
	if !inPrivateNamespaces(t) {
		return
	}
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		t.Skip("needs a kernel with IPv6: it was built or booted without")
	}
	w := own()
	run(t, "ip", "link", "set", "lo", "up")
	mustBeClean(t, Compare(take(t, w), take(t, w)))

	steps := []struct {
		name  string
		plant func(t *testing.T)
		want  []want
	}{
		{
			"sysctl", func(t *testing.T) { writeSysctl(t, "net/ipv4/ip_default_ttl", "63") },
			[]want{{Sysctl, Changed, `net.ipv4.ip_default_ttl: from "64" to "63"`}},
		},
		{
			"MTU", func(t *testing.T) { run(t, "ip", "link", "set", "lo", "mtu", "1500") },
			// The kernel keeps the new MTU in a sysctl of IPv6, too.
			[]want{{Link, Changed, "mtu 1500"}, {Sysctl, Changed, "net.ipv6.conf.lo.mtu"}},
		},
		{
			"interface", func(t *testing.T) { run(t, "ip", "link", "add", "name", "veth7", "type", "veth") },
			[]want{{Link, Left, "veth7"}, {Sysctl, Left, "names under net.ipv4.conf.veth7"}},
		},
		{
			"address", func(t *testing.T) { run(t, "ip", "address", "add", "192.0.2.7/32", "dev", "lo") },
			[]want{{Address, Left, "192.0.2.7/32 on lo"}, {Route, Left, "local 192.0.2.7/32"}},
		},
		{
			"address that goes", func(t *testing.T) { run(t, "ip", "address", "del", "192.0.2.7/32", "dev", "lo") },
			[]want{{Address, Gone, "192.0.2.7/32 on lo"}, {Route, Gone, "local 192.0.2.7/32"}},
		},
		{
			"route in a table of its own",
			func(t *testing.T) {
				run(t, "ip", "route", "add", "blackhole", "198.51.100.0/24", "table", "4242")
			},
			[]want{{Route, Left, "ipv4 blackhole 198.51.100.0/24"}, {Route, Left, "table 4242"}},
		},
		{
			"IPv6 route",
			func(t *testing.T) { run(t, "ip", "-6", "route", "add", "unreachable", "2001:db8::/32") },
			[]want{{Route, Left, "ipv6 unreachable 2001:db8::/32"}},
		},
		{
			"rule",
			func(t *testing.T) {
				run(t, "ip", "rule", "add", "from", "198.51.100.7", "fwmark", "0x2a", "lookup", "4242")
			},
			[]want{{Rule, Left, "from 198.51.100.7/32 table 4242"}, {Rule, Left, "fwmark 0x2a"}},
		},
		{
			"IPv6 rule", func(t *testing.T) { run(t, "ip", "-6", "rule", "add", "from", "2001:db8::/32", "lookup", "4242") },
			[]want{{Rule, Left, "from 2001:db8::/32 table 4242"}},
		},
		{
			"queueing discipline", func(t *testing.T) {
				run(t, "tc", "qdisc", "add", "dev", "lo", "root", "handle", "7:", "pfifo", "limit", "9")
			},
			[]want{{Qdisc, Left, "7:0 of lo below"}, {Link, Changed, "qdisc pfifo"}},
		},
		{
			"setting of a queueing discipline", func(t *testing.T) {
				run(t, "tc", "qdisc", "change", "dev", "lo", "root", "handle", "7:", "pfifo", "limit", "8")
			},
			[]want{{Qdisc, Changed, "7:0 of lo below"}},
		},
		{
			"raw socket", func(t *testing.T) { openSocket(t, unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP) },
			[]want{{Socket, Left, "raw 0.0.0.0:1,"}},
		},
		{
			"packet socket", func(t *testing.T) { openSocket(t, unix.AF_PACKET, unix.SOCK_DGRAM, 0) },
			[]want{{Socket, Left, "packet protocol"}},
		},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			before := take(t, w)
			step.plant(t)
			mustFind(t, Compare(before, take(t, w)), step.want...)
		})
	}
}

func openSocket(t *testing.T, family, kind, protocol int) {
	t.Helper()
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
}

func TestNamesFirewallRules(t *testing.T) {
	if !inPrivateNamespaces(t) {
		return
	}
	w := own()
	before := take(t, w)
	run(t, "nft", "add table inet lab; add chain inet lab out { type filter hook output priority 0; }; add rule inet lab out counter accept")
	planted := take(t, w)
	mustFind(t, Compare(before, planted),
		want{NFTables, Left, "table inet lab"},
		want{NFTables, Left, "chain inet lab out"},
		want{NFTables, Left, "rule inet lab out"})

	run(t, "nft", "delete table inet lab")
	mustFind(t, Compare(planted, take(t, w)), want{NFTables, Gone, "rule inet lab out"})
	mustBeClean(t, Compare(before, take(t, w)))
}

func TestCountersOfRulesAreNoChange(t *testing.T) {
	if !inPrivateNamespaces(t) {
		return
	}
	w := own()
	run(t, "ip", "link", "set", "lo", "up")
	run(t, "nft", "add table inet lab; add chain inet lab out { type filter hook output priority 0; }; add rule inet lab out counter accept")
	before, rules := take(t, w), listRules(t)

	conn, err := net.Dial("udp4", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("counted")); err != nil {
		t.Fatal(err)
	}
	conn.Close()

	if bytes.Equal(rules, listRules(t)) {
		t.Fatal("the rule counted nothing, so nothing was shown")
	}
	mustBeClean(t, Compare(before, take(t, w)))
}

func listRules(t *testing.T) []byte {
	t.Helper()
	nft, err := findTool("nft")
	if err != nil {
		t.Skip("nft is not installed")
	}
	listing, err := output(t.Context(), nft, "list", "ruleset")
	if err != nil {
		t.Fatal(err)
	}
	return listing
}

// Without nft the generation of the ruleset has to show a change.
func TestNamesGenerationWithoutNFT(t *testing.T) {
	if !inPrivateNamespaces(t) {
		return
	}
	before := nftGeneration()
	if before.blind != "" || len(before.entries) != 1 {
		t.Fatalf("no generation was read: %+v", before)
	}
	mustBeClean(t, compareArea(NFTables, before, nftGeneration()))
	run(t, "nft", "add", "table", "inet", "lab")
	mustFind(t, compareArea(NFTables, before, nftGeneration()), want{NFTables, Changed, "generation"})
}

func TestNamesLegacyRules(t *testing.T) {
	if !inPrivateNamespaces(t) {
		return
	}
	// The lock of iptables is in /run, which is not to be written to.
	t.Setenv("XTABLES_LOCKFILE", filepath.Join(t.TempDir(), "lock"))
	w := own()
	for _, legacy := range []struct{ family, tool string }{{"ip", "iptables-legacy"}, {"ip6", "ip6tables-legacy"}} {
		t.Run(legacy.family, func(t *testing.T) {
			before := take(t, w)
			if notes := before.areas[IPTables].notes; len(notes) > 0 {
				// The kernel gives the list to the initial root where the user
				// namespace had no mapping yet as the network namespace was made.
				t.Skipf("the legacy tables cannot be seen here, and the snapshot says so: %q (run as root)", notes)
			}
			run(t, legacy.tool, "-A", "INPUT", "-p", "tcp", "--dport", "7", "-j", "DROP")
			mustFind(t, Compare(before, take(t, w)),
				want{IPTables, Left, legacy.family + " table filter"},
				want{IPTables, Left, "-A INPUT -p tcp"})
		})
	}
}

func TestNamesMountsAndPinnedNamespaces(t *testing.T) {
	if !inPrivateNamespaces(t) {
		return
	}
	dir := t.TempDir()
	w := own()
	before := take(t, w)
	if err := unix.Mount("planted", dir, "tmpfs", 0, "size=4k"); err != nil {
		t.Fatal(err)
	}
	mounted := take(t, w)
	mustFind(t, Compare(before, mounted), want{Mount, Left, "planted (tmpfs) on " + dir})

	pin := filepath.Join(dir, "pin")
	if err := os.WriteFile(pin, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var failed error
	onLostThread(func() {
		if failed = unix.Unshare(unix.CLONE_NEWNET); failed == nil {
			failed = unix.Mount(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), pin, "", unix.MS_BIND, "")
		}
	})
	if failed != nil {
		t.Fatal(failed)
	}
	// The thread is about to end; until then it is in the namespace as well.
	mustFind(t, settleUntil(t, w, mounted, "alone"),
		want{Mount, Left, "on " + pin}, want{Namespace, Left, "kept by the mount " + pin + " alone"})

	for _, path := range []string{pin, dir} {
		if err := unix.Unmount(path, 0); err != nil {
			t.Fatal(err)
		}
	}
	mustFind(t, Compare(mounted, take(t, w)), want{Mount, Gone, "on " + dir})
	mustBeClean(t, settle(t, w, before))
}

// settleUntil takes snapshots until a difference has the part in its line, or
// takeDeadline has passed.
func settleUntil(t *testing.T, w Watch, before Snapshot, part string) []Difference {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), takeDeadline)
	defer cancel()
	for {
		got := Compare(before, take(t, w))
		if strings.Contains(strings.Join(lines(got), "\n"), part) {
			return got
		}
		if ctx.Err() != nil {
			t.Fatalf("%q did not come: %q", part, lines(got))
		}
	}
}

func TestNamesNamespaceOfThread(t *testing.T) {
	if !inPrivateNamespaces(t) {
		return
	}
	w := own()
	before := take(t, w)
	entered, leave := make(chan error), make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		onLostThread(func() {
			entered <- unix.Unshare(unix.CLONE_NEWNET)
			<-leave
		})
	}()
	if err := <-entered; err != nil {
		t.Fatal(err)
	}
	mustFind(t, Compare(before, take(t, w)), want{Namespace, Left, "kept by a thread of pid"})
	close(leave)
	<-done
	mustBeClean(t, settle(t, w, before))
}

func TestNamesSharedMemory(t *testing.T) {
	if !inPrivateNamespaces(t) {
		return
	}
	w := own()
	before := take(t, w)
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600)
	if err != nil {
		t.Fatal(err)
	}
	mustFind(t, Compare(before, take(t, w)), want{IPC, Left, fmt.Sprintf("shm id %d", id)})
	if _, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err != nil {
		t.Fatal(err)
	}
	mustBeClean(t, Compare(before, take(t, w)))
}
