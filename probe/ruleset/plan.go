package ruleset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// unit is what has to be in one transaction: sets and chains that are parts of
// a rule do not outlive one without it.
type unit struct {
	messages []nfnl.Message
	about    []Refusal
}

func (u unit) size() (bytes int) {
	for _, m := range u.messages {
		bytes += m.Size()
	}
	return bytes
}

// plan is a ruleset on its way to another namespace.
type plan struct {
	source *Ruleset
	// interfaces are those of the other namespace.
	interfaces map[string]uint32
	units      []unit
	copied     Copy
	sets       uint32
	// order are the original handles of the rules of each chain that are
	// loaded, by "family table chain".
	order map[string][]uint64
}

// elementBytes bounds the elements in one message: they are one attribute.
const elementBytes = 48 << 10

// makePlan says how to load a ruleset where there are these interfaces. The
// order is the one in which the kernel can take the parts: whatever is named by
// another comes before it, and elements come before the rules that use their
// set, after which a constant set takes none.
func makePlan(source *Ruleset, interfaces map[string]uint32) (*plan, error) {
	p := &plan{source: source, interfaces: interfaces, order: map[string][]uint64{}}
	for _, t := range source.Tables {
		if err := p.addTable(t); err != nil {
			return nil, fmt.Errorf("table %s %s: %w", t.Family, t.Name, err)
		}
	}
	return p, nil
}

func (p *plan) addTable(t Table) error {
	family, known := nfnl.FamilyNumber(t.Family)
	if !known {
		return fmt.Errorf("unknown family %q", t.Family)
	}
	a, err := nfnl.Parse(t.Attributes)
	if err != nil {
		return err
	}
	// An owner is a socket, here one that is closed after loading, and only
	// owned tables can persist.
	flags := a.Uint32(tableFlags) &^ (flagOwner | flagPersist)
	a = a.Without(tableUse, tableHandle, tablePad, tableOwner).WithUint32(tableFlags, flags)
	if err := p.add(nfnl.NewTable, family, netlink.Excl, a, Refusal{Kind: "table"}, t); err != nil {
		return err
	}
	left := p.leaveOut(t)
	for _, step := range []func(uint8, Table, *leftOut) error{
		p.addChains, p.addObjects, p.addFlowtables, p.addSets, p.addRules,
	} {
		if err := step(family, t, left); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) add(kind, family uint8, flags netlink.HeaderFlags, a nfnl.Attributes, about Refusal, t Table) error {
	u := unit{}
	err := u.add(kind, family, flags, a, about, t)
	p.units = append(p.units, u)
	return err
}

func (u *unit) add(kind, family uint8, flags netlink.HeaderFlags, a nfnl.Attributes, about Refusal, t Table) error {
	b, err := a.Encode()
	if err != nil {
		return err
	}
	about.Family, about.Table = t.Family, t.Name
	u.messages = append(u.messages, nfnl.Message{Type: kind, Family: family, Flags: netlink.Create | flags, Attributes: b})
	u.about = append(u.about, about)
	return nil
}

// transactions packs the units, in order, into as few as there is room for.
func (p *plan) transactions(room int) []unit {
	var packed []unit
	size := 0
	for _, u := range p.units {
		more := u.size()
		if len(packed) == 0 || size+more > room {
			packed = append(packed, unit{})
			size = 0
		}
		last := &packed[len(packed)-1]
		last.messages = append(last.messages, u.messages...)
		last.about = append(last.about, u.about...)
		size += more
	}
	return packed
}

// leftOut is what of a table is not loaded.
type leftOut struct {
	chains, sets, flowtables map[string]bool
	rules                    map[uint64]bool
}

// leaveOut finds what names interfaces that are not there, and what goes with
// it.
func (p *plan) leaveOut(t Table) *leftOut {
	left := &leftOut{map[string]bool{}, map[string]bool{}, map[string]bool{}, map[uint64]bool{}}
	omit := func(kind, name string, handle uint64, why string) {
		p.copied.Omitted = append(p.copied.Omitted, Refusal{kind, t.Family, t.Name, name, handle, why})
	}
	for _, f := range t.Flowtables {
		if there := p.there(f.Devices); len(there) == 0 && len(f.Devices) > 0 {
			left.flowtables[f.Name] = true
			omit("flowtable", f.Name, 0, noInterface(f.Devices))
		}
	}
	for _, c := range t.Chains {
		if c.Base != nil && len(c.Base.Devices) > 0 && len(p.there(c.Base.Devices)) == 0 {
			left.chains[c.Name] = true
			omit("chain", c.Name, 0, noInterface(c.Base.Devices))
		}
	}
	for changed := true; changed; {
		changed = false
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				if left.rules[r.Handle] {
					continue
				}
				refers := r.refersTo()
				gone := slices.IndexFunc(refers.flowtables, func(name string) bool { return left.flowtables[name] })
				switch {
				case left.chains[c.Name]:
				case gone >= 0:
					omit("rule", c.Name, r.Handle, "its flowtable "+refers.flowtables[gone]+" is left out")
				default:
					continue
				}
				left.rules[r.Handle] = true
				changed = true
				// What is a part of the rule goes with it.
				for _, name := range refers.chains {
					if slices.ContainsFunc(t.Chains, func(c Chain) bool { return c.Name == name && c.Bound }) {
						left.chains[name] = true
					}
				}
				for _, name := range refers.sets {
					if slices.ContainsFunc(t.Sets, func(s Set) bool { return s.Name == name && s.Anonymous }) {
						left.sets[name] = true
					}
				}
			}
		}
	}
	return left
}

func noInterface(names []string) string {
	return "there is no interface " + strings.Join(names, ", ")
}

// there are those of the names that the other namespace has. One that stands
// for many is kept: it need not match any.
func (p *plan) there(names []string) []string {
	var there []string
	for _, name := range names {
		if _, found := p.interfaces[name]; found || strings.HasSuffix(name, "*") {
			there = append(there, name)
		}
	}
	return there
}

// narrowed is a hook with the devices that are there.
func (p *plan) narrowed(hook nfnl.Attributes, names []string, attribute uint16) (nfnl.Attributes, error) {
	list, err := deviceList(p.there(names))
	if err != nil {
		return nil, err
	}
	return append(hook.Without(hookDevice, attribute), netlink.Attribute{Type: attribute | netlink.Nested, Data: list}), nil
}

func (p *plan) addChains(family uint8, t Table, left *leftOut) error {
	for _, c := range t.Chains {
		if left.chains[c.Name] || c.Bound {
			continue
		}
		a, err := nfnl.Parse(c.Attributes)
		if err != nil {
			return err
		}
		about := Refusal{Kind: "chain", Name: c.Name}
		flags := a.Uint32(chainFlags)
		a = a.Without(chainHandle, chainUse, chainPad, chainFlags)
		if flags&flagOffload != 0 && c.Base != nil {
			p.change("chain", t, c.Name, 0, "is not offloaded to hardware")
		}
		if c.Base != nil && len(c.Base.Devices) > 0 {
			if there := p.there(c.Base.Devices); len(there) < len(c.Base.Devices) {
				p.change("chain", t, c.Name, 0, "is on "+strings.Join(there, ", ")+" only, of "+strings.Join(c.Base.Devices, ", "))
			}
			hook, err := p.narrowed(a.Nested(chainHook), c.Base.Devices, hookDevices)
			if err != nil {
				return err
			}
			b, err := hook.Encode()
			if err != nil {
				return err
			}
			a = a.With(chainHook, b)
		}
		if err := p.add(nfnl.NewChain, family, 0, a, about, t); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) change(kind string, t Table, name string, handle uint64, why string) {
	p.copied.Changed = append(p.copied.Changed, Refusal{kind, t.Family, t.Name, name, handle, why})
}

func (p *plan) addObjects(family uint8, t Table, _ *leftOut) error {
	for _, o := range t.Objects {
		a, err := nfnl.Parse(o.Attributes)
		if err != nil {
			return err
		}
		a = a.Without(objectUse, objectHandle, objectPad)
		if err := p.add(nfnl.NewObject, family, netlink.Excl, a, Refusal{Kind: "object", Name: o.Name}, t); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) addFlowtables(family uint8, t Table, left *leftOut) error {
	for _, f := range t.Flowtables {
		if left.flowtables[f.Name] {
			continue
		}
		a, err := nfnl.Parse(f.Attributes)
		if err != nil {
			return err
		}
		if there := p.there(f.Devices); len(there) < len(f.Devices) {
			p.change("flowtable", t, f.Name, 0, "is on "+strings.Join(there, ", ")+" only, of "+strings.Join(f.Devices, ", "))
		}
		hook, err := p.narrowed(a.Nested(flowtableHook), f.Devices, flowtableDevs)
		if err != nil {
			return err
		}
		b, err := hook.Encode()
		if err != nil {
			return err
		}
		a = a.Without(flowtableUse, flowtableHandle, flowtablePad).With(flowtableHook, b)
		if err := p.add(nfnl.NewFlowtable, family, netlink.Excl, a, Refusal{Kind: "flowtable", Name: f.Name}, t); err != nil {
			return err
		}
	}
	return nil
}

// addSets adds those that are no parts of rules. Maps may lead to any chain.
func (p *plan) addSets(family uint8, t Table, left *leftOut) error {
	for _, s := range t.Sets {
		if s.Anonymous || left.sets[s.Name] {
			continue
		}
		var u unit
		if err := p.addSet(&u, family, t, s); err != nil {
			return err
		}
		for i := range u.messages {
			p.units = append(p.units, unit{u.messages[i : i+1], u.about[i : i+1]})
		}
	}
	return nil
}

// addSet adds a set and its elements.
func (p *plan) addSet(u *unit, family uint8, t Table, s Set) error {
	a, err := nfnl.Parse(s.Attributes)
	if err != nil {
		return err
	}
	flags := a.Uint32(setFlags)
	p.sets++
	a = a.Without(setHandle, setPad, setType, setCount).WithUint32(setID, p.sets)
	if err := u.add(nfnl.NewSet, family, netlink.Excl, a, Refusal{Kind: "set", Name: s.Name}, t); err != nil {
		return err
	}
	elements, err := p.translateElements(s, t, a.Uint32(setKeyType))
	if err != nil {
		return err
	}
	// The kernel lists intervals from the highest down, the end of each before
	// its start, and takes them the other way round.
	if flags&flagInterval != 0 && flags&flagConcat == 0 {
		elements = slices.Clone(elements)
		slices.Reverse(elements)
	}
	for len(elements) > 0 {
		var page nfnl.Attributes
		for size := 0; len(elements) > 0; elements = elements[1:] {
			size += len(elements[0]) + 8
			if size > elementBytes && len(page) > 0 {
				break
			}
			page = append(page, netlink.Attribute{Type: listElement | netlink.Nested, Data: elements[0]})
		}
		list, err := page.Encode()
		if err != nil {
			return err
		}
		a := nfnl.Attributes{}.With(elementsTable, zeroEnded(t.Name)).With(elementsSet, zeroEnded(s.Name)).
			With(elementsList|netlink.Nested, list)
		if err := u.add(nfnl.NewElement, family, 0, a, Refusal{Kind: "elements", Name: s.Name}, t); err != nil {
			return err
		}
	}
	return nil
}
