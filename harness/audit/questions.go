package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

// checks stand in the order in which they are asked. They are put together when
// the program begins, because what answers them names them.
var checks []question

func init() {
	checks = []question{
		{check.Check{
			ID: "AUD-001", Suite: Suite.Name, Title: "has no listener beyond the allow-list", Grade: check.GradeFail,
			Source: "the allow-list",
			Asks:   "Lists every TCP listener and every unconnected UDP socket with its process and unit, and looks for a rule of the allow-list that allows it. UDP sockets on ephemeral ports are not counted: most are clients that wait for an answer.",
			Why:    "Whatever listens is a way in. A debug server that was left running, a package that starts a daemon when it is installed, or an intruder's backdoor shows here before anybody uses it.",
			Causes: []string{"a package or container was added", "a service was configured to listen on other addresses", "somebody runs a server of their own"},
			Remedies: []string{
				"end it: `systemctl disable --now UNIT`, or stop the process",
				"where it is meant to be, add the rule that the report shows to the allow-list",
			},
		}, beyond},
		{check.Check{
			ID: "AUD-002", Suite: Suite.Name, Title: "has a listener for every rule of the allow-list", Grade: check.GradeFail,
			Source: "the allow-list",
			Asks:   "Looks for a listener on each port of each rule that is not optional.",
			Why:    "A service that is meant to listen and does not is down, whatever its supervisor says; one that listens on loopback in the place of every interface answers its own health check and nobody else.",
			Causes: []string{"the service did not start, or ended", "it listens on another address or port than before", "another process has taken its port"},
			Remedies: []string{
				"`systemctl status UNIT` and `journalctl -u UNIT` say why it is not there",
				"where it may be missing, write `optional: true` into its rule",
			},
		}, missing},
		{check.Check{
			ID: "AUD-003", Suite: Suite.Name, Title: "keeps services that ought to be local on loopback", Grade: check.GradeAdvice,
			Source: "the documentation of each service",
			Asks:   "Recognises databases, caches, queues, debuggers, metrics and admin consoles by their process or port. For each that is bound to every interface, and that no rule of the allow-list names, it connects over the machine's other addresses, to see whether it really answers there.",
			Why:    "Many such services trust whoever reaches them. They are found by scanners within hours, and emptied.",
			Causes: []string{"a default of the service or of its container image that listens on 0.0.0.0", "a published container port without an address (-p 6379:6379 in the place of -p 127.0.0.1:6379:6379)"},
			Remedies: []string{
				"the setting that binds it to loopback, which stands in the message",
				"where it has to be reached, name it in an allow-list and have it ask who is there",
			},
		}, local},
		{check.Check{
			ID: "AUD-004", Suite: Suite.Name, Title: "has no ordinary user's server below port 1024 on every interface", Grade: check.GradeAdvice,
			Source: "Documentation/networking/ip-sysctl.rst, ip_unprivileged_port_start; capabilities(7), CAP_NET_BIND_SERVICE",
			Asks:   "Looks for listeners on wildcard addresses below port 1024 whose user is an ordinary one, from 1000 up but for nobody. Users below 1000 are those of services.",
			Why:    "What answers on a low port is taken for the machine's own service by whoever connects. A user who may listen there can pose as its web, mail or DNS server.",
			Causes: []string{"net.ipv4.ip_unprivileged_port_start was lowered", "the program was given CAP_NET_BIND_SERVICE, by setcap or a unit's AmbientCapabilities=", "rootless containers that publish low ports"},
			Remedies: []string{
				"`sysctl -w net.ipv4.ip_unprivileged_port_start=1024`; `getcap -r / 2>/dev/null` lists programs with capabilities",
				"run the server as a user of its own",
			},
		}, lowPorts},
		{check.Check{
			ID: "AUD-005", Suite: Suite.Name, Title: "has services that ask who is there before they answer", Grade: check.GradeFail,
			Source: "the protocol and documentation of each service",
			Asks:   "With --probe, sends each service that it knows how to ask (Redis, memcached, PostgreSQL, MySQL, MongoDB, Elasticsearch, Docker, etcd, Jupyter) one request that changes nothing and that a stranger should be refused. One that answers and can be reached over another address fails; one that answers on loopback alone warns, because every user and every web page's request forged against localhost may ask it too.",
			Why:    "Without authentication whoever reaches a service is its administrator: loopback keeps out other machines, not other users, containers on the host's network, or requests that a browser is led to make.",
			Causes: []string{"the service's default", "`trust` in pg_hba.conf, an empty password of root, security features switched off for a test"},
			Remedies: []string{
				"the setting that has it ask, which stands in the message",
			},
		}, greet},
	}
}

// needList is how to get an allow-list.
var needList = check.Need{
	Name: "an allow-list",
	How:  "record what listens today with `loopcheck ports audit --write allow.yaml`, read it, and give it with --allow allow.yaml",
}

func beyond(_ context.Context, a *auditor, c *report.Check) error {
	if a.options.Allow == nil {
		c.SkipFor(needList, "none was given")
		return nil
	}
	var strangers, unknown, passers []listeners.Listener
	allowed := 0
	for _, l := range a.list.Listeners {
		switch fit := a.options.Allow.allows(l); {
		case fit == yes:
			allowed++
		case fit == unseen:
			unknown = append(unknown, l)
		case passing(l, a.ephemeral):
			passers = append(passers, l)
		default:
			strangers = append(strangers, l)
		}
	}
	c.Note("allowed", "%s of %s", counted(allowed, "listener"), a.options.Allow.Path)
	if len(passers) > 0 {
		c.Note("UDP sockets on ephemeral ports, not counted", "%s", described(passers))
	}
	a.tellUnseen(c)
	if len(strangers) > 0 {
		today := Record(listeners.List{Listeners: strangers}, a.ephemeral)
		var rules []string
		for _, r := range today.Rules {
			rules = append(rules, r.YAML())
		}
		c.Note("rules that would allow them", "%s", strings.Join(rules, "\n"))
		c.Break(check.Fail, counted(len(strangers), "listener")+" that no rule of "+a.options.Allow.Path+" allows:", lines(strangers)...)
		return nil
	}
	if len(unknown) > 0 {
		c.Break(check.Inconclusive, "of "+counted(len(unknown), "listener")+" the process cannot be seen, which the allow-list asks for: run as root", lines(unknown)...)
	}
	return nil
}

func missing(_ context.Context, a *auditor, c *report.Check) error {
	if a.options.Allow == nil {
		c.SkipFor(needList, "none was given")
		return nil
	}
	var gone, unknown []string
	for _, r := range a.options.Allow.Rules {
		if r.Optional {
			continue
		}
		for port := range r.Ports.All() {
			best := no
			for _, l := range a.list.Listeners {
				if l.Port == port {
					best = max(best, r.allows(l))
				}
			}
			where := fmt.Sprintf("  %s:%d: %s %d on %s", a.options.Allow.Path, r.Line, r.Protocol, port, r.where())
			switch best {
			case no:
				gone = append(gone, where+wanted(r)+": "+a.instead(r, port))
			case unseen:
				unknown = append(unknown, where+wanted(r))
			}
		}
	}
	a.tellUnseen(c)
	switch {
	case len(gone) > 0:
		c.Break(check.Fail, fmt.Sprintf("%s of the allow-list without a listener:", counted(len(gone), "port")), gone...)
	case len(unknown) > 0:
		c.Break(check.Inconclusive, fmt.Sprintf("of %s of the allow-list the listener's process cannot be seen: run as root", counted(len(unknown), "port")), unknown...)
	}
	return nil
}

// wanted is whose the listener should be.
func wanted(r Rule) string {
	text := ""
	if r.Process != "" {
		text += ", process " + r.Process
	}
	if r.Unit != "" {
		text += ", unit " + r.Unit
	}
	return text
}

// instead is what was found in the place of what a rule asks for.
func (a *auditor) instead(r Rule, port uint16) string {
	var found []string
	for _, l := range a.list.Listeners {
		if l.Port == port && l.Protocol == r.Protocol {
			found = append(found, describe(l))
		}
	}
	if len(found) == 0 {
		return "nobody listens on the port"
	}
	return "there is " + strings.Join(found, "; ")
}

func lowPorts(_ context.Context, a *auditor, c *report.Check) error {
	const lowestUser, nobody = 1000, 65534 // login.defs(5), UID_MIN; the kernel's overflow user
	var found []listeners.Listener
	for _, l := range a.list.Listeners {
		if l.Port < 1024 && l.Scope == listeners.Every && l.UID >= lowestUser && l.UID != nobody && !a.named(l) {
			found = append(found, l)
		}
	}
	if len(found) > 0 {
		c.Break(check.Warn, counted(len(found), "listener")+" of ordinary users below port 1024 on every interface:", lines(found)...)
	}
	return nil
}

// named says whether the allow-list names a listener.
func (a *auditor) named(l listeners.Listener) bool {
	return a.options.Allow != nil && a.options.Allow.allows(l) != no
}

func (a *auditor) tellUnseen(c *report.Check) {
	if len(a.list.Unseen) > 0 {
		c.Note("not seen", "%s", strings.Join(a.list.Unseen, "\n"))
	}
}

func lines(all []listeners.Listener) []string {
	texts := make([]string, len(all))
	for i, l := range all {
		texts[i] = "  " + describe(l)
	}
	return texts
}

func described(all []listeners.Listener) string {
	texts := make([]string, 0, len(all))
	for _, l := range all {
		texts = append(texts, describe(l))
	}
	return strings.Join(slices.Compact(texts), "\n")
}
