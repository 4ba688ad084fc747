package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/benchtest"
	"github.com/loopcheck/loopcheck/harness/report/pagetest"
)

// inked counts the pixels of a chart that have one of the colours of a variable of
// the style sheet.
func inked(t testing.TB, b *pagetest.Browser, chart int, variable string) int {
	t.Helper()
	return pagetest.Eval[int](b, fmt.Sprintf(`(() => {
		const canvas = document.querySelectorAll(".chart")[%d].querySelector("canvas");
		const hex = getComputedStyle(document.documentElement).getPropertyValue(%q).trim();
		const [r, g, b] = [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
		const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
		copy.drawImage(canvas, 0, 0);
		const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
		let n = 0;
		for (let i = 0; i < data.length; i += 4) {
			n += data[i] === r && data[i + 1] === g && data[i + 2] === b && data[i + 3] === 255 ? 1 : 0;
		}
		return n;
	})()`, chart, variable))
}

// chartNamed is the place of a chart among all, by its title and what it lies in.
func chartNamed(t testing.TB, b *pagetest.Browser, title, within string) int {
	t.Helper()
	i := pagetest.Eval[int](b, fmt.Sprintf(`[...document.querySelectorAll(".chart")].findIndex(e =>
		e.querySelector("figcaption").textContent === %q && (e.closest("details.plot, main").textContent).includes(%q))`, title, within))
	if i < 0 {
		t.Fatalf("no chart %q of %q", title, within)
	}
	return i
}

func TestChartsInABrowser(t *testing.T) {
	b := pagetest.Open(t)
	r := benchRun(t, slices.Concat(benchtest.Sweep(), benchtest.Results()[2:], []bench.Result{twoModes(t)}))
	b.Do(chromedp.EmulateViewport(1200, 900), chromedp.Navigate(pagetest.File(t, rendered(t, BenchHTML(r)))), chromedp.WaitVisible(chromedp.CSS("#benchmarks")))
	b.DrawCharts()
	b.Picture("charts-light")

	same := chartNamed(t, b, "Percentiles, same-core", "")
	burst := chartNamed(t, b, "Restart by restart", "tcp6/burst")
	modes := chartNamed(t, b, "Distribution", "tcp/rr/netconn/free/64B")
	for variable, chart := range map[string]int{"--line-0": same, "--line-1": same, "--line-2": burst, "--tainted": burst, "--chart-bar": modes, "--mode": modes} {
		if inked(t, b, chart, variable) == 0 {
			t.Errorf("nothing in chart %d has the colour %s", chart, variable)
		}
	}
	t.Run("told in words", func(t *testing.T) {
		silent := pagetest.Eval[[]string](b, `[...document.querySelectorAll(".chart")].filter(e => !e.querySelector('.drawn[role="img"][aria-label]').checkVisibility()).map(e => e.textContent)`)
		if len(silent) > 0 {
			t.Errorf("charts without words: %q", silent)
		}
		if pagetest.Eval[bool](b, `[...document.querySelectorAll(".still")].some(e => e.checkVisibility())`) {
			t.Error("a picture for pages without scripts is shown as well")
		}
	})
	t.Run("lines by keyboard", func(t *testing.T) {
		button := fmt.Sprintf(`document.querySelectorAll(".chart")[%d].querySelector('button[data-line="1"]')`, same)
		pagetest.Eval[any](b, "("+button+".focus(), null)")
		b.Do(chromedp.KeyEvent(" "))
		if got := pagetest.Eval[string](b, button+`.getAttribute("aria-pressed")`); got != "false" {
			t.Errorf("aria-pressed is %s", got)
		}
		gomega.NewWithT(t).Eventually(func() int { return inked(t, b, same, "--line-1") }).WithTimeout(pagetest.Patience).Should(gomega.BeZero())
		b.Do(chromedp.KeyEvent(" "))
		gomega.NewWithT(t).Eventually(func() int { return inked(t, b, same, "--line-1") }).WithTimeout(pagetest.Patience).ShouldNot(gomega.BeZero())
	})
	t.Run("figures by keyboard", func(t *testing.T) {
		chart := fmt.Sprintf(`document.querySelectorAll(".chart")[%d]`, burst)
		read := func() string { return pagetest.Eval[string](b, chart+`.querySelector(".readout").textContent`) }
		pagetest.Eval[any](b, "("+chart+`.querySelector(".drawn").focus(), null)`)
		b.Do(chromedp.KeyEvent(kb.End))
		gomega.NewWithT(t).Eventually(read).WithTimeout(pagetest.Patience).Should(gomega.HavePrefix("restart 10, tainted by cpu-pressure, gc: p50 "))
		b.Do(chromedp.KeyEvent(kb.Home))
		gomega.NewWithT(t).Eventually(read).WithTimeout(pagetest.Patience).Should(gomega.MatchRegexp(`^restart 1: p50 [0-9.]+ µs, p90 [0-9.]+ µs, p99 [0-9.]+ µs$`))
		b.Do(chromedp.KeyEvent(kb.ArrowRight))
		gomega.NewWithT(t).Eventually(read).WithTimeout(pagetest.Patience).Should(gomega.HavePrefix("restart 2: "))
	})
	t.Run("dark", func(t *testing.T) {
		light := pagetest.Eval[string](b, `getComputedStyle(document.documentElement).getPropertyValue("--line-0")`)
		b.Do(pagetest.Media("", "dark"))
		if dark := pagetest.Eval[string](b, `getComputedStyle(document.documentElement).getPropertyValue("--line-0")`); dark == light {
			t.Error("lines have the same colour in both schemes")
		}
		gomega.NewWithT(t).Eventually(func() int { return inked(t, b, same, "--line-0") }).WithTimeout(pagetest.Patience).ShouldNot(gomega.BeZero(), "the chart is drawn anew in the dark colour")
		b.Picture("charts-dark")
		b.Do(pagetest.Media("", ""))
	})
	t.Run("phone", func(t *testing.T) {
		b.Do(chromedp.EmulateViewport(390, 844))
		wide := fmt.Sprintf(`document.querySelectorAll(".chart")[%d].querySelector("canvas").getBoundingClientRect().width`, same)
		gomega.NewWithT(t).Eventually(func() float64 { return pagetest.Eval[float64](b, wide) }).WithTimeout(pagetest.Patience).Should(gomega.BeNumerically("<", 390))
		if width := pagetest.Eval[int](b, `document.documentElement.scrollWidth`); width > 390 {
			t.Errorf("the page is %d px wide on a screen of 390", width)
		}
		b.Picture("charts-phone")
		b.Do(chromedp.EmulateViewport(1200, 900))
	})
	t.Run("paper", func(t *testing.T) {
		const paper = 672 // pixels of A4 between its margins
		b.Do(chromedp.EmulateViewport(paper, 950), pagetest.Media("print", "dark"))
		pagetest.Eval[any](b, `(window.dispatchEvent(new Event("beforeprint")), null)`)
		if width := pagetest.Eval[float64](b, `Math.max(...[...document.querySelectorAll(".chart canvas")].map(e => e.getBoundingClientRect().right))`); width > paper {
			t.Errorf("a chart ends at %.0f px on paper of %d", width, paper)
		}
		gomega.NewWithT(t).Eventually(func() string {
			return pagetest.Eval[string](b, `getComputedStyle(document.documentElement).getPropertyValue("--line-0").trim()`)
		}).WithTimeout(pagetest.Patience).Should(gomega.Equal("#0a58ca"), "the colours of paper, though the screen is dark")
		gomega.NewWithT(t).Eventually(func() int { return inked(t, b, same, "--line-0") }).WithTimeout(pagetest.Patience).ShouldNot(gomega.BeZero())
		b.Picture("charts-paper")
		pagetest.Eval[any](b, `(window.dispatchEvent(new Event("afterprint")), null)`)
		b.Do(pagetest.Media("", ""), chromedp.EmulateViewport(1200, 900))
		b.PDF("charts-paper")
	})
	for _, p := range b.Problems() {
		t.Error(p)
	}
}

// Without scripts there are the pictures and tables, and nothing that would need one.
func TestChartsWithoutJavaScript(t *testing.T) {
	b := pagetest.Open(t)
	b.Do(pagetest.WithoutScripts, chromedp.Navigate(pagetest.File(t, rendered(t, BenchHTML(benchRun(t, benchtest.Results()[:2]))))),
		chromedp.WaitVisible(chromedp.CSS(".still svg")), chromedp.WaitVisible(chromedp.CSS(".figures")),
		chromedp.WaitNotVisible(chromedp.CSS(".keys")), chromedp.WaitNotVisible(chromedp.CSS(".drawn")))
	const empty = `[...document.querySelectorAll(".chart figcaption")].filter(e => e.checkVisibility() && !e.parentElement.querySelector("svg, table")).map(e => e.textContent)`
	if titles := pagetest.Eval[[]string](b, empty); len(titles) > 0 {
		t.Errorf("titles without a picture or a table: %q", titles)
	}
}

func TestLaddersInABrowser(t *testing.T) {
	b := pagetest.Open(t)
	b.Do(chromedp.EmulateViewport(1200, 900), chromedp.Navigate(pagetest.File(t, rendered(t, LaddersHTML(ladders())))), chromedp.WaitVisible(chromedp.CSS(".ladder svg")))
	b.Picture("ladder-light")
	b.Do(pagetest.Media("", "dark"))
	b.Picture("ladder-dark")
	b.Do(pagetest.Media("", ""), chromedp.EmulateViewport(390, 844))
	if width := pagetest.Eval[int](b, `document.documentElement.scrollWidth`); width > 390 {
		t.Errorf("the page is %d px wide on a screen of 390", width)
	}
	if out := pagetest.Eval[[]string](b, `[...document.querySelectorAll(".ladder text")].filter(e => e.getBoundingClientRect().right > 390).map(e => e.textContent)`); len(out) > 0 {
		t.Errorf("texts that run out of the screen: %q", out)
	}
	b.Picture("ladder-phone")
	for _, p := range b.Problems() {
		t.Error(p)
	}
}

// Nothing serious or critical keeps a reader from any of the pages.
func TestPagesAreAccessible(t *testing.T) {
	for name, page := range pages(t) {
		t.Run(name, func(t *testing.T) { pagetest.Accessible(t, pagetest.File(t, page)) })
	}
}

// BenchmarkOpen opens a page of 500 checks and 50 benchmarks from a file until it is
// loaded, its first charts drawn where they are in sight.
func BenchmarkOpen(bm *testing.B) {
	b := pagetest.Open(bm)
	address := pagetest.File(bm, rendered(bm, HTML(large(bm))))
	b.Do(chromedp.EmulateViewport(1200, 900))
	total := 0.0
	for bm.Loop() {
		b.Do(chromedp.Navigate(address))
		total += pagetest.Eval[float64](b, `performance.getEntriesByType("navigation")[0].loadEventEnd`)
		if !strings.HasPrefix(pagetest.Eval[string](b, `document.title`), "fail · loopcheck") {
			bm.Fatal("another page was opened")
		}
	}
	bm.ReportMetric(total/float64(bm.N), "ms/open")
}
