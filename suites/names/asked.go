package names

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/hostnames"
	"github.com/loopcheck/loopcheck/probe/resolve"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// getentPatience bounds what programs are started for. A question that is lost
// is asked again after a second.
const getentPatience = 6 * time.Second

// Who looks a name up.
const (
	goResolver = "Go's resolver"
	cLibrary   = "the C library"
)

// looking is what to look up in a sandbox, and with what.
type looking struct {
	Files resolve.Files
	// Known is what the DNS server knows there.
	Known map[string]netip.Addr
	Names []string
	// CLibrary says that getent is asked, too.
	CLibrary bool
}

// found is what one of them made of one name.
type found struct {
	Who, Name string
	Addrs     []netip.Addr
	// Asked are the names that the DNS server was asked for meanwhile.
	Asked []string
}

type lookedUp struct {
	Found []found
	// NoGetent is why the C library was not asked.
	NoGetent string
}

// lookUpInside looks names up in a sandbox of its own, whose only DNS server
// notes what it is asked.
var lookUpInside = sandbox.Register("names/look-up", func(ctx context.Context, _ *sandbox.Inside, what looking) (seen lookedUp, err error) {
	if err := what.Files.Install(); err != nil {
		return seen, err
	}
	stub, err := resolve.Serve(netip.MustParseAddrPort("127.0.0.1:53"), what.Known)
	if err != nil {
		return seen, err
	}
	defer stub.Close()
	resolver := net.Resolver{PreferGo: true}
	for _, name := range what.Names {
		addrs, err := resolver.LookupNetIP(ctx, "ip", name)
		if ctx.Err() != nil {
			return seen, fmt.Errorf("%s looks up %s: %w", goResolver, name, ctx.Err())
		}
		if err != nil {
			addrs = nil
		}
		for i := range addrs {
			addrs[i] = addrs[i].Unmap()
		}
		seen.Found = append(seen.Found, found{goResolver, name, addrs, stub.Asked()})
	}
	for _, name := range what.Names {
		if !what.CLibrary {
			break
		}
		addrs, err := resolve.Addresses(ctx, name)
		switch {
		case errors.Is(err, resolve.ErrNoGetent):
			seen.NoGetent = err.Error()
			return seen, nil
		case err != nil && !errors.Is(err, resolve.ErrNotFound):
			return seen, err
		}
		seen.Found = append(seen.Found, found{cLibrary, name, addrs, stub.Asked()})
	}
	return seen, nil
})

var _ = suite.It("asks DNS for localhost where the hosts file is empty", check.Check{
	ID: "NAME-002", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, getent},
	Source: "nsswitch.conf(5) (hosts: files dns); hosts(5); resolv.conf(5)",
	Asks:   "In a sandbox with an empty hosts file, `hosts: files dns`, and a DNS server of its own that has another address for localhost than any machine, looks up localhost with Go's resolver and with getent. Both must ask that server and take its address. Windows has localhost built in, these have not.",
	Why:    "It is why a machine or container image has to have localhost in its hosts file: without the line its own services are looked for wherever DNS says. Whoever measures that a name is found must know that this one comes from a file, and tests that swap the files count on both to read them.",
	Causes: []string{
		"a C library that answers for localhost itself, or a program that stands in getent's place",
		"a firewall drops what is sent to port 53 of 127.0.0.1 in private namespaces as well, by an eBPF program of the cgroup",
	},
	Remedies: []string{
		"have /etc/hosts say `127.0.0.1 localhost` and `::1 localhost`, and count on nothing else",
	},
}, func(ctx SpecContext) {
	const name = "localhost"
	elsewhere := netip.AddrFrom4([4]byte{127, 53, 53, 53})
	load := spec.StartLoad()
	seen := insideSandbox(ctx, load, looking{
		Files:    resolve.Files{Sources: "hosts: files dns\n", Resolver: resolve.StubResolver},
		Known:    map[string]netip.Addr{name + ".": elsewhere},
		Names:    []string{name},
		CLibrary: true,
	})
	for _, f := range seen.Found {
		if how, starved := load.Starved(); starved && len(f.Addrs) == 0 {
			spec.Inconclusive("%s found nothing for %s, but %s", f.Who, f.Name, how)
		}
		Expect(f.Asked).To(ContainElement(name+"."), "names that %s asked DNS for, to look up %s with an empty hosts file", f.Who, f.Name)
		Expect(list(f.Addrs)).To(Equal(elsewhere.String()), "what %s found for %s, of which DNS says %v", f.Who, f.Name, elsewhere)
		spec.Evidence(f.Who, "asked DNS for %s", strings.Join(f.Asked, ", "))
	}
	if seen.NoGetent != "" {
		spec.Skip(getent, goResolver+" asked DNS, as it should; to see what the C library does: "+seen.NoGetent)
	}
})

// insideSandbox looks names up in a sandbox.
func insideSandbox(ctx context.Context, load spec.Load, what looking) lookedUp {
	GinkgoHelper()
	box := spec.Sandbox(ctx, sandbox.Config{})
	seen, err := lookUpInside.Call(spec.Within(ctx, getentPatience), box, "", what)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "look up %s in a sandbox", strings.Join(what.Names, ", "))
	return seen
}

// below is a name below localhost that no file is likely to have.
const below = "loopcheck.localhost"

var _ = suite.It("asks no DNS server for localhost, and leads neither it nor what is below it to another machine", check.Check{
	ID: "NAME-003", Grade: check.GradeAdvice, OS: "linux", Needs: []check.Need{check.Sandbox, localhostInHosts},
	Source: "RFC 6761 6.3 (resolvers should answer for localhost and all names below it themselves); nsswitch.conf(5); resolv.conf(5)",
	Asks: "In a sandbox with the machine's own hosts file, nsswitch.conf and search domains, and a DNS server of its own that knows no name, looks up localhost, localhost. and loopcheck.localhost with Go's resolver and with getent. " +
		"It warns where localhost itself is asked of DNS while the machine's servers are elsewhere, or where a line of the hosts file leads localhost or a name below it to an address that is no loopback one. " +
		"Questions for the other two names are told, and no reason to warn: the C library sends them wherever names come from `files dns`, as most systems have it.",
	Why: "Developers and browsers use names such as app.localhost for what runs on this machine alone, with logins and tokens that work there. " +
		"A name that whoever answers for the network decides about takes them to him.",
	Causes: []string{
		"/etc/nsswitch.conf lacks files in its hosts line, or has dns before it",
		"/etc/hosts has no line for localhost, or gives it or a name below it an address of the network",
	},
	Remedies: []string{
		"have the hosts line of /etc/nsswitch.conf name files before dns",
		"have /etc/hosts say `127.0.0.1 localhost`, and give names below localhost loopback addresses only",
		"to keep names below localhost from DNS altogether, name myhostname before dns in /etc/nsswitch.conf (libnss-myhostname), or use systemd-resolved or another resolver on this machine that answers for them",
	},
}, func(ctx SpecContext) {
	hosts, sources, resolver := textOf(hostnames.HostsPath), textOf(hostnames.SourcesPath), textOf(hostnames.ResolverPath)
	for _, h := range hostnames.ParseHosts(hosts) {
		for _, name := range h.Names {
			Expect(!isLocalhost(name) || h.Addr.IsLoopback()).To(
				BeTrueBecause("line %d of %s leads %s to %v, which is no loopback address", h.Line, hostnames.HostsPath, name, h.Addr))
		}
	}
	inside, outside := serversOf(resolver)
	foreign := foreignSource(sources)
	load := spec.StartLoad()
	seen := insideSandbox(ctx, load, looking{
		Files:    resolve.Files{Hosts: hosts, Sources: sources, Resolver: withoutServers(resolver)},
		Names:    []string{"localhost", "localhost.", below},
		CLibrary: foreign == "",
	})
	if seen.NoGetent != "" {
		spec.Evidence(cLibrary, "not asked: %s", seen.NoGetent)
	}
	if foreign != "" {
		spec.Evidence(cLibrary, "not asked: names of hosts come from %s too, as %s says, which need not ask DNS", foreign, hostnames.SourcesPath)
	}
	sent := 0
	for _, f := range seen.Found {
		if len(f.Asked) == 0 {
			spec.Evidence(f.Who, "looks up %s without DNS: %s", f.Name, orNothing(list(f.Addrs)))
			continue
		}
		if f.Name == "localhost" {
			if len(outside) == 0 {
				spec.Skip(localhostInHosts, fmt.Sprintf("%s is asked of the resolver %s on this machine", f.Name, strings.Join(inside, ", ")))
			}
			Expect(f.Asked).To(BeEmpty(), "what %s asks the DNS server %s for, outside of the machine, to look up %s", f.Who, strings.Join(outside, ", "), f.Name)
		}
		if len(outside) > 0 {
			sent += len(f.Asked)
		}
		spec.Evidence(f.Who, "looks up %s by asking the DNS server %s for %s", f.Name, strings.Join(append(inside, outside...), ", "), strings.Join(f.Asked, ", "))
	}
	spec.Measure("names_asked_of_others", float64(sent))
})

func orNothing(text string) string {
	if text == "" {
		return "not found"
	}
	return text
}

// isLocalhost says whether a name is localhost or one below it (RFC 6761 6.3).
func isLocalhost(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// textOf is a file of the machine; without it there is nothing in it.
func textOf(path string) string {
	GinkgoHelper()
	text, err := os.ReadFile(path)
	if !errors.Is(err, os.ErrNotExist) {
		Expect(err).NotTo(HaveOccurred())
	}
	return string(text)
}

// serversOf are the DNS servers of a resolv.conf: those on this machine, one of
// which is asked where it names none, and the others.
func serversOf(resolver string) (inside, outside []string) {
	for _, server := range hostnames.ParseServers(resolver) {
		at := netip.AddrPortFrom(server.Addr, dnsPort).String()
		if isOurs(at) {
			inside = append(inside, at)
		} else {
			outside = append(outside, at)
		}
	}
	if len(inside)+len(outside) == 0 {
		inside = []string{"127.0.0.1:53"}
	}
	return inside, outside
}

// withoutServers is the resolv.conf with the sandbox's own DNS server in the
// place of those that it names. Of its options those are kept that decide which
// names are asked for.
func withoutServers(resolver string) string {
	kept := []string{"nameserver 127.0.0.1", "options timeout:1 attempts:2"}
	for line := range strings.Lines(resolver) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "search", "domain":
			kept = append(kept, strings.Join(fields, " "))
		case "options":
			for _, option := range fields[1:] {
				if strings.HasPrefix(option, "ndots:") {
					kept = append(kept, "options "+option)
				}
			}
		}
	}
	return strings.Join(kept, "\n") + "\n"
}

// understood are the sources of names that a sandbox has as the machine has
// them, or that know nothing of localhost: of the others, systemd-resolved is
// not to be reached from there, and directories are not to be asked.
var understood = []string{"files", "dns", "myhostname", "mymachines", "mdns", "mdns4", "mdns6", "mdns_minimal", "mdns4_minimal", "mdns6_minimal"}

// foreignSource is the first source of an nsswitch.conf that is not understood.
func foreignSource(sources string) string {
	parsed, _ := hostnames.ParseSources(sources)
	for _, name := range parsed.Names {
		if !strings.HasPrefix(name, "[") && !slices.Contains(understood, name) {
			return name
		}
	}
	return ""
}
