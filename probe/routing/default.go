package routing

import (
	"cmp"
	"slices"
)

// defaultOf is the interface of the default route that packets take: of the
// main table, the one that comes first.
func defaultOf(routes []Route) string {
	routes = slices.DeleteFunc(slices.Clone(routes), func(r Route) bool {
		return r.Table != mainTable || r.To.Bits() != 0 || r.Type != "unicast" || r.Interface == ""
	})
	if len(routes) == 0 {
		return ""
	}
	return slices.MinFunc(routes, func(a, b Route) int { return cmp.Compare(a.Priority, b.Priority) }).Interface
}
