package diagnose

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

func TestWhatKeepsContainersFromWorkingIsFoundAndMended(t *testing.T) {
	engine := []string{"nft add table ip nat", "nft add chain ip nat DOCKER"}
	for name, c := range map[string]struct {
		setup   []string
		check   string
		cause   string // its ID; empty where there is none
		command string
	}{
		"open to every network": {[]string{"sysctl -w net.ipv4.conf.all.route_localnet=1"}, localnetCheck, "sysctl-net.ipv4.conf.all.route_localnet", "sysctl -w net/ipv4/conf/all/route_localnet=0"},
		"open to one, with dots in its name": {
			[]string{"ip link add name eth0.7 type veth peer name far", "sysctl -w net/ipv4/conf/eth0.7/route_localnet=1"},
			localnetCheck, "sysctl-net.ipv4.conf.eth0.7.route_localnet", "sysctl -w net/ipv4/conf/eth0.7/route_localnet=0",
		},
		"open to nobody":               {nil, localnetCheck, "", ""},
		"not forwarded":                {[]string{"sysctl -w net.ipv4.ip_forward=0"}, forwardingCheck, "sysctl-net.ipv4.ip_forward", "sysctl -w net.ipv4.ip_forward=1"},
		"not forwarded, engine":        {append([]string{"sysctl -w net.ipv4.ip_forward=0", "sysctl -e -w net.bridge.bridge-nf-call-iptables=1"}, engine...), neighbourCheck, "sysctl-net.ipv4.ip_forward", "sysctl -w net.ipv4.ip_forward=1"},
		"not forwarded, and no matter": {append([]string{"sysctl -w net.ipv4.ip_forward=0"}, engine...), "CTR-101", "", ""},
		"forwarded, with rules":        {append([]string{"sysctl -w net.ipv4.ip_forward=1"}, engine...), "CTR-107", "", ""},
		"another check's":              {[]string{"sysctl -w net.ipv4.ip_forward=0"}, "TCP-001", "", ""},
		"rules of nftables":            {[]string{"sysctl -w net.ipv4.ip_forward=1", "nft add table ip docker-bridges"}, "CTR-101", "", ""},
		"rules of the net filter":      {[]string{"sysctl -w net.ipv4.ip_forward=1", "nft add table inet netavark"}, "CTR-101", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			box := sandboxtest.Start(t, sandbox.Config{})
			suite := "containers"
			if c.check == "TCP-001" {
				suite = "tcp"
			}
			d, err := findInside.Call(t.Context(), box, "", order{c.setup, Symptom{Check: c.check, Suite: suite}})
			if err != nil {
				t.Fatal(err)
			}
			expectOne(t, d[0], c.cause, c.command)
			expectOne(t, d[1], "", "")
		})
	}
}

// engineOf is an engine, for a look in a namespace that forwards and has no rules.
type engineOf struct {
	Daemon   string // Docker's configuration, a path
	Rootless bool
}

var containersInside = sandbox.Register("test/containers", func(ctx context.Context, _ *sandbox.Inside, e engineOf) (Diagnosis, error) {
	daemonFile = e.Daemon
	EngineIsRootless(e.Rootless)
	err := sysctl.Set("net.ipv4.ip_forward", "1")
	return containers(ctx, Symptom{Check: "CTR-101", Suite: "containers"}), err
})

func TestRulesOfAnEngineThatAreGone(t *testing.T) {
	for name, c := range map[string]struct {
		daemon   string // Docker's configuration; empty where there is none
		rootless bool
		cause    string
	}{
		"gone":             {"", false, "engine-rules-gone"},
		"gone, configured": {`{"iptables": true}`, false, "engine-rules-gone"},
		"gone, unreadable": {`{"iptables": false`, false, "engine-rules-gone"},
		"never written":    {`{"iptables": false}`, false, ""},
		"in its own place": {"", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := engineOf{Daemon: filepath.Join(t.TempDir(), "daemon.json"), Rootless: c.rootless}
			if c.daemon != "" {
				if err := os.WriteFile(e.Daemon, []byte(c.daemon), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			d, err := containersInside.Call(t.Context(), sandboxtest.Start(t, sandbox.Config{}), "", e)
			if err != nil {
				t.Fatal(err)
			}
			command := ""
			if c.cause != "" {
				command = "systemctl restart docker"
			}
			expectOne(t, d, c.cause, command)
		})
	}
}
