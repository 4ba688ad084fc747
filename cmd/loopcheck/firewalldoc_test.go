package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// shownCommand is a command on a page with what it prints.
var shownCommand = regexp.MustCompile("(?s)```text\n\\$ loopcheck (firewall [^\n]*)\n(.*?)```\n")

// What the pages show of the firewall commands is what they print about the
// files of firewall/policy/testdata/good.
func TestThePagesShowWhatTheFirewallCommandsPrint(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft is not installed")
	}
	if err := exec.Command("unshare", "-rmn", "true").Run(); err != nil {
		t.Skipf("this machine gives its user no private namespaces: %v", err)
	}
	files := os.DirFS(filepath.Join(house, "firewall", "policy", "testdata", "good"))
	snapshots := map[string][]byte{}
	for name, rules := range map[string]string{"base.json": "web.nft", "new.json": "mended.nft"} {
		cmd := loopcheck(t, "firewall", "snapshot", "--rules", rules)
		if err := os.CopyFS(cmd.Dir, files); err != nil {
			t.Fatal(err)
		}
		var err error
		if snapshots[name], err = cmd.Output(); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{filepath.Join(house, "docs", "firewall.md"), filepath.Join(house, "README.md")} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		page := string(content)
		shown := shownCommand.FindAllStringSubmatch(page, -1)
		if len(shown) == 0 {
			t.Errorf("%s shows no command", path)
		}
		for _, one := range shown {
			cmd := loopcheck(t, strings.Fields(one[1])...)
			if err := os.CopyFS(cmd.Dir, files); err != nil {
				t.Fatal(err)
			}
			for name, snapshot := range snapshots {
				if err := os.WriteFile(filepath.Join(cmd.Dir, name), snapshot, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			printed, _ := cmd.CombinedOutput() // some of them exit with 1 or 2
			if string(printed) == one[2] {
				continue
			}
			if !*update {
				t.Errorf("%s is stale: %s\nshown:\n%s\nprinted:\n%s", path, one[1], one[2], printed)
			}
			page = strings.Replace(page, one[0], "```text\n$ loopcheck "+one[1]+"\n"+string(printed)+"```\n", 1)
		}
		if *update && page != string(content) {
			if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
