package browser

import (
	"context"
	"errors"
	"os"
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
	// The path of a socket in it may have 108 bytes: no name of a test may be in it.
	folder, err := os.MkdirTemp("", "browser")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	page, stop, err := Start(ctx, Options{Folder: folder, Flags: map[string]string{"host-resolver-rules": InsideOnly(nil)}})
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
