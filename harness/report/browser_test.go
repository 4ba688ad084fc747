package report

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/report/pagetest"
)

// shown are the checks that a reader sees in the list.
func shown(b *pagetest.Browser) []string {
	return pagetest.Eval[[]string](b, `[...document.querySelectorAll(".check")].filter(e => e.checkVisibility()).map(e => e.id.slice(6))`)
}

func wantShown(t testing.TB, b *pagetest.Browser, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, shown(b), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("checks shown (-want +got):\n%s", diff)
	}
}

// wantOpen holds that a check shows its details, or that it does not.
func wantOpen(t testing.TB, b *pagetest.Browser, id string, want bool) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() bool {
		return pagetest.Eval[bool](b, `document.querySelector("#check-`+id+` .body").checkVisibility({contentVisibilityAuto: true})`)
	}).WithTimeout(pagetest.Patience).Should(gomega.Equal(want), "whether %s shows its details", id)
}

// clearSearch empties the search box as a user does.
var clearSearch = chromedp.Steps(
	chromedp.Focus(chromedp.CSS("#search")),
	chromedp.KeyEvent("a", chromedp.KeyModifiers(chromedp.ModifierCtrl)),
	chromedp.KeyEvent(kb.Delete),
)

func TestPageInABrowser(t *testing.T) {
	b := pagetest.Open(t)
	address := pagetest.File(t, rendered(t, HTML(fixture(t))))
	every := []string{
		"PING-001", "PING-002", "PING-013", "PING-018", "PING-019", "TCP-001", "TCP-005", "TCP-051", "TCP-056",
		"UDP-001", "UDP-003", "UDP-010",
	}
	b.Do(chromedp.EmulateViewport(1200, 900), chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS("#controls")))
	wantShown(t, b, every...)
	b.Picture("light")

	t.Run("search", func(t *testing.T) {
		b.Do(chromedp.SendKeys(chromedp.CSS("#search"), "refused datagram"))
		wantShown(t, b)
		b.Do(clearSearch, chromedp.SendKeys(chromedp.CSS("#search"), "REFUSED"))
		wantShown(t, b, "TCP-005", "UDP-010")
		if got := pagetest.Eval[string](b, `document.getElementById("shown").innerText`); got != "2 of 12 checks shown" {
			t.Errorf("the count says %q", got)
		}
		if pagetest.Eval[bool](b, `document.getElementById("suite-ping").checkVisibility()`) {
			t.Error("a suite without a match is still shown")
		}
		b.Do(clearSearch)
		wantShown(t, b, every...)
	})
	t.Run("filter", func(t *testing.T) {
		b.Do(chromedp.Click(chromedp.CSS(`[data-filter="fail"]`)))
		wantShown(t, b, "PING-002", "TCP-005")
		// By keyboard: focus, then the space bar.
		b.Do(chromedp.Focus(chromedp.CSS(`[data-filter="warn"]`)), chromedp.KeyEvent(" "))
		wantShown(t, b, "PING-002", "TCP-005", "TCP-051")
		if got := pagetest.Eval[string](b, `document.querySelector('[data-filter="warn"]').getAttribute("aria-pressed")`); got != "true" {
			t.Errorf("aria-pressed is %s", got)
		}
		b.Picture("filtered")
		b.Do(chromedp.Click(chromedp.CSS(`[data-filter="fail"]`)), chromedp.Click(chromedp.CSS(`[data-filter="warn"]`)))
		wantShown(t, b, every...)
	})
	t.Run("expand", func(t *testing.T) {
		wantOpen(t, b, "TCP-005", false)
		b.Do(chromedp.Click(chromedp.CSS("#check-TCP-005 > summary")))
		wantOpen(t, b, "TCP-005", true)
		body := pagetest.Eval[string](b, `document.querySelector("#check-TCP-005 .body").innerText`)
		for _, want := range []string{
			"connect: cannot assign requested address", "EADDRNOTAVAIL after 41 µs", "name <script>alert(1)</script>",
			"sysctl -w net.ipv6.conf.lo.disable_ipv6=0", "RFC 9293, section 3.10.7.1", "suites/tcp/refuse.go:31",
		} {
			if !strings.Contains(body, want) {
				t.Errorf("the details lack %q:\n%s", want, body)
			}
		}
		b.Picture("expanded")
	})
	t.Run("link to a filtered check", func(t *testing.T) {
		b.Do(chromedp.Click(chromedp.CSS(`[data-filter="warn"]`)), chromedp.Click(chromedp.CSS(`#attention a[href="#check-PING-002"]`)))
		wantOpen(t, b, "PING-002", true)
		wantShown(t, b, every...)
	})
	t.Run("hostile text", func(t *testing.T) {
		if n := pagetest.Eval[int](b, `document.scripts.length`); n != 1 {
			t.Errorf("the page has %d scripts, want its own", n)
		}
		if got := pagetest.Eval[string](b, `document.querySelector(".eyebrow").innerText`); !strings.Contains(got, `web-1<script>alert(1)</script>\x1b[31m`) {
			t.Errorf("the host name reads %q", got)
		}
	})
	t.Run("firewall", func(t *testing.T) { showsTheFirewall(t, b) })
	t.Run("phone", func(t *testing.T) {
		b.Do(chromedp.EmulateViewport(360, 780), chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS("#controls")))
		if width := pagetest.Eval[int](b, `document.documentElement.scrollWidth`); width > 360 {
			t.Errorf("the page is %d px wide on a screen of 360", width)
		}
		b.Picture("phone")
	})
	t.Run("dark", func(t *testing.T) {
		b.Do(chromedp.EmulateViewport(1200, 900), chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS("#controls")))
		const ground = `getComputedStyle(document.body).backgroundColor`
		light := pagetest.Eval[string](b, ground)
		b.Do(pagetest.Media("", "dark"))
		if dark := pagetest.Eval[string](b, ground); dark == light {
			t.Errorf("the ground is %s in both schemes", dark)
		}
		b.Picture("dark")
	})
	t.Run("paper", func(t *testing.T) { printed(t, b, every) })

	b.WantQuiet(address)
}

// printed looks at the page as paper shows it, a filter still set.
func printed(t testing.TB, b *pagetest.Browser, every []string) {
	t.Helper()
	b.Do(chromedp.Click(chromedp.CSS(`[data-filter="fail"]`)), pagetest.Media("print", ""))
	wantShown(t, b, every...)
	closed := pagetest.Eval[[]string](b, `[...document.querySelectorAll(".check .body")].filter(e => !e.checkVisibility() || e.offsetHeight === 0).map(e => e.parentElement.id)`)
	if len(closed) > 0 {
		t.Errorf("details that are not printed: %v", closed)
	}
	if pagetest.Eval[bool](b, `document.getElementById("controls").checkVisibility()`) {
		t.Error("the filters are printed")
	}
	b.Picture("paper")
	b.Do(pagetest.Media("", ""))
	b.PDF("paper")
}

// On A4 nothing is cut off: the tables that scroll on a screen fit.
func TestPagesFitPaperInABrowser(t *testing.T) {
	for name, page := range pages(t) {
		t.Run(name, func(t *testing.T) {
			b := pagetest.Open(t)
			b.Do(chromedp.EmulateViewport(pagetest.Screen, 900), chromedp.Navigate(pagetest.File(t, page)), chromedp.WaitVisible(chromedp.CSS("#host")))
			b.WantPaper()
			b.Picture(name + "-paper")
			b.LeavePaper()
			b.PDF(name)
		})
	}
}

func TestPageWithoutJavaScript(t *testing.T) {
	b := pagetest.Open(t)
	b.Do(pagetest.WithoutScripts,
		chromedp.Navigate(pagetest.File(t, rendered(t, HTML(fixture(t))))),
		chromedp.WaitVisible(chromedp.CSS("#check-PING-002")),
		chromedp.WaitNotVisible(chromedp.CSS("#controls")))
	wantOpen(t, b, "PING-002", false)
	b.Do(chromedp.Click(chromedp.CSS("#check-PING-002 > summary")))
	wantOpen(t, b, "PING-002", true)
}

// TestPolicyHolds plants in the page what escaping keeps out, and sees the
// policy stop it: an escape that were missed would still do no harm, and the
// other tests are not blind to one.
func TestPolicyHolds(t *testing.T) {
	b := pagetest.Open(t)
	for name, planted := range map[string]string{
		"script":  `<script>alert(1)</script>`,
		"handler": `<img src="data:," onerror="alert(1)">`,
		"request": `<img src="http://127.0.0.1:9/planted.png">`,
		"style":   `<p style="color: red">red</p>`,
	} {
		t.Run(name, func(t *testing.T) {
			b.Forget()
			content := strings.Replace(string(rendered(t, HTML(healthy(t)))), "</main>", planted+"</main>", 1)
			b.Do(chromedp.Navigate(pagetest.File(t, []byte(content))), chromedp.WaitVisible(chromedp.CSS("#controls")))
			gomega.NewWithT(t).Eventually(b.Problems).WithTimeout(pagetest.Patience).Should(gomega.ContainElement(gomega.ContainSubstring("Content Security Policy")))
			for _, p := range b.Problems() {
				if strings.HasPrefix(p, "dialog") {
					t.Error(p)
				}
			}
		})
	}
}
