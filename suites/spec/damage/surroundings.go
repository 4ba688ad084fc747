package damage

import (
	"slices"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
)

// WithoutIPv6 ends the test with an error unless, in sandboxes without IPv6, the checks
// that match a filter and need it are skipped for that reason, and the others pass.
func WithoutIPv6(t *testing.T, filter string) {
	t.Helper()
	off := []string{"sysctl -e -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"}
	for id, o := range OutcomesInside(t, nil, off, filter) {
		declared, _ := check.Lookup(id)
		switch needs := slices.Contains(declared.Needs, check.IPv6); {
		case needs && (o.State != check.Skip || !strings.Contains(o.Message, "IPv6")):
			t.Errorf("%s, which needs IPv6: %s: %s", id, o.State, o.Message)
		case !needs && o != Outcome{State: check.Pass}:
			t.Errorf("%s: %s: %s", id, o.State, o.Message)
		}
	}
}

// RefusedNamespaces ends the test with an error unless the checks that match a filter
// are skipped where there are no network namespaces, and say which setting refuses them.
func RefusedNamespaces(t *testing.T, filter string) {
	t.Helper()
	// The limit is that of the test's own user namespace.
	for id, o := range Outcomes(t, []string{"sysctl -w user.max_net_namespaces=0"}, filter) {
		if o.State != check.Skip || !strings.Contains(o.Message, "sysctl -w user.max_net_namespaces=10000") {
			t.Errorf("%s: %s: %s", id, o.State, o.Message)
		}
	}
}
