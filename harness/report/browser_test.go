package report

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
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/onsi/gomega"

	chromium "github.com/loopcheck/loopcheck/probe/browser"
)

const (
	// browserDeadline bounds a test with a browser. Chromium starts within a
	// second or two; a busy machine may need many times that.
	browserDeadline = 60 * time.Second
	// screenshotsTo names the environment variable with the folder that
	// pictures of the page are put in, for a person to look at.
	screenshotsTo = "LOOPCHECK_SCREENSHOTS"
)

// browser is a page in a real browser, with what it did that it should not.
type browser struct {
	context.Context
	t testing.TB

	mu       sync.Mutex
	problems []string
	requests []string
}

// openBrowser starts a headless Chromium that ends with the test.
func openBrowser(t testing.TB) *browser {
	t.Helper()
	// Chromium's socket has to fit into 108 bytes (unix(7)): no name of a test may be
	// in its path.
	folder, err := os.MkdirTemp("", "browser")
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t}
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
	b.do(command(network.Enable, network.EnableParams{}), command(cdplog.Enable, cdp.Empty{}))
	return b
}

// command is an action of the DevTools protocol whose result is of no interest.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, c, params)
		return err
	})
}

// media emulates a medium, and a colour scheme where one is named.
func media(medium, scheme string) chromedp.Action[chromedp.Void] {
	params := emulation.SetEmulatedMediaParams{Media: medium}
	if scheme != "" {
		params.Features = []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
	}
	return command(emulation.SetEmulatedMedia, params)
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
	}).WithTimeout(10*time.Second).Should(gomega.BeEmpty(), "processes of the browser are left")
}

func (b *browser) observe(event any) {
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

func (b *browser) seen() (problems, requests []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.problems), slices.Clone(b.requests)
}

// forget drops what the page did so far.
func (b *browser) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems, b.requests = nil, nil
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// get is the value of an action.
func get[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	value, err := chromedp.Run(b, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

// eval is the value of a JavaScript expression in the page.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	return get(b, chromedp.Evaluate[T](expression))
}

// shown are the checks that a reader sees in the list.
func (b *browser) shown() []string {
	b.t.Helper()
	return eval[[]string](b, `[...document.querySelectorAll(".check")].filter(e => e.checkVisibility()).map(e => e.id.slice(6))`)
}

func (b *browser) wantShown(want ...string) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.shown(), cmpopts.EquateEmpty()); diff != "" {
		b.t.Errorf("checks shown (-want +got):\n%s", diff)
	}
}

// wantOpen holds that a check shows its details, or that it does not.
func (b *browser) wantOpen(id string, want bool) {
	b.t.Helper()
	gomega.NewWithT(b.t).Eventually(func() bool {
		return eval[bool](b, `document.querySelector("#check-`+id+` .body").checkVisibility({contentVisibilityAuto: true})`)
	}).WithTimeout(5*time.Second).Should(gomega.Equal(want), "whether %s shows its details", id)
}

// picture keeps a picture of the page where someone asked for it.
func (b *browser) picture(name string) {
	b.t.Helper()
	folder := os.Getenv(screenshotsTo)
	if folder == "" {
		return
	}
	b.keep(folder, name+".png", get(b, chromedp.FullScreenshot(100)))
}

func (b *browser) keep(folder, name string, content []byte) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// pageFile writes a page to a file and returns its URL.
func pageFile(t testing.TB, content []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(file)}).String()
}

// clearSearch empties the search box as a user does.
var clearSearch = chromedp.Steps(
	chromedp.Focus(chromedp.CSS("#search")),
	chromedp.KeyEvent("a", chromedp.KeyModifiers(chromedp.ModifierCtrl)),
	chromedp.KeyEvent(kb.Delete),
)

func TestPageInABrowser(t *testing.T) {
	b := openBrowser(t)
	address := pageFile(t, rendered(t, HTML(fixture(t))))
	every := []string{
		"PING-001", "PING-002", "PING-013", "PING-018", "PING-019", "TCP-001", "TCP-005", "TCP-051", "TCP-056",
		"UDP-001", "UDP-003", "UDP-010",
	}
	b.do(chromedp.EmulateViewport(1200, 900), chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS("#controls")))
	b.wantShown(every...)
	b.picture("light")

	t.Run("search", func(t *testing.T) {
		b.do(chromedp.SendKeys(chromedp.CSS("#search"), "refused datagram"))
		b.wantShown()
		b.do(clearSearch, chromedp.SendKeys(chromedp.CSS("#search"), "REFUSED"))
		b.wantShown("TCP-005", "UDP-010")
		if got := eval[string](b, `document.getElementById("shown").innerText`); got != "2 of 12 checks shown" {
			t.Errorf("the count says %q", got)
		}
		if eval[bool](b, `document.getElementById("suite-ping").checkVisibility()`) {
			t.Error("a suite without a match is still shown")
		}
		b.do(clearSearch)
		b.wantShown(every...)
	})
	t.Run("filter", func(t *testing.T) {
		b.do(chromedp.Click(chromedp.CSS(`[data-filter="fail"]`)))
		b.wantShown("PING-002", "TCP-005")
		// By keyboard: focus, then the space bar.
		b.do(chromedp.Focus(chromedp.CSS(`[data-filter="warn"]`)), chromedp.KeyEvent(" "))
		b.wantShown("PING-002", "TCP-005", "TCP-051")
		if got := eval[string](b, `document.querySelector('[data-filter="warn"]').getAttribute("aria-pressed")`); got != "true" {
			t.Errorf("aria-pressed is %s", got)
		}
		b.picture("filtered")
		b.do(chromedp.Click(chromedp.CSS(`[data-filter="fail"]`)), chromedp.Click(chromedp.CSS(`[data-filter="warn"]`)))
		b.wantShown(every...)
	})
	t.Run("expand", func(t *testing.T) {
		b.wantOpen("TCP-005", false)
		b.do(chromedp.Click(chromedp.CSS("#check-TCP-005 > summary")))
		b.wantOpen("TCP-005", true)
		body := eval[string](b, `document.querySelector("#check-TCP-005 .body").innerText`)
		for _, want := range []string{
			"connect: cannot assign requested address", "EADDRNOTAVAIL after 41 µs", "name <script>alert(1)</script>",
			"sysctl -w net.ipv6.conf.lo.disable_ipv6=0", "RFC 9293, section 3.10.7.1", "suites/tcp/refuse.go:31",
		} {
			if !strings.Contains(body, want) {
				t.Errorf("the details lack %q:\n%s", want, body)
			}
		}
		b.picture("expanded")
	})
	t.Run("link to a filtered check", func(t *testing.T) {
		b.do(chromedp.Click(chromedp.CSS(`[data-filter="warn"]`)), chromedp.Click(chromedp.CSS(`#attention a[href="#check-PING-002"]`)))
		b.wantOpen("PING-002", true)
		b.wantShown(every...)
	})
	t.Run("hostile text", func(t *testing.T) {
		if n := eval[int](b, `document.scripts.length`); n != 1 {
			t.Errorf("the page has %d scripts, want its own", n)
		}
		if got := eval[string](b, `document.querySelector(".eyebrow").innerText`); !strings.Contains(got, `web-1<script>alert(1)</script>\x1b[31m`) {
			t.Errorf("the host name reads %q", got)
		}
	})
	t.Run("firewall", b.showsTheFirewall)
	t.Run("phone", func(t *testing.T) {
		b.do(chromedp.EmulateViewport(360, 780), chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS("#controls")))
		if width := eval[int](b, `document.documentElement.scrollWidth`); width > 360 {
			t.Errorf("the page is %d px wide on a screen of 360", width)
		}
		b.picture("phone")
	})
	t.Run("dark", func(t *testing.T) {
		b.do(chromedp.EmulateViewport(1200, 900), chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS("#controls")))
		const ground = `getComputedStyle(document.body).backgroundColor`
		light := eval[string](b, ground)
		b.do(media("", "dark"))
		if dark := eval[string](b, ground); dark == light {
			t.Errorf("the ground is %s in both schemes", dark)
		}
		b.picture("dark")
	})
	t.Run("paper", func(t *testing.T) { b.printed(every) })

	problems, requests := b.seen()
	for _, p := range problems {
		t.Error(p)
	}
	if len(requests) == 0 {
		t.Error("not even the page itself was seen to be loaded")
	}
	for _, request := range requests {
		if file, _, _ := strings.Cut(request, "#"); file != address && !strings.HasPrefix(request, "data:") {
			t.Errorf("the page asked for %s", request)
		}
	}
}

// printed looks at the page as paper shows it, a filter still set.
func (b *browser) printed(every []string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(`[data-filter="fail"]`)), media("print", ""))
	b.wantShown(every...)
	closed := eval[[]string](b, `[...document.querySelectorAll(".check .body")].filter(e => !e.checkVisibility() || e.offsetHeight === 0).map(e => e.parentElement.id)`)
	if len(closed) > 0 {
		b.t.Errorf("details that are not printed: %v", closed)
	}
	if eval[bool](b, `document.getElementById("controls").checkVisibility()`) {
		b.t.Error("the filters are printed")
	}
	b.picture("paper")
	b.do(media("", ""))
	if folder := os.Getenv(screenshotsTo); folder != "" {
		b.keep(folder, "paper.pdf", get(b, chromedp.PrintToPDF(chromedp.PDFPreferCSSPageSize())))
	}
}

// withoutScripts makes the browser run none.
var withoutScripts = command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})

func TestPageWithoutJavaScript(t *testing.T) {
	b := openBrowser(t)
	b.do(withoutScripts,
		chromedp.Navigate(pageFile(t, rendered(t, HTML(fixture(t))))),
		chromedp.WaitVisible(chromedp.CSS("#check-PING-002")),
		chromedp.WaitNotVisible(chromedp.CSS("#controls")))
	b.wantOpen("PING-002", false)
	b.do(chromedp.Click(chromedp.CSS("#check-PING-002 > summary")))
	b.wantOpen("PING-002", true)
}

// TestPolicyHolds plants in the page what escaping keeps out, and sees the
// policy stop it: an escape that were missed would still do no harm, and the
// other tests are not blind to one.
func TestPolicyHolds(t *testing.T) {
	b := openBrowser(t)
	for name, planted := range map[string]string{
		"script":  `<script>alert(1)</script>`,
		"handler": `<img src="data:," onerror="alert(1)">`,
		"request": `<img src="http://127.0.0.1:9/planted.png">`,
		"style":   `<p style="color: red">red</p>`,
	} {
		t.Run(name, func(t *testing.T) {
			b.forget()
			content := strings.Replace(string(rendered(t, HTML(healthy(t)))), "</main>", planted+"</main>", 1)
			b.do(chromedp.Navigate(pageFile(t, []byte(content))), chromedp.WaitVisible(chromedp.CSS("#controls")))
			gomega.NewWithT(t).Eventually(func() []string {
				problems, _ := b.seen()
				return problems
			}).WithTimeout(10 * time.Second).Should(gomega.ContainElement(gomega.ContainSubstring("Content Security Policy")))
			problems, _ := b.seen()
			for _, p := range problems {
				if strings.HasPrefix(p, "dialog") {
					t.Error(p)
				}
			}
		})
	}
}
