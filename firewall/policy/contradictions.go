package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/userfile"
)

// contradictions finds two expectations of which no firewall fulfils both.
func (p *Policy) contradictions() error {
	for i, e := range p.Expectations {
		for _, other := range p.Expectations[:i] {
			if (e.Verdict.excludes(other.Verdict) || e.elsewhere(other)) && e.overlaps(other) {
				return &userfile.Error{Path: p.Path, Line: e.Line, Message: fmt.Sprintf("it says %s of packets of which line %d says %s: leave one out, or narrow it", e.outcome(), other.Line, other.outcome())}
			}
		}
	}
	return nil
}

// elsewhere says that packets which both are about cannot arrive where both say.
func (e Expectation) elsewhere(other Expectation) bool {
	return e.Arrives.IsValid() && other.Arrives.IsValid() && e.Arrives != other.Arrives && len(e.Verdict.Any) == 1 && len(other.Verdict.Any) == 1
}

// outcome is the verdict with where the packet arrives.
func (e Expectation) outcome() string {
	if e.Arrives.IsValid() {
		return e.Verdict.Text + " at " + e.Arrives.String()
	}
	return e.Verdict.Text
}

// overlaps says that some packet is one that both are about.
func (e Expectation) overlaps(other Expectation) bool {
	return e.From == other.From && e.To == other.To && e.Protocol == other.Protocol && e.State == other.State && e.Nth == other.Nth &&
		(e.SourcePort == 0 || other.SourcePort == 0 || e.SourcePort == other.SourcePort) &&
		slices.ContainsFunc(e.Families, func(f sock.Family) bool {
			return slices.Contains(other.Families, f) && meet(e.Sources, other.Sources, f) && meet(e.Destinations, other.Destinations, f)
		}) &&
		slices.ContainsFunc(e.Ports, func(r portset.Range) bool {
			return slices.ContainsFunc(other.Ports, func(o portset.Range) bool { return r.First <= o.Last && o.First <= r.Last })
		})
}

// meet says that addresses of a family have one in common. None are those of
// the zone, which others may be beside.
func meet(a, b []netip.Prefix, family sock.Family) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return slices.ContainsFunc(a, func(p netip.Prefix) bool {
		return p.Addr().Is6() == (family == sock.IPv6) && slices.ContainsFunc(b, func(o netip.Prefix) bool { return p.Overlaps(o) })
	})
}
