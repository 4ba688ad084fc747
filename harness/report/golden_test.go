package report

import (
	"bytes"
	"flag"
	"io"
	"path/filepath"
	"testing"

	"github.com/loopcheck/loopcheck/bench/benchtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// rendered is what a reporter writes.
func rendered(t testing.TB, reporter func(io.Writer) error) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := reporter(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// golden compares what was written with the file under testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	benchtest.Golden(t, *update, filepath.Join("testdata", name), got)
}
