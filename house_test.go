// Package loopcheck_test holds the tests of the house as a whole.
package loopcheck_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/loopcheck/loopcheck/"

// A room is a top-level folder, or one of its packages where the rule for that
// package differs. Each may import what is listed and itself.
var rooms = []struct {
	name   string
	may    []string
	reason string
}{
	{"harness/check", nil, "the leaf says what a check is; whoever knows it must learn nothing else"},
	{"harness", []string{"harness/check", "bench", "firewall", "diagnose", "probe"}, "the harness runs and reports whatever is registered: knowing a suite would tie the two together"},
	{"suites", []string{"harness/check", "bench", "firewall", "probe"}, "a suite says what is healthy; who runs it and what becomes of the outcome is not its business"},
	{"bench", []string{"probe"}, "what measures stands on what asks"},
	{"firewall", []string{"probe"}, "what judges rules stands on what asks"},
	{"diagnose", []string{"probe"}, "a cause is looked up on the machine, not in a report"},
	{"probe", nil, "a probe asks the stack one thing and serves everyone"},
	{"lab", []string{"probe"}, "proof uses the built binary as a user would: sharing its code would share its mistakes"},
	{"cmd", []string{"harness", "suites", "bench", "firewall", "diagnose", "probe"}, "the command line wires everything; nothing needs the lab"},
}

func TestImportsRunOneWay(t *testing.T) {
	for _, p := range listPackages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			if reason, ok := allowed(from, to); !ok {
				t.Errorf("%s imports %s: %s", from, to, reason)
			}
		}
	}
}

func TestImportRuleRefuses(t *testing.T) {
	for _, wrong := range [][2]string{
		{"harness/run", "suites/tcp"},
		{"suites/tcp", "harness/report"},
		{"probe/icmp", "harness/check"},
		{"diagnose", "harness/report"},
		{"bench", "diagnose"},
		{"lab/soak", "harness/report"},
		{"harness/check", "probe/sock"},
		{"kitchen", "probe/sock"},
	} {
		if _, ok := allowed(wrong[0], wrong[1]); ok {
			t.Errorf("%s may import %s", wrong[0], wrong[1])
		}
	}
}

// Probes serve tools that run no specs, so nothing they stand on may either.
func TestProbesKnowNoGinkgo(t *testing.T) {
	for _, p := range listPackages(t) {
		if !strings.HasPrefix(p.ImportPath, module+"probe/") {
			continue
		}
		for _, dependency := range p.Deps {
			if strings.HasPrefix(dependency, "github.com/onsi/ginkgo") {
				t.Errorf("%s depends on %s", p.ImportPath, dependency)
			}
		}
	}
}

func allowed(from, to string) (reason string, ok bool) {
	for _, room := range rooms {
		if !within(from, room.name) {
			continue
		}
		for _, may := range append(room.may, room.name) {
			if within(to, may) {
				return "", true
			}
		}
		return room.reason, false
	}
	return "this package stands in no room that the house has", false
}

func within(path, room string) bool {
	return path == room || strings.HasPrefix(path, room+"/")
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.ImportPath, module) {
			packages = append(packages, p)
		}
	}
	if len(packages) < 5 {
		t.Fatalf("go list found only %d packages of the house", len(packages))
	}
	return packages
}
