// Package resolve answers what programs make of the files that decide about
// names (hosts(5), nsswitch.conf(5), resolv.conf(5)), with files of the
// caller's own in the place of the machine's and a DNS server of its own in the
// place of the network's: it notes which names it is asked for.
//
// Install and Serve are for sandboxes. What asks, Go's resolver or getent(1),
// then asks nothing of the machine.
package resolve

// Files are the texts of the three files.
type Files struct {
	Hosts    string // /etc/hosts
	Sources  string // /etc/nsswitch.conf
	Resolver string // /etc/resolv.conf
}

// StubResolver is a resolv.conf that names a Stub alone, and adds no domain to
// what is asked for. Questions that are lost are soon asked again.
const StubResolver = "nameserver 127.0.0.1\nsearch .\noptions timeout:1 attempts:2\n"
