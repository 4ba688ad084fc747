package policy

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/probe/userfile/userfiletest"

	"github.com/loopcheck/loopcheck/probe/userfile"
)

// refusals are the messages for each policy in testdata/broken.
var refusals = map[string]string{
	"alias":                   "policy.yaml:3: groups: write the value itself, not an alias",
	"comment":                 "policy.yaml: it is empty: write `rules:` and `expect:`",
	"contradiction":           "policy.yaml:4: it says drop or reject of packets of which line 3 says accept: leave one out, or narrow it",
	"contradiction-arrives":   "policy.yaml:4: it says accept at 10.0.0.2:80 of packets of which line 3 says accept at 10.0.0.1:80: leave one out, or narrow it",
	"default-no-verdict":      `policy.yaml:3: "verdict" is missing from the default`,
	"default-to":              `policy.yaml:3: to: there is no zone "loopback": write one of machine, outside`,
	"default-twice":           "policy.yaml:4: the default from outside to machine stands in line 3 already",
	"default-unknown-key":     `policy.yaml:3: unknown key "protocol": write one of from, to, verdict`,
	"default-zone":            `policy.yaml:3: from: there is no zone "lan": write one of loopback, outside`,
	"defaults-text":           "policy.yaml:2: defaults: write a list, each beginning with `- from:`",
	"documents":               "policy.yaml: holds more than one document: write one",
	"empty":                   "policy.yaml: it is empty: write `rules:` and `expect:`",
	"expect-arrives":          `policy.yaml:6: arrives: "10.0.0.1": write an address and a port, such as 127.0.0.1:8080 or [::1]:8080`,
	"expect-arrives-drop":     "policy.yaml:4: arrives: the verdict has to be accept",
	"expect-arrives-family":   "policy.yaml:4: arrives: 10.0.0.1:80 is of another family",
	"expect-arrives-icmp":     "policy.yaml:4: arrives: icmp has no ports",
	"expect-arrives-port":     "policy.yaml:6: arrives: nothing arrives at 10.0.0.1:0: write an address and a port, such as 127.0.0.1:8080 or [::1]:8080",
	"expect-established":      "policy.yaml:4: ports: at most 4096 established connections are made at once: write fewer",
	"expect-family":           `policy.yaml:6: family: "inet": write ipv4, ipv6 or both`,
	"expect-family-icmpv6":    "policy.yaml:6: family: ipv4 is not what icmpv6 goes over: leave it out",
	"expect-mapping":          "policy.yaml:3: expect: write a list, each beginning with `- from:`",
	"expect-no-protocol":      `policy.yaml:4: "protocol" is missing from the expectation`,
	"expect-no-verdict":       `policy.yaml:4: "verdict" is missing from the expectation`,
	"expect-packet":           `policy.yaml:7: packet: "10001": write a number from 1 to 10000`,
	"expect-packet-ports":     "policy.yaml:4: packet: the expectation has to be about one port",
	"expect-packet-state":     "policy.yaml:4: packet: only new packets are counted",
	"expect-port":             `policy.yaml:6: ports: "https" is no port: write a number from 1 to 65535, or a range such as 1-1023, or the name of a group`,
	"expect-port-high":        "policy.yaml:6: ports: port 65536 is out of range: write a number from 1 to 65535, or the name of a group",
	"expect-ports-icmp":       "policy.yaml:6: ports: icmp has none: write types",
	"expect-ports-none":       "policy.yaml:6: ports: write at least one, or leave it out for all",
	"expect-protocol":         `policy.yaml:5: protocol: "sctp": write tcp, udp, icmp or icmpv6`,
	"expect-source":           `policy.yaml:5: source: "outsiders" is no address, network or group of them: write one such as 10.0.0.1, 10.0.0.0/8 or fd00::/8`,
	"expect-source-family":    "policy.yaml:4: source: no address is of a family that the expectation is about",
	"expect-source-none":      "policy.yaml:5: source: write at least one address, or leave it out",
	"expect-source-port":      `policy.yaml:6: source-port: "0": write a number from 1 to 65535`,
	"expect-source-port-icmp": "policy.yaml:4: source-port: icmp has no ports",
	"expect-state":            `policy.yaml:6: state: "relative": write new, established, related or invalid`,
	"expect-state-icmp":       "policy.yaml:4: state: of icmp only new and related are asked",
	"expect-state-loopback":   "policy.yaml:3: state: no datagram over loopback is invalid: its checksum is not looked at",
	"expect-to":               `policy.yaml:5: to: there is no zone "loopback": write one of machine, outside`,
	"expect-type":             `policy.yaml:6: types: "256" is no type of ICMPv6: write a number from 0 to 255, or one of destination-unreachable, echo-reply, echo-request, ind-neighbor-advert, ind-neighbor-solicit, mld-listener-done, mld-listener-query, mld-listener-report, mld2-listener-report, nd-neighbor-advert, nd-neighbor-solicit, nd-redirect, nd-router-advert, nd-router-solicit, packet-too-big, parameter-problem, router-renumbering, time-exceeded`,
	"expect-types-family":     "policy.yaml:6: types: they differ between the families: write `family: ipv4`, or `protocol: icmpv6`",
	"expect-types-tcp":        "policy.yaml:6: types: tcp has none: write ports",
	"expect-unknown-key":      `policy.yaml:6: unknown key "port": write one of name, from, source, to, destination, protocol, ports, types, source-port, state, family, packet, verdict, arrives`,
	"expect-verdict":          `policy.yaml:6: verdict: "deny": write accept, drop, reject, or reject with one of tcp-reset, icmp net-unreachable, icmp host-unreachable, icmp prot-unreachable, icmp port-unreachable, icmp net-prohibited, icmp host-prohibited, icmp admin-prohibited, icmpv6 no-route, icmpv6 admin-prohibited, icmpv6 addr-unreachable, icmpv6 port-unreachable, icmpv6 policy-fail, icmpv6 reject-route`,
	"expect-verdict-family":   "policy.yaml:4: verdict: reject with icmpv6 no-route is of another family",
	"expect-verdict-kind":     `policy.yaml:6: verdict: "reject with rst": write accept, drop, reject, or reject with one of tcp-reset, icmp net-unreachable, icmp host-unreachable, icmp prot-unreachable, icmp port-unreachable, icmp net-prohibited, icmp host-prohibited, icmp admin-prohibited, icmpv6 no-route, icmpv6 admin-prohibited, icmpv6 addr-unreachable, icmpv6 port-unreachable, icmpv6 policy-fail, icmpv6 reject-route`,
	"expect-verdict-reset":    "policy.yaml:4: verdict: udp is not rejected with tcp-reset: write tcp, or another verdict",
	"expect-zone":             `policy.yaml:3: from: there is no zone "wan": write one of loopback, outside`,
	"group-address":           "policy.yaml:3: group 10.0.0.1: write a name that is no port and no address",
	"group-mixed":             "policy.yaml:3: group web: write ports, or addresses and networks",
	"group-port":              "policy.yaml:3: group 22: write a name that is no port and no address",
	"no-expectation":          "policy.yaml:1: nothing is expected: write `expect:` and a list, or `defaults:`",
	"no-rules":                "policy.yaml:1: `rules:` is missing: write the file with the rules, or live for this machine's",
	"nothing-expected":        "policy.yaml:1: nothing is expected: write `expect:` and a list, or `defaults:`",
	"null":                    "policy.yaml:2: expected the policy as `key: value` lines with rules, zones, groups, expect, defaults",
	"rules-empty":             "policy.yaml:1: rules: write at least one file",
	"rules-live":              "policy.yaml:1: rules: live stands alone: leave out the files, or live",
	"rules-stdin":             "policy.yaml:1: rules: the standard input is not read: write a file, or live for this machine's rules",
	"syntax":                  "policy.yaml: line 1: did not find expected ',' or ']'",
	"text":                    "policy.yaml:1: expected the policy as `key: value` lines with rules, zones, groups, expect, defaults",
	"twice":                   `policy.yaml:2: "rules" is set twice`,
	"unknown-key":             `policy.yaml:2: unknown key "expects": write one of rules, zones, groups, expect, defaults`,
	"zone-address":            `policy.yaml:3: machine: "eth0" is no address, network or group of them: write one such as 10.0.0.1, 10.0.0.0/8 or fd00::/8`,
	"zone-beyond-everything":  "policy.yaml:3: zone outside: beyond: leave out 0.0.0.0/0: what goes nowhere else goes to the first zone",
	"zone-beyond-twice":       "policy.yaml:4: zone lan: beyond: 10.0.0.0/8 leads to zone outside already",
	"zone-interface":          `policy.yaml:3: interface: "all" is no name of an interface beside lo: 1 to 15 bytes without blanks, '/', ':' and '%'`,
	"zone-interface-twice":    "policy.yaml:4: zone lan: eth0 is the interface of zone outside already",
	"zone-loopback":           "policy.yaml:3: loopback is there without being named: leave it out",
	"zone-machine-large":      "policy.yaml:3: machine: 10.0.0.1/7 is too large a network for one cable: write a length of at least 8",
	"zone-machine-loopback":   "policy.yaml:3: machine: no interface has the address 127.0.0.1: write one such as 192.0.2.1/24",
	"zone-machine-network":    "policy.yaml:3: machine: 192.0.2.0/24 is the network or its broadcast address: write an address in it, such as 192.0.2.1/24",
	"zone-machine-no-room":    "policy.yaml:3: machine: 192.0.2.0/31 leaves no room for a host: write a length of at most 30",
	"zone-machine-none":       "policy.yaml:3: machine: write at least one address, or leave it out",
	"zone-machine-two":        "policy.yaml:3: machine: write one address of each family, and the others as `destination:`",
	"zone-name":               `policy.yaml:3: zone "out side": write a name of letters, digits, '_', '-' and '.', at most 64`,
	"zone-no-interface":       "policy.yaml:3: zone outside: `interface:` is missing: write the one that the rules name, such as eth0",
	"zone-overlap":            "policy.yaml:4: zone lan: its network 192.0.2.129/25 overlaps 192.0.2.1/24 of zone outside: write `machine:` with an address in another",
	"zone-unknown-key":        `policy.yaml:3: unknown key "interfaces": write one of interface, machine, beyond`,
}

func TestBrokenPoliciesAreRefused(t *testing.T) {
	paths, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		names = append(names, name)
		t.Run(name, func(t *testing.T) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Parse("policy.yaml", content)
			if err == nil {
				t.Fatalf("it was taken: %+v", p)
			}
			if got := err.Error(); got != refusals[name] {
				t.Errorf("got  %q\nwant %q", got, refusals[name])
			}
			if _, ok := errors.AsType[*userfile.Error](err); !ok {
				t.Errorf("the error is a %T", err)
			}
		})
	}
	slices.Sort(names)
	if want := slices.Sorted(maps.Keys(refusals)); !slices.Equal(names, want) {
		t.Errorf("the files are %q, the messages are about %q", names, want)
	}
}

func goodPolicies(t testing.TB) []string {
	paths, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no policies: %v", err)
	}
	return paths
}

func TestGoodPoliciesAreRead(t *testing.T) {
	for _, path := range goodPolicies(t) {
		p, err := ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, e := range p.Expectations {
			if e.Name == "" || e.Line == 0 || len(e.Ports) == 0 || len(e.Families) == 0 {
				t.Errorf("%s: %+v is not complete", path, e)
			}
		}
	}
}

func TestRulesStandBesideThePolicy(t *testing.T) {
	p, err := ReadFile(filepath.Join("testdata", "good", "lists.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join("testdata", "good", "iptables.rules"), "/etc/ip6tables.rules"}
	if !slices.Equal(p.Rules, want) {
		t.Errorf("got %q, want %q", p.Rules, want)
	}
}

func TestAPolicyWithoutZonesHasOutside(t *testing.T) {
	p, err := ReadFile(filepath.Join("testdata", "good", "minimal.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Zones) != 1 || p.Zones[0].Name != "outside" || p.Zones[0].Interface != "eth0" || len(p.Zones[0].Machine) != 2 {
		t.Errorf("got %+v", p.Zones)
	}
}

const schemaPath = "../../docs/policy.schema.json"

func TestGoodPoliciesFollowTheSchema(t *testing.T) {
	s := userfiletest.Schema(t, schemaPath)
	for _, path := range goodPolicies(t) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := userfiletest.Validate(t, s, content); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// What a schema can tell without knowing which names there are.
func TestTheSchemaRefusesToo(t *testing.T) {
	s := userfiletest.Schema(t, schemaPath)
	for _, name := range []string{
		"no-rules", "no-expectation", "rules-empty", "rules-stdin", "unknown-key", "expect-mapping", "defaults-text",
		"zone-loopback", "zone-name", "zone-unknown-key", "zone-no-interface", "zone-interface", "zone-machine-none",
		"expect-unknown-key", "expect-no-verdict", "expect-no-protocol", "expect-protocol", "expect-source-none", "expect-port-high",
		"expect-ports-none", "expect-type", "expect-source-port", "expect-state", "expect-family", "expect-packet", "expect-verdict",
		"expect-verdict-kind", "expect-arrives", "default-no-verdict", "default-unknown-key",
	} {
		content, err := os.ReadFile(filepath.Join("testdata", "broken", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if userfiletest.Validate(t, s, content) == nil {
			t.Errorf("the schema takes broken/%s.yaml", name)
		}
	}
}

func TestTheSchemaKnowsEveryKey(t *testing.T) {
	content, err := os.ReadFile(schemaPath)
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties map[string]json.RawMessage
		Required   []string
		Closed     *bool `json:"additionalProperties"`
	}
	var document struct {
		object
		Definitions map[string]json.RawMessage `json:"$defs"`
	}
	if err := json.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}
	objects := map[string]object{"": document.object}
	for _, name := range []string{"zone", "expectation", "default"} {
		var o object
		if err := json.Unmarshal(document.Definitions[name], &o); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		objects[name] = o
	}
	for name, keys := range map[string][]string{"": fileKeys, "zone": zoneKeys, "expectation": expectKeys, "default": defaultKeys} {
		got := slices.Sorted(maps.Keys(objects[name].Properties))
		if want := slices.Sorted(slices.Values(keys)); !slices.Equal(got, want) {
			t.Errorf("%q: the schema has the keys %q, the parser %q", name, got, want)
		}
		if closed := objects[name].Closed; closed == nil || *closed {
			t.Errorf("%q: the schema takes other keys", name)
		}
	}
}

func TestTheSchemaKnowsEveryVerdict(t *testing.T) {
	s := userfiletest.Schema(t, schemaPath)
	for _, verdict := range append([]string{"accept", "drop", "reject", "drop or reject"}, kinds()...) {
		if slices.Contains(kinds(), verdict) {
			verdict = "reject with " + verdict
		}
		content := "rules: a.nft\ndefaults: [{from: outside, verdict: " + verdict + "}]\n"
		if err := userfiletest.Validate(t, s, []byte(content)); err != nil {
			t.Errorf("%s: %v", verdict, err)
		}
		if _, err := Parse("policy.yaml", []byte(content)); err != nil {
			t.Error(err)
		}
	}
}

// The example of the page for users is a policy.
func TestThePageShowsAPolicy(t *testing.T) {
	page, err := os.ReadFile("../../docs/firewall.md")
	if err != nil {
		t.Fatal(err)
	}
	shown, err := os.ReadFile("testdata/good/complete.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```yaml\n"+string(shown)+"```\n") {
		t.Error("docs/firewall.md does not show testdata/good/complete.yaml")
	}
}

// Whatever stands in a file, the error is one line that names the file.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/broken/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		p, err := Parse("policy.yaml", content)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "policy.yaml:") || strings.Contains(err.Error(), "\n") {
				t.Fatalf("the error is %q", err)
			}
			return
		}
		if len(p.Rules) == 0 || len(p.Zones) == 0 || len(p.Expectations)+len(p.Defaults) == 0 {
			t.Fatalf("%+v says nothing", p)
		}
		for _, e := range p.Expectations {
			for _, family := range e.Families {
				for _, a := range append(p.sourceEnds(e.Sources, e.From, family), p.destinationEnds(e.Destinations, e.From, e.To, family)...) {
					if !a.IsValid() {
						t.Fatalf("%+v is about no address", e)
					}
				}
			}
		}
		p.owned()
	})
}
