// Package topology tells how the processors of this machine lie to one another,
// and finds two of them for the ends of a connection.
package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// CPU is a logical processor (Documentation/admin-guide/cputopology.rst).
type CPU struct {
	Number int
	Core   int    // the lowest processor on it; those of an equal Core and Socket are SMT siblings
	Socket int    // physical package
	LLC    string // processors that share the last-level cache, as a list such as "0-3"; empty where it is not told
	// Info is the processor's block of /proc/cpuinfo, by key.
	Info map[string]string
}

// Topology is the processors that this process may run on, by number.
type Topology struct {
	CPUs []CPU
}

// Placement says on which processors the two ends of a connection run.
type Placement string

const (
	// Free leaves it to the scheduler.
	Free Placement = "free"
	// SameCore is one logical processor for both.
	SameCore Placement = "same-core"
	// SMTSibling is two logical processors of one core.
	SMTSibling Placement = "smt-sibling"
	// SameLLC is two cores that share the last-level cache.
	SameLLC Placement = "same-llc"
	// CrossLLC is two cores of a package that do not, or of which it is not told
	// whether they do.
	CrossLLC Placement = "cross-llc"
	// CrossSocket is cores of two packages.
	CrossSocket Placement = "cross-socket"
	// CrossCore asks for the nearest other core: it is one of the three above.
	CrossCore Placement = "cross-core"
)

// placements are those that processors can have, the nearest first.
var placements = []Placement{SameCore, SMTSibling, SameLLC, CrossLLC, CrossSocket}

// Asked are all that may be asked for.
var Asked = []Placement{Free, SameCore, SMTSibling, CrossCore, SameLLC, CrossLLC, CrossSocket}

// Pair is the processors of two ends; both are -1 where they are free.
type Pair struct {
	Placement Placement `json:"placement"`
	Client    int       `json:"client"`
	Server    int       `json:"server"`
}

// Processors are the numbers of the pair's, each once; none where they are free.
func (p Pair) Processors() []int {
	switch {
	case p.Client < 0:
		return nil
	case p.Client == p.Server:
		return []int{p.Client}
	}
	return []int{p.Client, p.Server}
}

// UnavailableError says that the processors allow no such placement.
type UnavailableError struct {
	Placement Placement
	Available []Placement
}

func (e *UnavailableError) Error() string {
	var names []string
	for _, p := range e.Available {
		names = append(names, string(p))
	}
	return fmt.Sprintf("no two processors that may be used lie %s: there is %s", e.Placement, strings.Join(names, ", "))
}

// between is how two processors lie.
func between(a, b CPU) Placement {
	switch {
	case a.Number == b.Number:
		return SameCore
	case a.Socket != b.Socket:
		return CrossSocket
	case a.Core == b.Core:
		return SMTSibling
	case a.LLC == b.LLC && a.LLC != "":
		return SameLLC
	}
	return CrossLLC
}

// Placements are those that there are processors for, the nearest first, and
// Free.
func (t Topology) Placements() []Placement {
	available := []Placement{Free}
	for _, p := range placements {
		if _, found := t.find(p); found {
			available = append(available, p)
		}
	}
	return available
}

// Pair finds processors for a placement. The client's is the last there is, since
// the first of a machine usually has more interrupts to serve. It fails with an
// *UnavailableError.
func (t Topology) Pair(p Placement) (Pair, error) {
	if p == Free {
		return Pair{Free, -1, -1}, nil
	}
	asked := []Placement{p}
	if p == CrossCore {
		asked = []Placement{SameLLC, CrossLLC, CrossSocket}
	}
	for _, one := range asked {
		if pair, found := t.find(one); found {
			return pair, nil
		}
	}
	return Pair{}, &UnavailableError{p, t.Placements()}
}

func (t Topology) find(p Placement) (Pair, bool) {
	byNumber := slices.SortedFunc(slices.Values(t.CPUs), func(a, b CPU) int { return cmp.Compare(b.Number, a.Number) })
	for _, client := range byNumber {
		for _, server := range byNumber {
			if between(client, server) == p {
				return Pair{p, client.Number, server.Number}, true
			}
		}
	}
	return Pair{}, false
}
