package limits

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var sockDiag = check.Need{Name: "sock_diag", How: "run it where seccomp allows NETLINK_SOCK_DIAG sockets, on a kernel with CONFIG_INET_DIAG, as `ss` needs"}

var _ = suite.It("lists the same listeners in /proc/net/tcp and by sock_diag", check.Check{
	ID: "LIM-013", Grade: check.GradeFail, OS: "linux",
	Source: "ss(8), sock_diag(7); proc_net(5), /proc/net/tcp and tcp6",
	Asks:   "Listens on 127.0.0.1, and on ::1 where it is, and lists the TCP listeners of both families from /proc/net/tcp and tcp6 and by sock_diag, again while others come and go: address, port, owner and inode must agree, with our own among them.",
	Why:    "netstat, lsof and many agents read the one, ss and systemd the other. A listener that only one of them shows is one that an audit of open ports misses: it is what rootkits and broken container file systems look like.",
	Causes: []string{
		"a kernel module or eBPF program hides sockets from one of the lists",
		"a container shows the /proc/net of another network namespace",
		spec.OtherStack,
	},
	Remedies: []string{
		"compare them: `ss -tlne`, and `netstat -tlne` or `cat /proc/net/tcp`",
		"look for what should not be there: `lsmod`, `bpftool prog`, `cat /proc/sys/kernel/tainted`; compare with a scan, `loopcheck ports scan`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	load := spec.StartLoad()
	own := []netip.AddrPort{listenOn(sock.IPv4)}
	if spec.LacksIPv6() == "" {
		own = append(own, listenOn(sock.IPv6))
	}
	var still differences
	for try := 1; ; try++ {
		files, diag, err := listListeners(deadline)
		load.ExcuseTimeout(err)
		Expect(err).NotTo(HaveOccurred())
		now := compareListeners(files, diag, own)
		if try == 1 {
			still = now
		}
		if still = still.and(now); still.none() {
			spec.Evidence("listeners", "%d in both lists, look %d", len(files), try)
			return
		}
		// What both looks found is not somebody who came in between.
		if try == listenerLooks {
			break
		}
		time.Sleep(time.Duration(try) * time.Millisecond) // nobody tells of other processes
	}
	Expect(still.err()).To(Succeed(), "the listeners of this network namespace, looked at %d times", listenerLooks)
})

// listenerLooks is how often the lists are compared where they differ.
const listenerLooks = 20

func listenOn(family sock.Family) netip.AddrPort {
	GinkgoHelper()
	s, err := sock.New(sock.TCP, family)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(s.Close)
	Expect(s.Bind(family.Loopback(0))).To(Succeed())
	Expect(s.Listen(1)).To(Succeed())
	addr, err := s.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	return addr
}

// listListeners asks in both ways. It skips the spec where one is refused.
func listListeners(ctx context.Context) (files, diag []socktable.Socket, err error) {
	GinkgoHelper()
	options := socktable.Options{Protocols: []socktable.Protocol{socktable.TCP}, States: []sock.TCPState{sock.Listening}}
	table, err := socktable.Read(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	for _, gap := range table.Gaps {
		// Without an errno it was a list that changed while it was read.
		if _, refused := errors.AsType[syscall.Errno](gap.Err); refused {
			spec.Skip(sockDiag, gap.Err.Error())
		}
	}
	files, err = socktable.ReadFiles(ctx, options)
	return files, table.Sockets, err
}

// differences are listeners that one of the lists lacks, as texts.
type differences struct{ notInFiles, notInDiag map[string]bool }

// compareListeners compares the lists, and looks for our own in both.
func compareListeners(files, diag []socktable.Socket, own []netip.AddrPort) differences {
	d := differences{map[string]bool{}, map[string]bool{}}
	inFiles, inDiag := listenerSet(files), listenerSet(diag)
	for l := range inDiag {
		d.notInFiles[l] = !inFiles[l]
	}
	for l := range inFiles {
		d.notInDiag[l] = !inDiag[l]
	}
	for _, addr := range own {
		has := func(s socktable.Socket) bool { return s.Local == addr }
		if !slices.ContainsFunc(files, has) {
			d.notInFiles[addr.String()+", our own"] = true
		}
		if !slices.ContainsFunc(diag, has) {
			d.notInDiag[addr.String()+", our own"] = true
		}
	}
	return d
}

func listenerSet(sockets []socktable.Socket) map[string]bool {
	set := map[string]bool{}
	for _, s := range sockets {
		set[fmt.Sprintf("%s of user %d, inode %d", s.Local, s.UID, s.Inode)] = true
	}
	return set
}

// and keeps what both looks found.
func (d differences) and(other differences) differences {
	return differences{both(d.notInFiles, other.notInFiles), both(d.notInDiag, other.notInDiag)}
}

func both(a, b map[string]bool) map[string]bool {
	kept := map[string]bool{}
	for text, is := range a {
		if is && b[text] {
			kept[text] = true
		}
	}
	return kept
}

func (d differences) none() bool { return len(d.notInFiles) == 0 && len(d.notInDiag) == 0 }

func (d differences) err() error {
	var errs []error
	for _, list := range []struct {
		name    string
		missing map[string]bool
	}{{"/proc/net/tcp and tcp6 lack", d.notInFiles}, {"sock_diag lacks", d.notInDiag}} {
		var texts []string
		for text := range list.missing {
			texts = append(texts, text)
		}
		slices.Sort(texts)
		if len(texts) > 0 {
			errs = append(errs, fmt.Errorf("%s %s", list.name, strings.Join(texts, "; ")))
		}
	}
	return errors.Join(errs...)
}
