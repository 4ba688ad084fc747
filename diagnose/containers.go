package diagnose

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/loopcheck/loopcheck/probe/localnet"
	"github.com/loopcheck/loopcheck/probe/ruleset"
)

const containersSuite = "containers"

// Checks of the suite containers that look at this machine's own settings.
const (
	localnetCheck   = "CTR-027"
	forwardingCheck = "CTR-028"
	// neighbourCheck asks a container for its neighbour's published port.
	neighbourCheck = "CTR-110"
)

// containers finds what keeps a container engine's ports and networks from working,
// or opens localhost for them: settings of the host, and rules of the engine that
// are gone.
func containers(ctx context.Context, s Symptom) Diagnosis {
	if s.Suite != containersSuite || s.Missing != "" {
		return Diagnosis{}
	}
	var d Diagnosis
	switch s.Check {
	case localnetCheck:
		return openLocalnet()
	case forwardingCheck:
		return Diagnosis{Findings: forwarding()}
	case neighbourCheck:
		d.Findings = append(forwarding(), hostSetting("net.bridge.bridge-nf-call-iptables", "1",
			"what goes from container to container over a bridge is not translated back")...)
	}
	gone, unseen := engineRulesGone(ctx)
	d.Findings = append(d.Findings, gone...)
	if unseen != "" {
		d.Unseen = append(d.Unseen, Unseen{What: netfilterRules, Why: unseen})
	}
	return d
}

func forwarding() []Finding {
	return hostSetting("net.ipv4.ip_forward", "1", "the host forwards nothing between containers and networks")
}

// hostSetting finds a setting that is not what containers take.
func hostSetting(name, wanted, does string) []Finding {
	value, err := readSetting(name)
	if err != nil || value == wanted {
		return nil
	}
	id := "sysctl-" + name
	evidence := []string{fmt.Sprintf("%s is %q", name, value)}
	for _, place := range whereSet(name) {
		evidence = append(evidence, "it is set in "+place)
	}
	return []Finding{{
		Cause:    Cause{ID: id, Summary: fmt.Sprintf("%s is %s: with it, %s.", name, value, does), Evidence: evidence},
		Remedies: []Remedy{{Command: fmt.Sprintf("sysctl -w %s=%s", name, wanted), Cause: id}},
	}}
}

// readLocalnet is a variable so that tests can show machines that this one is not.
var readLocalnet = localnet.Open

// openLocalnet finds each setting that opens 127.0.0.0/8 to a network.
func openLocalnet() (d Diagnosis) {
	open, err := readLocalnet()
	if err != nil {
		return Diagnosis{Unseen: []Unseen{{What: "route_localnet of the interfaces", Why: err.Error()}}}
	}
	for _, setting := range open {
		where := "the network of " + setting.Interface
		if setting.Interface == "all" {
			where = "every network of this machine"
		}
		id := "sysctl-net.ipv4.conf." + setting.Interface + ".route_localnet"
		d.Findings = append(d.Findings, Finding{
			Cause: Cause{
				ID:       id,
				Summary:  fmt.Sprintf("What listens on 127.0.0.1 is open to %s: route_localnet is on.", where),
				Evidence: []string{setting.String()},
			},
			Remedies: []Remedy{{
				Command: "sysctl -w " + quoted(setting.Path()) + "=0", Cause: id,
				Note: "an engine without its proxy needs it for the bridge of its containers, and for that alone",
			}},
		})
	}
	return d
}

// daemonFile is Docker's configuration, and a variable for tests alone.
var daemonFile = "/etc/docker/daemon.json"

// rulesElsewhere says that the engine whose checks run keeps its rules in a network
// namespace of its own.
var rulesElsewhere atomic.Bool

// EngineIsRootless says that the engine whose checks run has its rules elsewhere:
// that this machine has none of them is no cause then.
func EngineIsRootless(rootless bool) { rulesElsewhere.Store(rootless) }

// writesNoRules says whether Docker is configured to write none (dockerd(8),
// --iptables). A file that cannot be read says nothing.
func writesNoRules() bool {
	text, err := os.ReadFile(daemonFile)
	if err != nil {
		return false
	}
	var daemon struct {
		IPTables *bool `json:"iptables"`
	}
	return json.Unmarshal(text, &daemon) == nil && daemon.IPTables != nil && !*daemon.IPTables
}

// engineRulesGone finds that no table holds the chains of an engine. Unseen is why
// that could not be looked at; "" where it was.
func engineRulesGone(ctx context.Context) (found []Finding, unseen string) {
	if rulesElsewhere.Load() || writesNoRules() {
		return nil, ""
	}
	rules, err := ruleset.Read(ctx)
	if err != nil {
		return nil, err.Error()
	}
	ofEngine := func(name string) bool {
		return slices.ContainsFunc([]string{"DOCKER", "docker-bridges", "NETAVARK", "netavark", "CNI-"}, func(begin string) bool { return strings.HasPrefix(name, begin) })
	}
	for _, t := range rules.Tables {
		if ofEngine(t.Name) || slices.ContainsFunc(t.Chains, func(c ruleset.Chain) bool { return ofEngine(c.Name) }) {
			return nil, ""
		}
	}
	for line := range strings.Lines(rules.Legacy4.Save) {
		if ofEngine(strings.TrimPrefix(line, ":")) {
			return nil, ""
		}
	}
	const id = "engine-rules-gone"
	return []Finding{{
		Cause: Cause{
			ID:       id,
			Summary:  "The rules of the container engine are not there.",
			Evidence: []string{"no table of nf_tables or iptables-legacy has a chain DOCKER, NETAVARK* or CNI-*, or is docker-bridges"},
		},
		Remedies: []Remedy{{Command: "systemctl restart docker", Cause: id, Note: "for Podman: `podman network reload --all`"}},
	}}, ""
}
