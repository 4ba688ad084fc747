package pagetest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/onsi/gomega"
)

// axeIn names the environment variable with the folder of axe-core, the npm package
// that judges whether a page is accessible.
const axeIn = "LOOPCHECK_AXE"

// Widths in CSS pixels: of a screen, of a small phone, and of A4 between the margins
// of the style sheet.
const (
	Screen = 1200
	Phone  = 360
	Paper  = 672
)

// WantWidth shows the page at a width and holds that nothing of it lies beyond, where
// only tables in a frame of their own that scrolls may.
func (b *Browser) WantWidth(width int) {
	b.t.Helper()
	b.Do(chromedp.EmulateViewport(int64(width), 900))
	if got := Eval[int](b, `document.documentElement.scrollWidth`); got > width {
		b.t.Errorf("the page is %d px wide on a screen of %d", got, width)
	}
}

// WantPaper shows the page as A4 paper does and holds that nothing is cut off: what
// scrolls on a screen has to fit.
func (b *Browser) WantPaper() {
	b.t.Helper()
	b.Do(chromedp.EmulateViewport(Paper, 950), Media("print", ""))
	Eval[any](b, `(window.dispatchEvent(new Event("beforeprint")), null)`)
	wide := Eval[[]string](b, fmt.Sprintf(`[...document.querySelectorAll("table, pre, svg, canvas, p, h1, h2, h3, h4, dl")]
		.filter(e => e.checkVisibility() && e.getBoundingClientRect().right > %d + 0.5)
		.map(e => Math.round(e.getBoundingClientRect().right) + " px: " + e.outerHTML.slice(0, 80) + "… " + e.textContent.trim().slice(0, 80))`, Paper))
	if len(wide) > 0 {
		b.t.Errorf("beyond the edge of paper of %d px:\n%s", Paper, strings.Join(wide, "\n"))
	}
}

// LeavePaper is back on the screen.
func (b *Browser) LeavePaper() {
	b.t.Helper()
	Eval[any](b, `(window.dispatchEvent(new Event("afterprint")), null)`)
	b.Do(Media("", ""), chromedp.EmulateViewport(Screen, 900))
}

// DrawCharts opens all that can be opened, brings every chart into sight and waits
// until it is drawn.
func (b *Browser) DrawCharts() {
	b.t.Helper()
	Eval[any](b, `(document.querySelectorAll("details").forEach(e => { e.open = true; }), null)`)
	for i := range Eval[int](b, `document.querySelectorAll(".chart").length`) {
		Eval[any](b, fmt.Sprintf(`(document.querySelectorAll(".chart")[%d].scrollIntoView(), null)`, i))
		gomega.NewWithT(b.t).Eventually(func() bool {
			return Eval[bool](b, fmt.Sprintf(`document.querySelectorAll(".chart")[%d].querySelector("canvas") !== null`, i))
		}).WithTimeout(Patience).Should(gomega.BeTrue(), "chart %d is drawn", i)
	}
}

// Looks opens a page on a screen in light and dark, on a phone and on paper, and
// holds that it fits each and keeps quiet. Pictures are named after it.
func Looks(t *testing.T, name, address string) {
	t.Helper()
	b := Open(t)
	b.Do(chromedp.EmulateViewport(Screen, 900), chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS("main")))
	b.DrawCharts()
	b.Picture(name + "-light")
	const ground = `getComputedStyle(document.body).backgroundColor`
	light := Eval[string](b, ground)
	b.Do(Media("", "dark"))
	if dark := Eval[string](b, ground); dark == light {
		t.Errorf("the ground is %s in both schemes", dark)
	}
	b.Picture(name + "-dark")
	b.Do(Media("", ""))
	b.WantWidth(Phone)
	b.Picture(name + "-phone")
	b.WantPaper()
	b.Picture(name + "-paper")
	b.LeavePaper()
	b.PDF(name)
	b.WantQuiet(address)
}

// Accessible holds that nothing serious or critical keeps a reader from a page, in
// both colour schemes, by axe-core. The test is skipped where that is not.
func Accessible(t *testing.T, address string) {
	t.Helper()
	folder := os.Getenv(axeIn)
	if folder == "" {
		t.Skipf("no axe-core: set %s to the folder that has its axe.min.js (npm pack axe-core)", axeIn)
	}
	axe, err := os.ReadFile(filepath.Join(folder, "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"light", "dark"} {
		t.Run(scheme, func(t *testing.T) {
			b := Open(t)
			b.Do(chromedp.EmulateViewport(Screen, 900), Media("", scheme), chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS("main")))
			b.DrawCharts()
			Eval[any](b, string(axe)+"\n;null")
			if found := b.violations(); len(found) > 0 {
				t.Error(strings.Join(found, "\n"))
			}
			// It is not blind: an image without words is a violation.
			Eval[any](b, `(document.querySelector("main").append(document.createElement("img")), null)`)
			if want := []string{`critical image-alt: Images must have alternative text: <img>`}; !slices.Equal(b.violations(), want) {
				t.Errorf("a planted one gives %q, want %q", b.violations(), want)
			}
		})
	}
}

// violations are those that are serious or critical. The page has to have axe-core,
// https://www.deque.com/axe/core-documentation/api-documentation.
func (b *Browser) violations() (told []string) {
	b.t.Helper()
	text := Get(b, chromedp.Evaluate[string](`axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations))`, chromedp.EvalAwaitPromise))
	var found []struct {
		ID     string
		Impact string
		Help   string
		Nodes  []struct{ HTML string }
	}
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range found {
		if v.Impact != "serious" && v.Impact != "critical" {
			continue
		}
		for _, n := range v.Nodes {
			told = append(told, fmt.Sprintf("%s %s: %s: %s", v.Impact, v.ID, v.Help, n.HTML))
		}
	}
	return told
}
