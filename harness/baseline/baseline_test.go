package baseline

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/loopcheck/loopcheck/harness/folder"
)

// A baseline lies in its folder, whatever its name.
func FuzzPath(f *testing.F) {
	for _, name := range []string{"main", "v1.2-rc_3", "", ".", "..", "../main", "a/b", `a\b`, ".hidden", "-f", "a\x00", "ä", "main.json"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		path, err := Path("reports", name)
		if err != nil {
			if !errors.As(err, new(*NameError)) {
				t.Errorf("%q: %v", name, err)
			}
			return
		}
		if filepath.Dir(path) != filepath.Join("reports", folder.Baselines) || filepath.Base(path) != name+extension {
			t.Errorf("%q lies at %s", name, path)
		}
	})
}

func TestNamesOfBaselines(t *testing.T) {
	for name, want := range map[string]bool{"main": true, "v1.2-rc_3": true, "": false, "..": false, "../main": false, "a/b": false, ".hidden": false, "-f": false} {
		if _, err := Path("reports", name); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
}
