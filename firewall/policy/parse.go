package policy

import (
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/stage"
	"github.com/loopcheck/loopcheck/probe/sweep"
	"github.com/loopcheck/loopcheck/probe/userfile"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// ReadFile reads a policy. The error is one line that names the file, the line
// and what to write.
func ReadFile(path string) (*Policy, error) {
	content, err := userfile.Read(path, "a policy")
	if err != nil {
		return nil, err
	}
	return Parse(path, content)
}

// Read is ReadFile of what is open already; path stands in the errors, and rules
// are looked for in its folder.
func Read(path string, source io.Reader) (*Policy, error) {
	content, err := userfile.ReadFrom(source, path, "a policy")
	if err != nil {
		return nil, err
	}
	return Parse(path, content)
}

// Keys of the file, of a zone, of an expectation and of a default, in the order
// in which they are written.
var (
	fileKeys    = []string{"rules", "zones", "groups", "expect", "defaults"}
	zoneKeys    = []string{"interface", "machine", "beyond"}
	expectKeys  = []string{"name", "from", "source", "to", "destination", "protocol", "ports", "types", "source-port", "state", "family", "packet", "verdict", "arrives"}
	defaultKeys = []string{"from", "to", "verdict"}
)

// parser holds what expectations may name.
type parser struct {
	policy *Policy
	// ports and addresses are the groups.
	ports     map[string]portset.Set
	addresses map[string][]netip.Prefix
}

// Parse reads a policy from YAML. Path stands in the errors, and rules are looked
// for in its folder.
func Parse(path string, content []byte) (*Policy, error) {
	root, err := userfile.Parse(path, content, "write `rules:` and `expect:`")
	if err != nil {
		return nil, err
	}
	fields, err := root.Mapping("the policy", fileKeys...)
	if err != nil {
		return nil, err
	}
	p := &parser{&Policy{Path: path}, map[string]portset.Set{}, map[string][]netip.Prefix{}}
	for _, step := range []struct {
		key      string
		required string
		read     func(userfile.Node) error
	}{
		{"rules", "write the file with the rules, or live for this machine's", p.rules},
		{"zones", "", p.zones},
		{"groups", "", p.groups},
		{"expect", "", p.expectations},
		{"defaults", "", p.defaults},
	} {
		node, there := fields[step.key]
		switch {
		case there:
			if step.key == "expect" || step.key == "defaults" {
				p.addOutside()
			}
			if err := step.read(node); err != nil {
				return nil, err
			}
		case step.required != "":
			return nil, root.Fault("`%s:` is missing: %s", step.key, step.required)
		}
	}
	if len(p.policy.Expectations) == 0 && len(p.policy.Defaults) == 0 {
		return nil, root.Fault("nothing is expected: write `expect:` and a list, or `defaults:`")
	}
	return p.policy, p.policy.contradictions()
}

func (p *parser) rules(node userfile.Node) error {
	names, err := node.Texts("rules")
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == "-" {
			return node.Fault("rules: the standard input is not read: write a file, or live for this machine's rules")
		}
		if name != firewall.Live && !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(p.policy.Path), name)
		}
		p.policy.Rules = append(p.policy.Rules, name)
	}
	if len(names) > 1 && slices.Contains(names, firewall.Live) {
		return node.Fault("rules: live stands alone: leave out the files, or live")
	}
	if len(names) == 0 {
		return node.Fault("rules: write at least one file")
	}
	return nil
}

// maxZones bounds the network namespaces of a policy.
const maxZones = 32

func (p *parser) zones(node userfile.Node) error {
	pairs, err := node.Pairs("zones", "with a name each")
	if err != nil {
		return err
	}
	if len(pairs) > maxZones {
		return node.Fault("zones: at most %d are set up", maxZones)
	}
	for _, pair := range pairs {
		z, err := p.zone(pair)
		if err != nil {
			return err
		}
		if err := p.apart(pair, z); err != nil {
			return err
		}
		p.policy.Zones = append(p.policy.Zones, z)
	}
	return nil
}

func (p *parser) zone(pair userfile.Pair) (Zone, error) {
	z := Zone{Zone: stage.Zone{Name: pair.Key}, Line: pair.At.Line()}
	if pair.Key == firewall.Loopback || pair.Key == Machine {
		return z, pair.At.Fault("%s is there without being named: leave it out", pair.Key)
	}
	if !zoneName.MatchString(pair.Key) {
		return z, pair.At.Fault("zone %q: write a name of letters, digits, '_', '-' and '.', at most 64", pair.Key)
	}
	fields, err := pair.Value.Mapping("zone "+pair.Key, zoneKeys...)
	if err != nil {
		return z, err
	}
	name, there := fields["interface"]
	if !there {
		return z, pair.At.Fault("zone %s: `interface:` is missing: write the one that the rules name, such as eth0", z.Name)
	}
	if z.Interface, err = name.Text("interface"); err != nil {
		return z, err
	}
	if !isInterface(z.Interface) {
		return z, name.Fault("interface: %q is no name of an interface beside lo: 1 to 15 bytes without blanks, '/', ':' and '%%'", z.Interface)
	}
	if machine, there := fields["machine"]; there {
		if z.Machine, err = p.prefixes(machine, "machine"); err != nil {
			return z, err
		}
		if err := checkMachine(machine, z.Machine); err != nil {
			return z, err
		}
	} else {
		z.Machine = stage.Defaults(len(p.policy.Zones))
	}
	if beyond, there := fields["beyond"]; there {
		if z.Beyond, err = p.prefixes(beyond, "beyond"); err != nil {
			return z, err
		}
	}
	return z, nil
}

// prefixes reads addresses and networks, or groups of them.
func (p *parser) prefixes(node userfile.Node, key string) ([]netip.Prefix, error) {
	items, err := node.List(key)
	if err != nil {
		return nil, err
	}
	var list []netip.Prefix
	for _, item := range items {
		text, err := item.Text(key)
		if err != nil {
			return nil, err
		}
		if group, known := p.addresses[text]; known {
			list = append(list, group...)
			continue
		}
		prefix, err := parsePrefix(text)
		if err != nil {
			return nil, item.Fault("%s: %v", key, err)
		}
		list = append(list, prefix)
	}
	if len(list) == 0 {
		return nil, node.Fault("%s: write at least one address, or leave it out", key)
	}
	return list, nil
}

// groups are ports or addresses by name.
func (p *parser) groups(node userfile.Node) error {
	pairs, err := node.Pairs("groups", "with a name each")
	if err != nil {
		return err
	}
	for _, pair := range pairs {
		texts, err := pair.Value.Texts(pair.Key)
		if err != nil {
			return err
		}
		if _, err := parsePrefix(pair.Key); err == nil || portLike(pair.Key) {
			return pair.At.Fault("group %s: write a name that is no port and no address", pair.Key)
		}
		if ports, err := portset.Parse(strings.Join(texts, ",")); err == nil {
			p.ports[pair.Key] = ports
			continue
		}
		if p.addresses[pair.Key], err = p.prefixes(pair.Value, pair.Key); err != nil {
			return pair.Value.Fault("group %s: write ports, or addresses and networks", pair.Key)
		}
	}
	return nil
}

func portLike(text string) bool { _, err := portset.Parse(text); return err == nil }

// addOutside gives a policy that names no zones the one outside.
func (p *parser) addOutside() {
	if len(p.policy.Zones) == 0 {
		p.policy.Zones = []Zone{{Zone: stage.Zone{Name: firewall.Outside, Interface: "eth0", Machine: stage.Defaults(0)}}}
	}
}

// zoneNames are those that packets come from.
func (p *Policy) zoneNames() []string {
	names := []string{firewall.Loopback}
	for _, z := range p.Zones {
		names = append(names, z.Name)
	}
	return names
}

func (p *parser) defaults(node userfile.Node) error {
	if !node.IsList() {
		return node.Fault("defaults: write a list, each beginning with `- from:`")
	}
	for _, item := range node.Items() {
		fields, err := item.Mapping("a default", defaultKeys...)
		if err != nil {
			return err
		}
		d := Default{To: Machine, Line: item.Line()}
		for _, key := range defaultKeys {
			value, there := fields[key]
			switch {
			case !there && key == "to":
				continue
			case !there:
				return item.Fault("%q is missing from the default", key)
			}
			text, err := value.Text(key)
			if err != nil {
				return err
			}
			switch key {
			case "from":
				d.From = text
				err = p.known(text, p.policy.zoneNames())
			case "to":
				d.To = text
				err = p.known(text, append([]string{Machine}, p.policy.zoneNames()[1:]...))
			case "verdict":
				d.Verdict, err = parseVerdict(text)
			}
			if err != nil {
				return value.Fault("%s: %v", key, err)
			}
		}
		for _, other := range p.policy.Defaults {
			if other.From == d.From && other.To == d.To {
				return item.Fault("the default from %s to %s stands in line %d already", d.From, d.To, other.Line)
			}
		}
		p.policy.Defaults = append(p.policy.Defaults, d)
	}
	return nil
}

func (p *parser) known(name string, names []string) error {
	if !slices.Contains(names, name) {
		return fmt.Errorf("there is no zone %q: write one of %s", name, strings.Join(names, ", "))
	}
	return nil
}

// parseVerdict reads "accept", "drop", "reject", "reject with …", or several
// with "or" between them.
func parseVerdict(text string) (Wanted, error) {
	w := Wanted{Text: text}
	for one := range strings.SplitSeq(text, " or ") {
		one = strings.TrimSpace(one)
		kind, rejects := strings.CutPrefix(one, "reject")
		switch {
		case one == "accept" || one == "drop":
			w.Any = append(w.Any, verdict.Verdict{Action: verdict.Action(one)})
			continue
		case rejects && kind == "":
			w.Any = append(w.Any, verdict.Verdict{Action: verdict.Reject})
			continue
		case rejects:
			if kind, rejects = strings.CutPrefix(strings.TrimSpace(kind), "with "); rejects && knownKind(kind) {
				w.Any = append(w.Any, verdict.Verdict{Action: verdict.Reject, Kind: verdict.Kind(kind)})
				continue
			}
		}
		return Wanted{}, fmt.Errorf("%q: write accept, drop, reject, or reject with one of %s", one, strings.Join(kinds(), ", "))
	}
	return w, nil
}

func kinds() []string {
	names := []string{string(verdict.TCPReset)}
	for _, k := range verdict.ICMPKinds() {
		names = append(names, string(k.Kind))
	}
	return names
}

func knownKind(kind string) bool { return slices.Contains(kinds(), kind) }

// number reads one from 1 to a most.
func number(text string, most int) (uint16, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%q: write a number from 1 to %d", text, most)
	}
	return uint16(n), nil
}

// states are those that can be asked about.
var states = []sweep.State{sweep.New, sweep.Established, sweep.Related, sweep.Invalid}

func parseFamilies(text string) ([]sock.Family, error) {
	switch text {
	case "both":
		return []sock.Family{sock.IPv4, sock.IPv6}, nil
	case "ipv4":
		return []sock.Family{sock.IPv4}, nil
	case "ipv6":
		return []sock.Family{sock.IPv6}, nil
	}
	return nil, fmt.Errorf("%q: write ipv4, ipv6 or both", text)
}
