package names

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/resolve"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var getent = check.Need{
	Name: "getent",
	How:  "install it: it belongs to the C library (libc-bin, glibc-common, musl-utils)",
}

// shortForms are ways to write 127.0.0.1 that inet_aton(3) reads.
var shortForms = []string{"127.1", "0x7f.1", "2130706433"}

// read is what the C library made of the short forms, in their order.
type read struct {
	Addrs    [][]netip.Addr
	NoGetent string
}

var _ = suite.It("reads short and hexadecimal forms of 127.0.0.1 in the C library, and not in Go", check.Check{
	ID: "NAME-004", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, getent},
	Source: "inet_aton(3); getaddrinfo(3); Go, net/netip.ParseAddr (four decimal fields)",
	Asks:   "In a sandbox with an empty hosts file and no DNS server, has getent look up 127.1, 0x7f.1 and 2130706433: each must be 127.0.0.1. Go's resolver must take none of them for an address; the question that it would send for the name is noted and not sent.",
	Why:    "Both sides are counted on. Scripts and command lines say 127.1 for short; and proxies and filters against requests to the machine itself (SSRF) compare texts: a filter in Go that lets 2130706433 through as a name hands 127.0.0.1 to a program in C.",
	Causes: []string{
		"a C library that reads addresses in another way, or a program that stands in getent's place",
	},
	Remedies: []string{
		"write addresses in full in the configuration of services: 127.0.0.1",
		"have filters resolve a name themselves and compare addresses, not texts",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	for _, text := range shortForms {
		Expect(lookUp(deadline, text).addrs).To(BeEmpty(), "addresses that Go's resolver has for %s", text)
	}
	spec.Evidence("Go", "takes %s for names", strings.Join(shortForms, ", "))
	load := spec.StartLoad()
	seen, err := readShortForms.Call(ctx, spec.Sandbox(ctx, sandbox.Config{}), "", struct{}{})
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "ask the C library")
	if seen.NoGetent != "" {
		spec.Skip(getent, "Go takes them for names, as it should; to see what the C library does: "+seen.NoGetent)
	}
	for i, text := range shortForms {
		Expect(list(seen.Addrs[i])).To(Equal("127.0.0.1"), "what the C library reads %s as", text)
	}
	spec.Evidence("the C library", "reads them all as 127.0.0.1")
})

var readShortForms = sandbox.Register("names/short-forms", func(ctx context.Context, _ *sandbox.Inside, _ struct{}) (seen read, err error) {
	ctx, cancel := context.WithTimeout(ctx, getentPatience)
	defer cancel()
	files := resolve.Files{Sources: "hosts: files dns\n", Resolver: resolve.StubResolver}
	if err := files.Install(); err != nil {
		return seen, err
	}
	for _, text := range shortForms {
		addrs, err := resolve.Addresses(ctx, text)
		switch {
		case errors.Is(err, resolve.ErrNoGetent):
			return read{NoGetent: err.Error()}, nil
		case err != nil && !errors.Is(err, resolve.ErrNotFound):
			return seen, err
		}
		seen.Addrs = append(seen.Addrs, addrs)
	}
	return seen, nil
})

// askers are programs that call getaddrinfo(3) without a name, which getent
// cannot, for clients and then for servers, with their arguments. Each prints a
// line for every address, or for why there is none, and an empty line after
// the first call.
var askers = [][]string{
	{"perl", "-MSocket=:all", "-e", `for my $flags (0, AI_PASSIVE) {
	my ($e, @r) = getaddrinfo(undef, "80", {socktype => SOCK_STREAM, flags => $flags});
	print "$e\n" if $e;
	for (@r) { my ($e, $h) = getnameinfo($_->{addr}, NI_NUMERICHOST | NI_NUMERICSERV); print $e || $h, "\n" }
	print "\n" }`},
	{"python3", "-I", "-S", "-c", `from socket import *
for flags in 0, AI_PASSIVE:
	try:
		for r in getaddrinfo(None, 80, type=SOCK_STREAM, flags=flags): print(r[4][0])
	except OSError as e: print(e)
	print()`},
}

var interpreter = check.Need{
	Name: "perl or python3",
	How:  "install one of them (perl-base, python3-minimal): it takes a program that is linked with the C library",
}

var _ = suite.It("gives ::1 and 127.0.0.1 to clients that name no host, and the wildcards to servers", check.Check{
	ID: "NAME-005", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{interpreter},
	Source: "getaddrinfo(3), AI_PASSIVE; RFC 3493 6.1",
	Asks:   "Has perl, or python3 where there is none, call getaddrinfo of the C library without a host for port 80: it must give ::1 and 127.0.0.1 and nothing else, and with AI_PASSIVE :: and 0.0.0.0. Without IPv6 the addresses of IPv6 may be missing.",
	Why:    "Servers that are told no address to listen on ask with AI_PASSIVE and listen on what comes out; clients without a host connect to it. A loopback address in the place of a wildcard hides a server from the network, and a wildcard in the place of loopback shows one to it that was for this machine alone.",
	Causes: []string{
		"a C library, or a library put before the program (LD_PRELOAD), that answers in another way",
	},
	Remedies: []string{
		"see what is put before programs: `cat /etc/ld.so.preload`, `echo $LD_PRELOAD`",
		"name the address that services listen on: 127.0.0.1, or 0.0.0.0 and ::",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, getentPatience)
	load := spec.StartLoad()
	told, by, err := askWithoutName(deadline)
	load.ExcuseTimeout(err)
	if err != nil {
		spec.Skip(interpreter, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	for i, c := range []struct{ what, v4, v6 string }{
		{"a client that names no host", "127.0.0.1", "::1"},
		{"a server that names no host (AI_PASSIVE)", "0.0.0.0", "::"},
	} {
		spec.Evidence(c.what, "%s, as %s says", told[i], by)
		if spec.LacksIPv6() != "" && told[i] == c.v4 {
			continue
		}
		Expect(told[i]).To(Equal(c.v4+", "+c.v6), "addresses that getaddrinfo gives to %s", c.what)
	}
})

// askWithoutName returns what getaddrinfo gives without a name, for clients and
// for servers, and which program says so. The error says why none could be
// used.
func askWithoutName(ctx context.Context) (told [2]string, by string, err error) {
	var unusable []error
	for _, a := range askers {
		out, err := exec.CommandContext(ctx, a[0], a[1:]...).Output()
		if ctx.Err() != nil {
			return told, "", fmt.Errorf("run %s: %w", a[0], ctx.Err())
		}
		forClients, forServers, complete := strings.Cut(string(out), "\n\n")
		if err == nil && complete {
			return [2]string{lines(forClients), lines(forServers)}, a[0], nil
		}
		unusable = append(unusable, fmt.Errorf("run %s: %w", a[0], cmp.Or(err, errIncomplete)))
	}
	return told, "", errors.Join(unusable...)
}

var errIncomplete = errors.New("it printed something else")

// lines lists the lines of a text, each once, the addresses of IPv4 first.
func lines(text string) string {
	all := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(a, ":"), strings.Count(b, ":")), cmp.Compare(a, b))
	})
	return strings.Join(slices.Compact(all), ", ")
}
