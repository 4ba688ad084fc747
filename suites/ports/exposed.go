package ports

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/exposure"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/listeners"
	"github.com/loopcheck/loopcheck/probe/services"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("keeps databases and caches that ask no password off the network", check.Check{
	ID: "PORT-016", Grade: check.GradeAdvice, OS: "linux",
	Source: "the protocol and documentation of each service",
	Asks:   "Looks for databases, caches, queues and key-value stores, by their process or port, that listen on another address than a loopback one. Each that it knows how to ask (Redis, memcached, PostgreSQL, MySQL, MongoDB, Elasticsearch, etcd) is sent, over the machine's own addresses on a network, one request that changes nothing and that a stranger should be refused. A machine without such an address, or with a service that asks who is there, passes.",
	Why:    "Whoever reaches a database that asks for no password is its administrator. Scanners find one within hours of its coming up; the data is copied, and often deleted for a ransom.",
	Causes: []string{
		"a default of the service or of its container image that listens on 0.0.0.0",
		"a published container port without an address (-p 6379:6379 in the place of -p 127.0.0.1:6379:6379)",
		"authentication or a protected mode that was switched off for a test",
	},
	Remedies: []string{
		"bind it to loopback by the setting that stands in the message, and restart it",
		"where others have to reach it, have it ask for a password: `loopcheck ports audit --probe` shows the setting",
	},
}, func(ctx SpecContext) {
	others, err := iface.Others()
	Expect(err).NotTo(HaveOccurred())
	if len(others) == 0 {
		spec.Evidence("other addresses", "the machine has none: nobody but itself reaches what listens on it")
		return
	}
	list, err := listeners.Read(ctx)
	Expect(err).NotTo(HaveOccurred())
	var open []string
	for _, s := range exposure.OffLoopback(list.Listeners) {
		if s.Protocol != "tcp" || !s.KeepsData() || !s.Service.CanAsk() {
			continue
		}
		if seen, over, is := asksNobody(ctx, s, others); is {
			open = append(open, fmt.Sprintf("%s, %s, answered %s over %s; it is bound to loopback by: %s", s.Label(), s.Listener, seen.Asked, over, s.Service.Bind))
		}
	}
	Expect(some(open, "\n")).To(BeEmpty(), "services on the network that answer anybody")
})

// asksNobody says over which address a service answers without knowing who is
// there.
func asksNobody(ctx context.Context, s exposure.Service, others []iface.Own) (seen services.Greeting, over iface.Own, is bool) {
	GinkgoHelper()
	for _, other := range slices.DeleteFunc(slices.Clone(others), func(o iface.Own) bool { return !s.Takes(o.Addr) }) {
		to := netip.AddrPortFrom(other.Addr, s.Port)
		greeting, err := s.Service.Ask(ctx, to)
		Expect(ctx.Err()).NotTo(HaveOccurred())
		switch {
		case err != nil:
			spec.Evidence(s.Label(), "%s", err)
		case greeting.Openness == services.Open:
			return greeting, other, true
		default:
			spec.Evidence(s.Label(), "%v: %s: asked %s, answered %s", to, greeting.Openness, greeting.Asked, strings.TrimSpace(greeting.Seen))
		}
	}
	return services.Greeting{}, iface.Own{}, false
}
