// Package pagetest lets the tests of any package open a page in a real browser, and
// see there what a reader would: how it looks and reads, and what it did that it
// should not.
package pagetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/onsi/gomega"

	chromium "github.com/loopcheck/loopcheck/probe/browser"
)

const (
	// browserDeadline bounds a test with a browser. Chromium starts within a
	// second or two; a busy machine may need many times that.
	browserDeadline = 60 * time.Second
	// Patience bounds the wait for what a page or its browser does at once where the
	// machine is not busy.
	Patience = 30 * time.Second
	// screenshotsTo names the environment variable with the folder that
	// pictures of pages are put in, for a person to look at.
	screenshotsTo = "LOOPCHECK_SCREENSHOTS"
)

// Browser is a page in a real browser, with what it did that it should not. It is
// the context of actions on it.
type Browser struct {
	context.Context
	t testing.TB

	mu       sync.Mutex
	problems []string
	requests []string
}

// Open starts a headless Chromium that ends with the test. The test is skipped where
// there is none.
func Open(t testing.TB) *Browser {
	t.Helper()
	// Chromium's socket has to fit into 108 bytes (unix(7)): no name of a test may be
	// in its path.
	folder, err := os.MkdirTemp("", "browser")
	if err != nil {
		t.Fatal(err)
	}
	b := &Browser{t: t}
	// The test's own context ends before its clean-up, which still needs one.
	deadline, cancel := context.WithTimeout(context.Background(), browserDeadline)
	ctx, stop, err := chromium.Start(deadline, chromium.Options{Folder: folder, Listener: b.observe})
	t.Cleanup(func() {
		if stop != nil {
			if err := stop(); err != nil {
				t.Errorf("close the browser: %v", err)
			}
		}
		cancel()
		awaitNoProcessOf(t, folder)
		if err := os.RemoveAll(folder); err != nil {
			t.Errorf("remove what the browser left: %v", err)
		}
	})
	if errors.Is(err, chromium.ErrNone) {
		t.Skip("no browser: install Debian's package " + chromium.Package)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.Context = ctx
	b.Do(command(network.Enable, network.EnableParams{}), command(cdplog.Enable, cdp.Empty{}))
	return b
}

// awaitNoProcessOf waits until the last of the browser's processes is gone.
func awaitNoProcessOf(t testing.TB, folder string) {
	if runtime.GOOS != "linux" {
		return
	}
	gomega.NewWithT(t).Eventually(func() []string {
		var left []string
		processes, _ := filepath.Glob("/proc/[0-9]*")
		for _, process := range processes {
			// A process that ended meanwhile cannot be read, and need not be.
			line, _ := os.ReadFile(filepath.Join(process, "cmdline"))
			environment, _ := os.ReadFile(filepath.Join(process, "environ"))
			if strings.Contains(string(line)+string(environment), folder) {
				left = append(left, strings.ReplaceAll(string(line), "\x00", " "))
			}
		}
		return left
	}).WithTimeout(Patience).Should(gomega.BeEmpty(), "processes of the browser are left")
}

func (b *Browser) observe(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *cdpruntime.EventConsoleAPICalled:
		b.problems = append(b.problems, fmt.Sprintf("console %s", e.Type))
	case *cdpruntime.EventExceptionThrown:
		b.problems = append(b.problems, "exception "+e.ExceptionDetails.Text)
	case *cdplog.EventEntryAdded:
		b.problems = append(b.problems, fmt.Sprintf("log %s: %s", e.Entry.Level, e.Entry.Text))
	case *page.EventJavascriptDialogOpening:
		b.problems = append(b.problems, "dialog "+e.Message)
	}
}

// Problems are what the page or the browser complained of since Forget.
func (b *Browser) Problems() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.problems)
}

// Forget drops what the page did so far.
func (b *Browser) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems, b.requests = nil, nil
}

// WantQuiet holds that the page, which has that address, complained of nothing and
// asked for nothing but itself.
func (b *Browser) WantQuiet(address string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		b.t.Error(p)
	}
	if len(b.requests) == 0 {
		b.t.Error("not even the page itself was seen to be loaded")
	}
	for _, request := range b.requests {
		if file, _, _ := strings.Cut(request, "#"); file != address && !strings.HasPrefix(request, "data:") {
			b.t.Errorf("the page asked for %s", request)
		}
	}
}

// Do takes steps one after the other, and ends the test where one fails.
func (b *Browser) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// Get is the value of an action.
func Get[T any](b *Browser, action chromedp.Action[T]) T {
	b.t.Helper()
	value, err := chromedp.Run(b, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

// Eval is the value of a JavaScript expression in the page.
func Eval[T any](b *Browser, expression string) T {
	b.t.Helper()
	return Get(b, chromedp.Evaluate[T](expression))
}

// command is an action of the DevTools protocol whose result is of no interest.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, c, params)
		return err
	})
}

// Media emulates a medium, and a colour scheme where one is named.
func Media(medium, scheme string) chromedp.Action[chromedp.Void] {
	params := emulation.SetEmulatedMediaParams{Media: medium}
	if scheme != "" {
		params.Features = []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
	}
	return command(emulation.SetEmulatedMedia, params)
}

// WithoutScripts makes the browser run none.
var WithoutScripts = command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})

// Picture keeps a picture of the page where someone asked for it.
func (b *Browser) Picture(name string) {
	b.t.Helper()
	if folder := os.Getenv(screenshotsTo); folder != "" {
		b.keep(folder, name+".png", Get(b, chromedp.FullScreenshot(100)))
	}
}

// PDF keeps the page as it is printed where someone asked for pictures.
func (b *Browser) PDF(name string) {
	b.t.Helper()
	if folder := os.Getenv(screenshotsTo); folder != "" {
		b.keep(folder, name+".pdf", Get(b, chromedp.PrintToPDF(chromedp.PDFPreferCSSPageSize())))
	}
}

func (b *Browser) keep(folder, name string, content []byte) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// File writes a page to a file and returns its URL.
func File(t testing.TB, content []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return URL(file)
}

// URL is that of a file, whose path has to be absolute.
func URL(file string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(file)}).String()
}
