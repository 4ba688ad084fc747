package history

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/report"
)

// later is when reports that are written now have settled.
func later() time.Time { return time.Now().Add(time.Hour) }

// keptPast is some past that is kept, and what was read of it.
func keptPast(t testing.TB) (reports string, read *History) {
	t.Helper()
	reports = somePast(t)
	read = load(t, reports)
	if err := keep(reports, read.entries, later()); err != nil {
		t.Fatal(err)
	}
	return reports, read
}

func load(t testing.TB, reports string) *History {
	t.Helper()
	h, err := Load(reports)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// wantRead holds that a history is what the reports alone say.
func wantRead(t *testing.T, reports string, got *History) {
	t.Helper()
	if err := os.Remove(filepath.Join(reports, Kept)); err != nil {
		t.Fatal(err)
	}
	want := load(t, reports)
	if diff := cmp.Diff(want.Runs, got.Runs); diff != "" {
		t.Errorf("runs (-read +kept):\n%s", diff)
	}
	if diff := cmp.Diff(want.Unreadable, got.Unreadable); diff != "" {
		t.Errorf("unreadable (-read +kept):\n%s", diff)
	}
}

// What is kept is taken in the place of reports that did not change, and says the
// same.
func TestRunsThatAreKeptAreNotReadAgain(t *testing.T) {
	reports, _ := keptPast(t)
	h := load(t, reports)
	if h.stale {
		t.Error("a report was read although it is kept and did not change")
	}
	wantRead(t, reports, h)
}

// A report that was changed, though it has its size and time, is read, one that is
// deleted is gone, and one that is new is there.
func TestReportsAreBelievedOverWhatIsKept(t *testing.T) {
	reports, before := keptPast(t)
	changed := filepath.Join(reports, "run-10", folder.JSON)
	was, err := os.Stat(changed)
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile(changed)
	if err != nil {
		t.Fatal(err)
	}
	document = bytes.Replace(document, []byte("TCP-002"), []byte("TCP-003"), 1)
	if err := os.WriteFile(changed, document, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(changed, was.ModTime(), was.ModTime()); err != nil {
		t.Fatal(err)
	}
	now, err := os.Stat(changed)
	if err != nil || now.Size() != was.Size() {
		t.Fatalf("%d bytes, %v; want %d", now.Size(), err, was.Size())
	}
	if stampOf(now).ChangedNS == 0 {
		t.Skip("this system does not tell when a file was changed, only its time of modification")
	}
	if err := os.RemoveAll(filepath.Join(reports, "run-11")); err != nil {
		t.Fatal(err)
	}
	write(t, reports, "newer", report.JSON(someRun(90, "web-1")))
	write(t, reports, "run-12", text("no report any more"))
	h := load(t, reports)
	if !h.stale || len(h.Runs) != len(before.Runs)-1 {
		t.Errorf("%d runs, stale is %v; before there were %d", len(h.Runs), h.stale, len(before.Runs))
	}
	wantRead(t, reports, h)
}

// What is damaged, or of another program, is as good as nothing.
func TestWhatIsKeptMayBeDamaged(t *testing.T) {
	reports, _ := keptPast(t)
	path := filepath.Join(reports, Kept)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string]string{
		"empty":         "",
		"truncated":     string(whole[:len(whole)/2]),
		"another's":     strings.Replace(string(whole), `{"by":"`, `{"by":"other `, 1),
		"no places":     strings.Replace(string(whole), `"checks":[0,1]`, `"checks":[0,1000]`, 1),
		"below nothing": strings.Replace(string(whole), `"benchmarks":[0,1]`, `"benchmarks":[0,-1]`, 1),
		"no medians":    strings.Replace(string(whole), `"medians_ns":[`, `"medians_ns":[1,`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			if damaged == string(whole) {
				t.Fatal("it is not damaged")
			}
			if err := os.WriteFile(path, []byte(damaged), 0o644); err != nil {
				t.Fatal(err)
			}
			h := load(t, reports)
			if !h.stale {
				t.Error("it is believed")
			}
			wantRead(t, reports, h)
		})
	}
}

// A report might be changed again within the grain of the file system's clock: it is
// kept only after a while.
func TestWhatIsNewIsNotKeptYet(t *testing.T) {
	written := time.Now() // however long it takes to write and read them
	reports := somePast(t)
	h := load(t, reports)
	if err := keep(reports, h.entries, written); err != nil {
		t.Fatal(err)
	}
	if known := readKept(reports); known == nil || len(known) > 0 {
		t.Errorf("%d runs are kept of reports that were just written; nil is %v", len(known), known == nil)
	}
}

// The page is the same byte for byte, whichever way its runs came.
func TestThePageIsTheSameOfWhatIsKept(t *testing.T) {
	reports, read := keptPast(t)
	hasHTML := func(*Run) bool { return false }
	var want, got bytes.Buffer
	if err := read.page(hasHTML)(&want); err != nil {
		t.Fatal(err)
	}
	if err := load(t, reports).page(hasHTML)(&got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want.Bytes(), got.Bytes()) {
		t.Errorf("%d bytes, and %d of what is kept", want.Len(), got.Len())
	}
}

// Whatever stands in the file, it gives runs of which all is there, or none.
func FuzzKept(f *testing.F) {
	reports, _ := keptPast(f)
	whole, err := os.ReadFile(filepath.Join(reports, Kept))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{"checks":[{"id":"TCP-001"}],"runs":[{"folder":"a","checks":[0]},{"folder":"b","checks":[1]},{"folder":"c","benchmarks":[0],"medians_ns":[1]}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := decodeKept(bytes.NewReader(content))
		if err != nil {
			return
		}
		states := map[CheckState]bool{}
		for _, c := range file.Checks {
			states[c] = true
		}
		for name, one := range file.entries() {
			if one.Run == nil || one.Folder != name {
				t.Fatalf("an entry of %q is of %+v", name, one.Run)
			}
			for _, c := range one.Checks {
				if !states[c] {
					t.Errorf("%+v is in no table", c)
				}
			}
		}
	})
}

// BenchmarkKept makes the page of a thousand runs that are kept, but for one.
func BenchmarkKept(b *testing.B) {
	reports := b.TempDir()
	thousand(b, reports)
	h := load(b, reports)
	if err := keep(reports, h.entries, later()); err != nil {
		b.Fatal(err)
	}
	kept, err := os.Stat(filepath.Join(reports, Kept))
	if err != nil {
		b.Fatal(err)
	}
	newest := someRun(0, "")
	newest.Checks[0].State = check.Warn
	for b.Loop() {
		b.StopTimer()
		write(b, reports, "newest", report.JSON(newest))
		b.StartTimer()
		h := load(b, reports)
		if len(h.Runs) != 1001 {
			b.Fatalf("%d runs", len(h.Runs))
		}
		if err := keep(reports, h.entries, later()); err != nil {
			b.Fatal(err)
		}
		if err := folder.Write(filepath.Join(reports, Index), h.page(func(*Run) bool { return false })); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(kept.Size())/1e6, "MB-kept")
}
