package ruleset

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// built is a rule of some expressions.
func built(t testing.TB, list ...expression) nfnl.Attributes {
	t.Helper()
	var elements nfnl.Attributes
	for _, e := range list {
		data := encoded(t, e.data)
		element := nfnl.Attributes{}.With(expressionName, zeroEnded(e.name)).With(expressionData|netlink.Nested, data)
		elements = append(elements, netlink.Attribute{Type: listElement | netlink.Nested, Data: encoded(t, element)})
	}
	return nfnl.Attributes{}.With(ruleTable, zeroEnded("t")).With(ruleChain, zeroEnded("c")).
		With(ruleExpressions|netlink.Nested, encoded(t, elements))
}

func encoded(t testing.TB, a nfnl.Attributes) []byte {
	t.Helper()
	b, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func number32(pairs ...uint32) nfnl.Attributes {
	var a nfnl.Attributes
	for i := 0; i < len(pairs); i += 2 {
		a = a.WithUint32(uint16(pairs[i]), pairs[i+1])
	}
	return a
}

func comparison(t testing.TB, register, operation uint32, value ...byte) expression {
	data := encoded(t, nfnl.Attributes{}.With(dataValue, value))
	return expression{"cmp", number32(cmpRegister, register, cmpOperation, operation).With(cmpData|netlink.Nested, data)}
}

func TestCompat(t *testing.T) {
	match := expression{"match", nfnl.Attributes{}.With(matchName, zeroEnded("multiport"))}
	protocol := expression{"meta", number32(metaRegister, 1, metaKey, keyProtocol)}
	mark := expression{"meta", number32(metaRegister, 1, metaKey, 3)}
	header := func(offset uint32) expression {
		return expression{"payload", number32(payloadRegister, 1, payloadBase, networkBase, payloadOffset, offset, payloadLength, 1)}
	}
	for _, c := range []struct {
		name     string
		family   uint8
		list     []expression
		protocol uint32
		inverted bool
		needed   bool
	}{
		{"no match", nfnl.FamilyIPv4, []expression{protocol, comparison(t, 1, cmpEqual, 6)}, 6, false, false},
		{"by meta", nfnl.FamilyIPv4, []expression{protocol, comparison(t, 1, cmpEqual, 6), match}, 6, false, true},
		{"inverted", nfnl.FamilyIPv4, []expression{protocol, comparison(t, 1, cmpUnequal, 17), match}, 17, true, true},
		{"by IPv4's header", nfnl.FamilyIPv4, []expression{header(9), comparison(t, 1, cmpEqual, 6), match}, 6, false, true},
		{"by IPv6's header", nfnl.FamilyIPv6, []expression{header(6), comparison(t, 1, cmpEqual, 6), match}, 6, false, true},
		{"another byte of the header", nfnl.FamilyIPv4, []expression{header(6), comparison(t, 1, cmpEqual, 6), match}, 0, false, false},
		{"another value", nfnl.FamilyIPv4, []expression{mark, comparison(t, 1, cmpEqual, 6), match}, 0, false, false},
		{"another register", nfnl.FamilyIPv4, []expression{protocol, comparison(t, 2, cmpEqual, 6), match}, 0, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			protocol, inverted, needed := compat(expressions(built(t, c.list...)), c.family)
			if protocol != c.protocol || inverted != c.inverted || needed != c.needed {
				t.Errorf("got %d, %v, %v", protocol, inverted, needed)
			}
		})
	}
}

func TestReferences(t *testing.T) {
	verdict := encoded(t, nfnl.Attributes{}.WithUint32(1, 1).With(verdictChain, zeroEnded("there")))
	data := encoded(t, nfnl.Attributes{}.With(dataVerdict|netlink.Nested, verdict))
	rule := built(
		t,
		expression{"lookup", nfnl.Attributes{}.With(lookupSet, zeroEnded("looked"))},
		expression{"dynset", nfnl.Attributes{}.With(dynsetSet, zeroEnded("added"))},
		expression{"objref", nfnl.Attributes{}.With(objrefSet, zeroEnded("mapped"))},
		expression{"objref", nfnl.Attributes{}.With(2, zeroEnded("object"))},
		expression{"flow_offload", nfnl.Attributes{}.With(flowtableOffl, zeroEnded("fast"))},
		expression{"immediate", nfnl.Attributes{}.With(immediateData|netlink.Nested, data)},
		expression{"unheardof", nil},
	)
	want := references{sets: []string{"looked", "added", "mapped"}, chains: []string{"there"}, flowtables: []string{"fast"}}
	got := Rule{Attributes: encoded(t, rule)}.refersTo()
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(references{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// This kernel may have no flowtables, so that what becomes of them is asked of
// the plan.
func TestPlanLeavesOutFlowtables(t *testing.T) {
	devs, err := deviceList([]string{"eth0"})
	if err != nil {
		t.Fatal(err)
	}
	hook := encoded(t, nfnl.Attributes{}.With(flowtableDevs|netlink.Nested, devs))
	offload := expression{"flow_offload", nfnl.Attributes{}.With(flowtableOffl, zeroEnded("fast"))}
	verdict := encoded(t, nfnl.Attributes{}.WithUint32(1, 1))
	accept := expression{"immediate", nfnl.Attributes{}.With(immediateData|netlink.Nested, verdict)}
	source := &Ruleset{Tables: []Table{{
		Family: "inet", Name: "t", Attributes: encoded(t, nfnl.Attributes{}.With(tableName, zeroEnded("t"))),
		Flowtables: []Flowtable{{
			Name: "fast", Devices: []string{"eth0"},
			Attributes: encoded(t, nfnl.Attributes{}.With(flowtableName, zeroEnded("fast")).With(flowtableHook|netlink.Nested, hook)),
		}},
		Chains: []Chain{{
			Name: "c", Attributes: encoded(t, nfnl.Attributes{}.With(chainName, zeroEnded("c"))),
			Rules: []Rule{{Handle: 5, Attributes: encoded(t, built(t, offload))}, {Handle: 6, Attributes: encoded(t, built(t, accept))}},
		}},
	}}}
	for _, c := range []struct {
		name       string
		interfaces map[string]uint32
		units      int
		omitted    []Refusal
	}{
		{"there", map[string]uint32{"eth0": 4}, 5, nil},
		{"not there", map[string]uint32{"lo": 1}, 3, []Refusal{
			{Kind: "flowtable", Family: "inet", Table: "t", Name: "fast", Why: "there is no interface eth0"},
			{Kind: "rule", Family: "inet", Table: "t", Name: "c", Handle: 5, Why: "its flowtable fast is left out"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := makePlan(source, c.interfaces)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.omitted, p.copied.Omitted); diff != "" || len(p.units) != c.units {
				t.Errorf("%d messages; left out (-want +got):\n%s", len(p.units), diff)
			}
		})
	}
}

func TestTransactionsKeepUnitsTogether(t *testing.T) {
	message := func(size int) unit { return unit{messages: []nfnl.Message{{Attributes: make([]byte, size)}}} }
	p := plan{units: []unit{message(100), message(100), {messages: append(message(60).messages, message(60).messages...)}, message(500), message(1)}}
	var got []int
	for _, transaction := range p.transactions(300) {
		got = append(got, len(transaction.messages))
	}
	if diff := cmp.Diff([]int{2, 2, 1, 1}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzRule takes a rule's attributes through all that is done with them.
func FuzzRule(f *testing.F) {
	f.Add(encoded(f, built(f,
		expression{"meta", number32(metaRegister, 1, metaKey, keyIn)},
		comparison(f, 1, cmpEqual, 3, 0, 0, 0),
		expression{"match", nfnl.Attributes{}.With(matchName, zeroEnded("comment")).With(matchInfo, []byte("hi\x00"))},
		expression{"exthdr", nfnl.Attributes{}.WithUint32(exthdrSource, 1).WithUint32(exthdrFlags, 0)},
	).With(ruleUserdata, []byte("\x00\x03hi\x00"))))
	f.Add([]byte{5, 0, 4, 0, 1})
	f.Add([]byte{8, 0, 7, 0, 0, 255, 'x', 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := nfnl.Parse(data)
		if err != nil {
			return
		}
		comment(a)
		name := nfnl.Attributes{}.With(tableName, zeroEnded("t"))
		chain := Chain{Name: "c", Attributes: encoded(t, nfnl.Attributes{}.With(chainName, zeroEnded("c"))), Rules: []Rule{{Handle: 1, Attributes: data}}}
		set := Set{Name: "s", Attributes: data, Elements: [][]byte{data}}
		source := &Ruleset{
			Interfaces: map[string]uint32{"eth0": 3, "lo": 1},
			Tables: []Table{{
				Family: "ip", Name: "t", Attributes: encoded(t, name), Chains: []Chain{chain}, Sets: []Set{set},
				Objects: []Object{{Attributes: data}}, Flowtables: []Flowtable{{Attributes: data}},
			}},
		}
		source.name(nil)
		text, err := json.Marshal(source)
		if err != nil {
			t.Fatal(err)
		}
		var back Ruleset
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(back.Tables[0].Chains[0].Rules[0].Attributes, data) {
			t.Error("the attributes changed on their way")
		}
		p, err := makePlan(&back, map[string]uint32{"lo": 1, "eth0": 7})
		if err != nil {
			return
		}
		p.transactions(1 << 10)
	})
}
