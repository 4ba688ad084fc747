package policy

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

// load reads a policy and loads its rules, or skips where nft or sandboxes are
// not to be had.
func load(t testing.TB, name string) (*Policy, *firewall.Rules) {
	t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join("testdata", name)
	}
	p, err := ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var files []ruleset.File
	for _, path := range p.Rules {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, ruleset.File{Name: path, Text: string(text), Dir: filepath.Dir(path)})
	}
	r, err := firewall.LoadRules(t.Context(), files...)
	if missing, ok := errors.AsType[*ruleset.MissingProgramError](err); ok {
		t.Skip(missing.Error())
	}
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		t.Skip(refused.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	return p, r
}
