package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// playUnchanged makes the test binary be the command.
const playUnchanged = "unchanged"

func TestMain(m *testing.M) {
	if os.Args[0] == playUnchanged {
		main()
	}
	m.Run()
}

// A private mount namespace is where /run may be written to for a test.
func TestWhatIsLeftIsTold(t *testing.T) {
	if err := exec.Command("unshare", "-rmn", "true").Run(); err != nil {
		t.Skipf("private namespaces are refused here: %v", err)
	}
	for name, c := range map[string]struct {
		script string
		exit   int
		says   string
	}{
		"nothing":                {"true", 0, ""},
		"its own exit code":      {"exit 7", 7, ""},
		"a setting":              {"echo 9 > /proc/sys/net/ipv4/ip_default_ttl", 1, "sysctl changed: net.ipv4.ip_default_ttl"},
		"an address":             {"ip address add 10.9.9.9/32 dev lo", 1, "address left: 10.9.9.9/32"},
		"a process":              {"setsid sleep 30 >/dev/null 2>&1 &", 1, "process left:"},
		"a file":                 {"touch /run/left", 1, "file left: /run/left"},
		"a setting, and failing": {"echo 9 > /proc/sys/net/ipv4/ip_default_ttl; exit 7", 7, "sysctl changed"},
		"killed":                 {"kill -KILL $$", 137, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			// The namespace of PIDs ends what the scripts leave running.
			command := exec.Command("unshare", "-rmnpf", "--mount-proc", "bash", "-c",
				`mount -t tmpfs none /run && ip link set lo up && exec -a `+playUnchanged+` "$0" -- sh -c "$1"`, self, c.script)
			var stderr bytes.Buffer
			command.Stderr = &stderr
			_ = command.Run()
			if got := command.ProcessState.ExitCode(); got != c.exit {
				t.Errorf("exit %d, want %d", got, c.exit)
			}
			if !strings.Contains(stderr.String(), c.says) || c.says == "" && strings.Contains(stderr.String(), "unchanged: ") && !strings.Contains(stderr.String(), "not compared") {
				t.Errorf("stderr %q, want %q", stderr.String(), c.says)
			}
		})
	}
}
