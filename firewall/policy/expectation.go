package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sweep"
	"github.com/loopcheck/loopcheck/probe/userfile"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

func (p *parser) expectations(node userfile.Node) error {
	if !node.IsList() {
		return node.Fault("expect: write a list, each beginning with `- from:`")
	}
	for _, item := range node.Items() {
		e, err := p.expectation(item)
		if err != nil {
			return err
		}
		p.policy.Expectations = append(p.policy.Expectations, e)
	}
	return nil
}

// maxNth bounds a burst.
const maxNth = 10000

func (p *parser) expectation(node userfile.Node) (Expectation, error) {
	fields, err := node.Mapping("an expectation", expectKeys...)
	if err != nil {
		return Expectation{}, err
	}
	for _, key := range []string{"from", "protocol", "verdict"} {
		if _, there := fields[key]; !there {
			return Expectation{}, node.Fault("%q is missing from the expectation", key)
		}
	}
	e := Expectation{To: Machine, State: sweep.New, Families: []sock.Family{sock.IPv4, sock.IPv6}, Line: node.Line()}
	for _, key := range expectKeys {
		value, there := fields[key]
		if !there {
			continue
		}
		switch key {
		case "source":
			e.Sources, err = p.prefixes(value, key)
		case "destination":
			e.Destinations, err = p.prefixes(value, key)
		case "ports":
			if e.Protocol == sweep.ICMP {
				return Expectation{}, value.Fault("ports: icmp has none: write types")
			}
			err = p.readPorts(&e, value)
		case "types":
			continue // read once the families are known
		default:
			text, textErr := value.Text(key)
			if textErr != nil {
				return Expectation{}, textErr
			}
			if err = p.set(&e, key, text); err != nil {
				err = value.Fault("%s: %v", key, err)
			}
		}
		if err != nil {
			return Expectation{}, err
		}
	}
	if err := e.narrow(node); err != nil {
		return Expectation{}, err
	}
	if types, there := fields["types"]; there {
		if err := e.readTypes(types); err != nil {
			return Expectation{}, err
		}
	}
	if err := p.complete(&e, node); err != nil {
		return Expectation{}, err
	}
	if e.Name == "" {
		e.Name = e.describe()
	}
	return e, nil
}

// set gives an expectation what stands as one value.
func (p *parser) set(e *Expectation, key, text string) (err error) {
	switch key {
	case "name":
		e.Name = strings.Join(strings.Fields(text), " ")
	case "from":
		e.From = text
		return p.known(text, p.policy.zoneNames())
	case "to":
		e.To = text
		return p.known(text, append([]string{Machine}, p.policy.zoneNames()[1:]...))
	case "protocol":
		e.Protocol = sweep.Protocol(text)
		switch {
		case text == "icmpv6":
			e.Protocol, e.Families = sweep.ICMP, []sock.Family{sock.IPv6}
		case text != "tcp" && text != "udp" && text != "icmp":
			return fmt.Errorf("%q: write tcp, udp, icmp or icmpv6", text)
		}
	case "source-port":
		e.SourcePort, err = number(text, 65535)
	case "state":
		e.State = sweep.State(text)
		if !slices.Contains(states, e.State) {
			return fmt.Errorf("%q: write new, established, related or invalid", text)
		}
	case "family":
		families, err := parseFamilies(text)
		if err != nil {
			return err
		}
		if e.Families = slices.DeleteFunc(families, func(f sock.Family) bool { return !slices.Contains(e.Families, f) }); len(e.Families) == 0 {
			return fmt.Errorf("%s is not what icmpv6 goes over: leave it out", text)
		}
	case "packet":
		e.Nth, err = number(text, maxNth)
	case "verdict":
		e.Verdict, err = parseVerdict(text)
	case "arrives":
		if e.Arrives, err = netip.ParseAddrPort(text); err != nil {
			return fmt.Errorf("%q: write an address and a port, such as 127.0.0.1:8080 or [::1]:8080", text)
		}
		e.Arrives = netip.AddrPortFrom(e.Arrives.Addr().Unmap(), e.Arrives.Port())
		if e.Arrives.Port() == 0 || e.Arrives.Addr().IsUnspecified() || e.Arrives.Addr().Zone() != "" {
			return fmt.Errorf("nothing arrives at %s: write an address and a port, such as 127.0.0.1:8080 or [::1]:8080", e.Arrives)
		}
	}
	return err
}

func (p *parser) readPorts(e *Expectation, node userfile.Node) error {
	texts, err := node.Texts("ports")
	if err != nil {
		return err
	}
	var all []portset.Range
	for _, text := range texts {
		for part := range strings.SplitSeq(text, ",") {
			part = strings.TrimSpace(part)
			if group, known := p.ports[part]; known {
				all = append(all, group.Ranges()...)
				continue
			}
			ports, err := portset.Parse(part)
			if err != nil {
				return node.Fault("ports: %v, or the name of a group", err)
			}
			all = append(all, ports.Ranges()...)
		}
	}
	if len(all) == 0 {
		return node.Fault("ports: write at least one, or leave it out for all")
	}
	e.Ports = portset.Of(all...).Ranges()
	return nil
}

// readTypes reads those of the only family, or of IPv4 where there are two and
// both call them so.
func (e *Expectation) readTypes(node userfile.Node) error {
	if e.Protocol != sweep.ICMP {
		return node.Fault("types: %s has none: write ports", e.Protocol)
	}
	if len(e.Families) != 1 {
		return node.Fault("types: they differ between the families: write `family: ipv4`, or `protocol: icmpv6`")
	}
	texts, err := node.Texts("types")
	if err != nil {
		return err
	}
	for _, text := range texts {
		for part := range strings.SplitSeq(text, ",") {
			n, err := typeOf(strings.TrimSpace(part), e.Families[0])
			if err != nil {
				return node.Fault("types: %v", err)
			}
			e.Ports = append(e.Ports, portset.Range{First: n, Last: n})
		}
	}
	if len(e.Ports) == 0 {
		return node.Fault("types: write at least one, or leave it out for all")
	}
	slices.SortFunc(e.Ports, func(a, b portset.Range) int { return int(a.First) - int(b.First) })
	e.Ports = slices.Compact(e.Ports)
	return nil
}

// narrow leaves the families that the addresses are of.
func (e *Expectation) narrow(node userfile.Node) error {
	for key, addresses := range map[string][]netip.Prefix{"source": e.Sources, "destination": e.Destinations} {
		if len(addresses) == 0 {
			continue
		}
		e.Families = slices.DeleteFunc(slices.Clone(e.Families), func(f sock.Family) bool {
			return !slices.ContainsFunc(addresses, func(a netip.Prefix) bool { return a.Addr().Is6() == (f == sock.IPv6) })
		})
		if len(e.Families) == 0 {
			return node.Fault("%s: no address is of a family that the expectation is about", key)
		}
	}
	for _, v := range e.Verdict.Any {
		if family, of := kindFamily(v.Kind); of {
			e.Families = slices.DeleteFunc(slices.Clone(e.Families), func(f sock.Family) bool { return f != family && len(e.Verdict.Any) == 1 })
		}
	}
	if len(e.Families) == 0 {
		return node.Fault("verdict: %s is of another family", e.Verdict.Text)
	}
	return nil
}

// kindFamily is the family that a kind of reject is of.
func kindFamily(kind verdict.Kind) (sock.Family, bool) {
	for _, k := range verdict.ICMPKinds() {
		if k.Kind == kind {
			return k.Family, true
		}
	}
	return 0, false
}

// complete checks what belongs together.
func (p *parser) complete(e *Expectation, node userfile.Node) error {
	switch {
	case e.Protocol == sweep.ICMP && len(e.Ports) == 0:
		e.Ports = []portset.Range{{First: 0, Last: 255}}
	case e.Protocol != sweep.ICMP && len(e.Ports) == 0:
		e.Ports = []portset.Range{{First: 1, Last: 65535}}
	}
	single := len(e.Ports) == 1 && e.Ports[0].First == e.Ports[0].Last
	established := 0
	if e.State == sweep.Established {
		for _, r := range e.Ports {
			established += r.Len()
		}
	}
	switch {
	case e.Protocol == sweep.ICMP && (e.State == sweep.Established || e.State == sweep.Invalid):
		return node.Fault("state: of icmp only new and related are asked")
	case e.Protocol != sweep.ICMP && e.State == sweep.Related:
		return node.Fault("state: related is an error about a connection: write `protocol: icmp`")
	case e.State == sweep.Related && (len(e.Families) != 1 || !slices.Equal(e.Ports, sweep.RelatedTypes(e.Families[0] == sock.IPv6))):
		return node.Fault("state: related is asked about one family and `types: destination-unreachable` alone")
	case e.Protocol == sweep.ICMP && e.SourcePort != 0:
		return node.Fault("source-port: %s has no ports", e.Protocol)
	case e.Protocol != sweep.TCP && len(e.Verdict.Any) == 1 && e.Verdict.Any[0].Kind == verdict.TCPReset:
		return node.Fault("verdict: %s is not rejected with tcp-reset: write tcp, or another verdict", e.Protocol)
	case e.Protocol == sweep.UDP && e.State == sweep.Invalid && e.From == firewall.Loopback:
		return node.Fault("state: no datagram over loopback is invalid: its checksum is not looked at")
	case established > maxEstablished:
		return node.Fault("ports: at most %d established connections are made at once: write fewer", maxEstablished)
	case e.Nth > 0 && !single:
		return node.Fault("packet: the expectation has to be about one port")
	case e.Nth > 0 && e.State != sweep.New:
		return node.Fault("packet: only new packets are counted")
	case e.Arrives.IsValid() && !e.Verdict.Fulfilled(verdict.Verdict{Action: verdict.Accept}):
		return node.Fault("arrives: the verdict has to be accept")
	case e.Arrives.IsValid() && e.Protocol == sweep.ICMP:
		return node.Fault("arrives: icmp has no ports")
	}
	if e.Arrives.IsValid() {
		e.Families = slices.DeleteFunc(e.Families, func(f sock.Family) bool { return e.Arrives.Addr().Is6() != (f == sock.IPv6) })
		if len(e.Families) == 0 {
			return node.Fault("arrives: %s is of another family", e.Arrives)
		}
	}
	return nil
}

// maxEstablished bounds the connections that one expectation makes.
const maxEstablished = 4096
