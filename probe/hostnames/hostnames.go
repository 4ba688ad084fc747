// Package hostnames answers what the files of a machine say about names: which
// addresses the hosts file gives to a name (hosts(5)), in what order the C
// library asks for names (nsswitch.conf(5)), and which DNS servers are asked
// (resolv.conf(5)).
//
// It reads what is written, not what a program makes of it: nothing is looked
// up, and nothing is sent.
package hostnames

import (
	"net/netip"
	"slices"
	"strings"
)

// The files, where every system but Windows has them.
const (
	HostsPath    = "/etc/hosts"
	SourcesPath  = "/etc/nsswitch.conf"
	ResolverPath = "/etc/resolv.conf"
)

// Host is a line of the hosts file.
type Host struct {
	Line int // from 1
	// Text is the line without its comment.
	Text string
	Addr netip.Addr
	// Names are those that it gives the address to, as they are written.
	Names []string
}

// Has says whether the line gives its address to a name, in any letter case.
func (h Host) Has(name string) bool {
	return slices.ContainsFunc(h.Names, func(n string) bool { return strings.EqualFold(n, name) })
}

// ParseHosts returns the lines of a hosts file that give an address to a name.
// Those that cannot be read are left out, as resolvers do.
func ParseHosts(text string) []Host {
	var hosts []Host
	for line, fields := range lines(text) {
		addr, err := netip.ParseAddr(fields[0])
		if err != nil || len(fields) < 2 {
			continue
		}
		hosts = append(hosts, Host{Line: line, Text: strings.Join(fields, " "), Addr: addr.Unmap(), Names: fields[1:]})
	}
	return hosts
}

// Sources is the line of nsswitch.conf that says where names of hosts come from.
type Sources struct {
	Line int // from 1
	// Names are the services in their order, such as "files" and "dns". What is
	// to be done on their answers, such as "[!UNAVAIL=return]", stands there as
	// well, in brackets.
	Names []string
}

// ParseSources returns the hosts line of an nsswitch.conf. Of several the last
// counts, as it does in the C library.
func ParseSources(text string) (Sources, bool) {
	var found Sources
	for line, fields := range lines(text) {
		database, rest, isDatabase := strings.Cut(strings.Join(fields, " "), ":")
		if isDatabase && strings.TrimSpace(database) == "hosts" {
			found = Sources{Line: line, Names: services(rest)}
		}
	}
	return found, found.Line > 0
}

// services splits at white space outside of brackets.
func services(text string) []string {
	var names []string
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		end := strings.IndexAny(text, " \t[")
		switch {
		case end == 0: // a bracket
			end = strings.IndexByte(text, ']') + 1
			if end == 0 {
				end = len(text)
			}
		case end < 0:
			end = len(text)
		}
		names = append(names, text[:end])
		text = text[end:]
	}
	return names
}

// Server is a DNS server of resolv.conf.
type Server struct {
	Line int // from 1
	Addr netip.Addr
}

// maxServers is how many the C library asks; the others stand there for nothing
// (MAXNS in resolv.conf(5)).
const maxServers = 3

// ParseServers returns the DNS servers that are asked.
func ParseServers(text string) []Server {
	var servers []Server
	for line, fields := range lines(text) {
		if fields[0] != "nameserver" || len(fields) < 2 || len(servers) == maxServers {
			continue
		}
		if addr, err := netip.ParseAddr(fields[1]); err == nil {
			servers = append(servers, Server{Line: line, Addr: addr.Unmap()})
		}
	}
	return servers
}

// lines yields the fields of each line that has any before its comment, by the
// line's number from 1.
func lines(text string) func(yield func(int, []string) bool) {
	return func(yield func(int, []string) bool) {
		number := 0
		for line := range strings.Lines(text) {
			number++
			line, _, _ = strings.Cut(line, "#")
			if strings.HasPrefix(line, ";") {
				continue // a comment in resolv.conf, and no address or database elsewhere
			}
			if fields := strings.Fields(line); len(fields) > 0 && !yield(number, fields) {
				return
			}
		}
	}
}
