package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

func TestFind(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if path, err := Find(); !errors.Is(err, ErrNone) {
		t.Errorf("found %q, %v", path, err)
	}
	if _, _, err := Start(t.Context(), Options{Folder: t.TempDir()}); !errors.Is(err, ErrNone) {
		t.Errorf("start: %v", err)
	}
}

// programs are shell scripts by the names of browsers, which come before those of the
// machine.
func programs(t *testing.T, scripts map[string]string) (dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the programs are shell scripts")
	}
	dir = t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return dir
}

func TestFindTellsEachOnce(t *testing.T) {
	dir := programs(t, map[string]string{"chromium-browser": "", "google-chrome-stable": ""})
	if err := os.Symlink("google-chrome-stable", filepath.Join(dir, "google-chrome")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	paths, err := Find()
	if want := []string{filepath.Join(dir, "chromium-browser"), filepath.Join(dir, "google-chrome-stable")}; err != nil || !slices.Equal(paths, want) {
		t.Errorf("found %q, %v, want %q", paths, err, want)
	}
}

// snapStub is what Ubuntu's package chromium-browser does without the snap.
const snapStub = "echo 'requires the chromium snap to be installed' >&2; exit 1"

func TestWhichDidNotStartIsTold(t *testing.T) {
	dir := programs(t, map[string]string{"chromium-browser": snapStub, "google-chrome": "exit 3"})
	t.Setenv("PATH", dir)
	_, _, err := Start(t.Context(), Options{Folder: t.TempDir()})
	want := fmt.Sprintf("start %[1]s/chromium-browser: chrome failed to start: requires the chromium snap to be installed; start %[1]s/google-chrome: chrome failed to start:", dir)
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
}

// One that does not start hides no other that does.
func TestTheNextIsTriedWhereOneDoesNotStart(t *testing.T) {
	installed, err := Find()
	if err != nil {
		t.Skip("no browser: install Debian's package " + Package)
	}
	for name, c := range map[string]struct {
		script  string
		timeout time.Duration
	}{
		"it fails": {snapStub, tryTimeout},
		"it hangs": {"exec sleep 600", 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			before := tryTimeout
			t.Cleanup(func() { tryTimeout = before })
			tryTimeout = c.timeout
			run := "exec " + installed[0] + ` "$@"`
			programs(t, map[string]string{"chromium": c.script, "chromium-browser": c.script, "google-chrome-stable": c.script, "google-chrome": run})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, stop, err := Start(ctx, Options{Folder: folder(t)})
			if err != nil {
				t.Fatal(err)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// folder is one for a browser. The path of a socket in it may have 108 bytes: no name
// of a test may be in it.
func folder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "browser")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder
}

func TestInsideOnly(t *testing.T) {
	const rest = "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1, EXCLUDE ::1, EXCLUDE [::1]"
	if got := InsideOnly(nil); got != rest {
		t.Errorf("got %q", got)
	}
	names := map[string]string{"b.test": "127.0.0.2", "a.test": "127.0.0.1"}
	if got, want := InsideOnly(names), "MAP a.test 127.0.0.1, MAP b.test 127.0.0.2, "+rest; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A browser with these rules looks no name up, and says what it is.
func TestABrowserResolvesNothing(t *testing.T) {
	if _, err := Find(); err != nil {
		t.Skip("no browser: install Debian's package " + Package)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	page, stop, err := Start(ctx, Options{Folder: folder(t), Flags: map[string]string{"host-resolver-rules": InsideOnly(nil)}})
	if err != nil {
		t.Fatal(err)
	}
	major, err := Major(page)
	if err != nil || major < 60 {
		t.Errorf("version %d, %v", major, err)
	}
	if err := chromedp.Do(page, chromedp.Navigate("http://loopcheck.invalid/")); err == nil || !strings.Contains(err.Error(), "ERR_NAME_NOT_RESOLVED") {
		t.Errorf("a name of the Internet: %v", err)
	}
	const asksForLeave = 142
	if err := AllowLoopback(page, "http://localhost:3000"); err != nil && major >= asksForLeave {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
