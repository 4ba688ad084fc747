package benchtest

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Golden compares what was written with a file or, to update it, writes that file
// first.
func Golden(t testing.TB, update bool, file string, got []byte) {
	t.Helper()
	if update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); if that is meant, run the test with -update:\n%s", file, diff)
	}
}
