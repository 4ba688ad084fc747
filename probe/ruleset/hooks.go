package ruleset

import (
	"cmp"
	"slices"
	"strings"
)

// Hooks by number, in each family (linux/netfilter.h and its like for arp,
// bridge and netdev).
var (
	ipHooks     = []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}
	arpHooks    = []string{"input", "output", "forward"}
	netdevHooks = []string{"ingress", "egress"}
)

func hookName(family string, number uint32) string {
	names := ipHooks
	switch family {
	case "arp":
		names = arpHooks
	case "netdev":
		names = netdevHooks
	}
	if int(number) < len(names) {
		return names[number]
	}
	return ""
}

func policyName(number uint32) string {
	if number == 0 {
		return "drop"
	}
	return "accept"
}

// loopbackHooks are those that a packet from the machine to itself meets, in
// order: on its way out, and on its way in.
var loopbackHooks = []string{"output", "postrouting", "egress", "ingress", "prerouting", "input"}

// Hook is a chain that packets over lo come to.
type Hook struct {
	// Hook is output, postrouting, egress, ingress, prerouting or input.
	Hook     string `json:"hook"`
	Priority int32  `json:"priority"`
	// Family is that of the table. In inet it is for both ip and ip6; in netdev
	// for whatever passes the interface.
	Family string `json:"family"`
	Table  string `json:"table"`
	Chain  string `json:"chain"`
	// Type is filter, nat or route. A nat chain sees the first packet of a
	// connection only.
	Type string `json:"type"`
	// Policy is accept or drop.
	Policy string `json:"policy"`
	// Rules is how many rules the chain has, without those of other chains that
	// it jumps to.
	Rules int `json:"rules"`
	// Legacy says that it is a chain of iptables-legacy.
	Legacy bool `json:"legacy,omitempty"`
	// Idle says that the chain can do nothing to any packet: it has no rules,
	// and accepts.
	Idle bool `json:"idle,omitempty"`
}

// Loopback lists the chains that a packet over lo meets, in the order in which
// it meets them: by hook, then by priority. Chains of a dormant table are left
// out. Those of one hook and priority come in the order of the kernel's list,
// which need not be that of the packets.
//
// Connection tracking, programs of BPF, and the hooks of other parts of the
// kernel are not seen: they hang on the same hooks, and only nfnetlink_hook
// (CONFIG_NETFILTER_NETLINK_HOOK, Linux 5.14) would list them. Neither are
// those of traffic control (tc(8)) and of cgroups, which are not netfilter's.
func (r *Ruleset) Loopback() []Hook {
	var hooks []Hook
	for _, t := range r.Tables {
		if t.Dormant || t.Family == "arp" || t.Family == "bridge" {
			continue
		}
		for _, c := range t.Chains {
			if c.Base == nil || !c.Base.touchesLoopback() {
				continue
			}
			hooks = append(hooks, Hook{
				Hook:     c.Base.Hook,
				Priority: c.Base.Priority,
				Family:   t.Family,
				Table:    t.Name,
				Chain:    c.Name,
				Type:     c.Base.Type,
				Policy:   c.Base.Policy,
				Rules:    len(c.Rules),
				Idle:     len(c.Rules) == 0 && c.Base.Policy == "accept",
			})
		}
	}
	hooks = append(hooks, legacyHooks("ip", r.Legacy4)...)
	hooks = append(hooks, legacyHooks("ip6", r.Legacy6)...)
	slices.SortStableFunc(hooks, func(a, b Hook) int {
		return cmp.Or(
			cmp.Compare(slices.Index(loopbackHooks, a.Hook), slices.Index(loopbackHooks, b.Hook)),
			cmp.Compare(a.Priority, b.Priority),
		)
	})
	return hooks
}

func (b *Base) touchesLoopback() bool {
	switch b.Hook {
	case "ingress", "egress":
		return slices.ContainsFunc(b.Devices, func(name string) bool {
			prefix, isPrefix := strings.CutSuffix(name, "*")
			return name == "lo" || isPrefix && strings.HasPrefix("lo", prefix)
		})
	}
	return slices.Contains(loopbackHooks, b.Hook)
}

// legacyPriorities are those of the tables (enum nf_ip_hook_priorities), but
// for nat, which has two.
var legacyPriorities = map[string]int32{"raw": -300, "mangle": -150, "filter": 0, "security": 50}

// legacyHooks reads what the save programs write: "*table", then for each
// built-in chain ":CHAIN POLICY [packets:bytes]", then the rules.
func legacyHooks(family string, l Legacy) []Hook {
	var hooks []Hook
	table := ""
	place := map[string]int{}
	for line := range strings.Lines(l.Save) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			table = line[1:]
			clear(place)
		case strings.HasPrefix(line, ":"):
			fields := strings.Fields(line[1:])
			if len(fields) < 2 || fields[1] == "-" {
				continue
			}
			hook := strings.ToLower(fields[0])
			if !slices.Contains(loopbackHooks, hook) {
				continue
			}
			place[fields[0]] = len(hooks)
			hooks = append(hooks, Hook{
				Hook:     hook,
				Priority: legacyPriority(table, hook),
				Family:   family,
				Table:    table,
				Chain:    fields[0],
				Type:     legacyType(table, hook),
				Policy:   strings.ToLower(fields[1]),
				Legacy:   true,
				Idle:     fields[1] == "ACCEPT",
			})
		default:
			_, rest, isRule := strings.Cut(line, "-A ")
			chain, _, _ := strings.Cut(rest, " ")
			if i, ours := place[chain]; isRule && ours {
				hooks[i].Rules++
				hooks[i].Idle = false
			}
		}
	}
	return hooks
}

func legacyPriority(table, hook string) int32 {
	if table != "nat" {
		return legacyPriorities[table]
	}
	if hook == "prerouting" || hook == "output" {
		return -100
	}
	return 100
}

// legacyType is that of the nf_tables chain that does the same.
func legacyType(table, hook string) string {
	switch {
	case table == "nat":
		return "nat"
	case table == "mangle" && hook == "output":
		return "route"
	}
	return "filter"
}
