package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The units that users are given are ones that systemd takes.
func TestSystemdUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skipf("systemd-analyze is not installed here (Debian package systemd): %v", err)
	}
	binary, err := exec.LookPath("loopcheck")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var units []string
	for _, name := range []string{"loopcheck-audit.service", "loopcheck-audit.timer"} {
		text, err := os.ReadFile(filepath.Join("../../docs/systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		// It says so where the program is not there.
		unit := strings.ReplaceAll(string(text), "/usr/local/bin/loopcheck", binary)
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
			t.Fatal(err)
		}
		units = append(units, path)
	}
	out, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
	if err != nil || strings.Contains(string(out), "loopcheck-audit") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// With the capabilities of the unit and no more, root's audit sees every
// process as root does.
func TestTheUnitsCapabilitiesAreEnough(t *testing.T) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil || os.Getuid() != 0 {
		t.Skipf("takes root and setpriv (Debian package util-linux): %v", err)
	}
	text, err := os.ReadFile("../../docs/systemd/loopcheck-audit.service")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nCapabilityBoundingSet=")
	line, _, _ := strings.Cut(rest, "\n")
	var keep []string
	for _, name := range strings.Fields(line) {
		keep = append(keep, "+"+strings.ToLower(strings.TrimPrefix(name, "CAP_")))
	}
	bounding := "-all," + strings.Join(keep, ",")
	all := loopcheck(t, "ports", "list", "--json")
	some := loopcheck(t, "ports", "list", "--json")
	some.Args = append([]string{"setpriv", "--bounding-set", bounding, "--inh-caps", "-all", "--no-new-privs", some.Path}, some.Args[1:]...)
	some.Path = setpriv
	want, err := all.Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := some.Output()
	if err != nil {
		t.Fatal(err)
	}
	if unseen(want) != unseen(got) {
		t.Errorf("all capabilities see\n%s\nthose of the unit\n%s", want, got)
	}
	few := loopcheck(t, "ports", "list", "--json")
	few.Args = append([]string{"setpriv", "--bounding-set", "-all", "--inh-caps", "-all", few.Path}, few.Args[1:]...)
	few.Path = setpriv
	if got, err := few.Output(); err != nil || unseen(want) == unseen(got) {
		t.Errorf("without capabilities as much is seen: %v\n%s", err, got)
	}
}

// unseen is what a list says of processes that it could not look into.
func unseen(list []byte) string {
	_, text, _ := strings.Cut(string(list), `"unseen"`)
	return text
}
