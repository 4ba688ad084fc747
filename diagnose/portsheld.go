package diagnose

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// shownHolders bounds how many of those who hold ports stand in the evidence.
const shownHolders = 5

// portsHeld finds who has the ports that a check could not have: one that it
// asked for, or nearly all that the kernel chooses from.
func portsHeld(ctx context.Context, s Symptom) Diagnosis {
	wanted, names := s.port()
	taken := s.says(syscall.EADDRINUSE) || names && s.Missing != ""
	if !taken && !lacksPorts(s) && !s.says(syscall.EAGAIN) {
		return Diagnosis{}
	}
	table, err := readSockets(ctx, socktable.Options{Protocols: []socktable.Protocol{socktable.TCP, socktable.UDP}, Owners: true})
	if err != nil {
		return Diagnosis{Unseen: []Unseen{{What: "who holds ports", Why: err.Error()}}}
	}
	if taken && names {
		return portHeld(table, s, wanted)
	}
	return rangeHeld(table)
}

var (
	missingPort = regexp.MustCompile(`^port (\d+)$`)
	toldPort    = regexp.MustCompile(`(\S+):(\d+): .*` + regexp.QuoteMeta(syscall.EADDRINUSE.Error()))
)

// port is the one that the check wanted for itself, where it tells of one. The
// address is not valid where it does not tell.
func (s Symptom) port() (netip.AddrPort, bool) {
	address, number := "", ""
	if match := toldPort.FindStringSubmatch(s.Message); match != nil {
		address, number = strings.Trim(match[1], "[]"), match[2]
	} else if match := missingPort.FindStringSubmatch(s.Missing); match != nil {
		number = match[1]
	}
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil || port == 0 {
		return netip.AddrPort{}, false
	}
	addr, _ := netip.ParseAddr(address)
	return netip.AddrPortFrom(addr, uint16(port)), true
}

// portHeld names who holds one port.
func portHeld(table *socktable.Table, s Symptom, wanted netip.AddrPort) Diagnosis {
	addr := wanted.Addr()
	if !addr.IsValid() {
		addr = netip.IPv6Unspecified() // of any address
	}
	cause := Cause{ID: fmt.Sprintf("port-held-%d", wanted.Port())}
	who := ""
	for _, protocol := range []socktable.Protocol{socktable.TCP, socktable.UDP} {
		if other := map[socktable.Protocol]string{socktable.TCP: "udp", socktable.UDP: "tcp"}[protocol]; strings.Contains(s.Message, other) && !strings.Contains(s.Message, protocol.String()) {
			continue
		}
		for _, holder := range table.Holders(socktable.Binding{Protocol: protocol, Local: netip.AddrPortFrom(addr, wanted.Port())}) {
			cause.Evidence = append(cause.Evidence, holder.String())
			if who == "" {
				who = holderOf(&holder)
			}
		}
	}
	if len(cause.Evidence) == 0 {
		return Diagnosis{}
	}
	cause.Summary = fmt.Sprintf("Port %d is held already, by %s.", wanted.Port(), who)
	return found(Finding{Cause: cause})
}

// holderOf names who has a socket, for a sentence.
func holderOf(s *socktable.Socket) string {
	switch {
	case len(s.Owners) > 0:
		return fmt.Sprintf("%s (pid %d)", s.Owners[0].Name, s.Owners[0].PID)
	case s.State == sock.TimeWait:
		return "connections in TIME_WAIT, which no process holds"
	case s.Ownership == socktable.NotAllowed:
		return "processes that this user may not look into"
	}
	return "no process in sight"
}

// rangeHeld finds a protocol of which nearly all ephemeral ports are held.
func rangeHeld(table *socktable.Table) Diagnosis {
	ports, text, ok := ephemeralPorts()
	if !ok {
		return Diagnosis{}
	}
	var d Diagnosis
	for _, protocol := range []socktable.Protocol{socktable.TCP, socktable.UDP} {
		holders := map[string]map[uint16]bool{}
		all := map[uint16]bool{}
		for i := range table.Sockets {
			s := &table.Sockets[i]
			// A handshake under way uses the port of its listener.
			if s.Protocol != protocol || s.State == sock.SynRecv || !ports.Contains(s.Local.Port()) {
				continue
			}
			who := holderOf(s)
			if holders[who] == nil {
				holders[who] = map[uint16]bool{}
			}
			holders[who][s.Local.Port()], all[s.Local.Port()] = true, true
		}
		if len(all) == 0 || float64(len(all)) < nearly*float64(ports.Len()) {
			continue
		}
		order := slices.SortedFunc(maps.Keys(holders), func(a, b string) int {
			return cmp.Or(cmp.Compare(len(holders[b]), len(holders[a])), cmp.Compare(a, b))
		})
		cause := Cause{
			ID:       "ephemeral-ports-held-" + protocol.String(),
			Summary:  fmt.Sprintf("Of the %d ephemeral ports, %d are held over %s, most of them by %s.", ports.Len(), len(all), strings.ToUpper(protocol.String()), order[0]),
			Evidence: []string{text},
		}
		for i, who := range order {
			if i == shownHolders {
				cause.Evidence = append(cause.Evidence, fmt.Sprintf("and %d more holders", len(order)-i))
				break
			}
			cause.Evidence = append(cause.Evidence, fmt.Sprintf("%d ports: %s", len(holders[who]), who))
		}
		d.Findings = append(d.Findings, Finding{Cause: cause})
	}
	return d
}

// ephemeralPorts are those that the kernel chooses from, and how it was told.
func ephemeralPorts() (ports portset.Set, text string, ok bool) {
	bounds, err := readSetting("net.ipv4.ip_local_port_range")
	if err != nil {
		return ports, "", false
	}
	if ports, err = portset.Parse(strings.Join(strings.Fields(bounds), "-")); err != nil {
		return ports, "", false
	}
	text = fmt.Sprintf("net.ipv4.ip_local_port_range is %q", strings.Join(strings.Fields(bounds), " "))
	reserved, err := readSetting("net.ipv4.ip_local_reserved_ports")
	if err != nil || reserved == "" {
		return ports, text, true
	}
	if kept, err := portset.Parse(reserved); err == nil {
		ports = ports.Without(kept)
		text += fmt.Sprintf(", net.ipv4.ip_local_reserved_ports %q", reserved)
	}
	return ports, text, true
}
