package folder

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var started = time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("east", 3600))

func TestCreateNamesByUTC(t *testing.T) {
	reports := filepath.Join(t.TempDir(), "deep", "reports")
	dir, err := Create(reports, started)
	if err != nil || dir != filepath.Join(reports, "2026-03-04T04-06-07Z") {
		t.Fatalf("%q, %v", dir, err)
	}
}

func TestCreateGivesEachRunItsOwn(t *testing.T) {
	reports := t.TempDir()
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := map[string]bool{}
	for range 20 {
		wg.Go(func() {
			dir, err := Create(reports, started)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[dir] {
				t.Errorf("%q, %v", dir, err)
			}
			seen[dir] = true
		})
	}
	wg.Wait()
}

func TestCreateFailsBelowAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if dir, err := Create(filepath.Join(file, "reports"), started); err == nil {
		t.Errorf("created %q below a file", dir)
	}
}

func TestWriteIsWholeOrNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, JSON)
	write := func(text string, err error) error {
		return Write(path, func(w io.Writer) error {
			_, _ = io.WriteString(w, text)
			return err
		})
	}
	if err := write("old", nil); err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	if err := write("half of the n", full); !errors.Is(err, full) {
		t.Errorf("error %v, want %v", err, full)
	}
	if content, _ := os.ReadFile(path); string(content) != "old" {
		t.Errorf("the file holds %q after a failed write", content)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%v is left in the folder", entries)
	}
	if err := write("new", nil); err != nil {
		t.Fatal(err)
	}
	if content, _ := os.ReadFile(path); string(content) != "new" {
		t.Errorf("the file holds %q", content)
	}
}

func TestWhatIsNoFileIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	err := Write(dir, func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err })
	if err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("error is %v", err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		t.Errorf("%s is replaced: %v", dir, err)
	}
}

func TestPointLatestMoves(t *testing.T) {
	reports := t.TempDir()
	for _, name := range []string{"first", "second"} {
		run := filepath.Join(reports, name)
		if err := os.Mkdir(run, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := PointLatest(run); err != nil {
			t.Skipf("links cannot be made here: %v", err)
		}
		if target, err := os.Readlink(filepath.Join(reports, Latest)); err != nil || target != name {
			t.Errorf("latest points at %q (%v), want %q", target, err, name)
		}
	}
	if entries, _ := os.ReadDir(reports); len(entries) != 3 {
		t.Errorf("the reports folder holds %v, want two runs and the link", entries)
	}
}
