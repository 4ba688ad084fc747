package diagnose

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/loopcheck/loopcheck/probe/hostnames"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// dnsPort is where DNS servers are asked (RFC 1035 4.2).
const dnsPort = 53

// readSockets and ownAddress are variables so that tests can show machines that
// this one is not.
var (
	readSockets = socktable.Read
	ownAddress  = func(addr netip.Addr) bool { own, _, err := iface.Owns(addr); return err == nil && own }
)

// silentServers finds DNS servers of resolv.conf that are meant to be on this
// machine, where nobody listens, or somebody who does not read what arrives.
func silentServers(ctx context.Context) Diagnosis {
	text, _, err := readName(hostnames.ResolverPath)
	if err != nil {
		return Diagnosis{}
	}
	var d Diagnosis
	for _, server := range hostnames.ParseServers(text) {
		if !ownAddress(server.Addr) {
			continue
		}
		table, err := readSockets(ctx, socktable.Options{Protocols: []socktable.Protocol{socktable.UDP}, Owners: true})
		if err != nil {
			d.Unseen = append(d.Unseen, Unseen{What: "who listens for DNS", Why: err.Error()})
			return d
		}
		cause := Cause{
			ID:       "resolver-absent-" + server.Addr.String(),
			Summary:  fmt.Sprintf("resolv.conf names the DNS server %s, an address of this machine where nobody listens.", server.Addr),
			Evidence: []string{fmt.Sprintf("%s:%d: \"nameserver %s\"", hostnames.ResolverPath, server.Line, server.Addr)},
		}
		silent, holders := true, 0
		for i := range table.Sockets {
			socket := &table.Sockets[i]
			if socket.Local.Port() != dnsPort || !socket.Takes(server.Addr) {
				continue
			}
			holders++
			silent = silent && socket.ReceiveQueue > 0
			cause.Evidence = append(cause.Evidence, fmt.Sprintf("%s, %d bytes wait to be read", socket.String(), socket.ReceiveQueue))
		}
		switch {
		case holders == 0:
			cause.Evidence = append(cause.Evidence, fmt.Sprintf("no UDP socket takes what is sent to %s", netip.AddrPortFrom(server.Addr, dnsPort)))
		case silent:
			cause.ID = "resolver-silent-" + server.Addr.String()
			cause.Summary = fmt.Sprintf("resolv.conf names the DNS server %s, and who listens there does not read the questions.", server.Addr)
		default:
			continue
		}
		d.Findings = append(d.Findings, Finding{Cause: cause})
	}
	return d
}
