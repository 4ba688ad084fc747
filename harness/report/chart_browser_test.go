package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/benchtest"
)

// axeIn names the environment variable with the folder of axe-core, the npm package
// that judges whether a page is accessible.
const axeIn = "LOOPCHECK_AXE"

// drawCharts brings every chart into sight and waits until it is drawn.
func (b *browser) drawCharts() {
	b.t.Helper()
	eval[any](b, `(document.querySelectorAll("details").forEach(e => { e.open = true; }), null)`)
	for i := range eval[int](b, `document.querySelectorAll(".chart").length`) {
		eval[any](b, fmt.Sprintf(`(document.querySelectorAll(".chart")[%d].scrollIntoView(), null)`, i))
		gomega.NewWithT(b.t).Eventually(func() bool {
			return eval[bool](b, fmt.Sprintf(`document.querySelectorAll(".chart")[%d].querySelector("canvas") !== null`, i))
		}).WithTimeout(10*time.Second).Should(gomega.BeTrue(), "chart %d is drawn", i)
	}
}

// inked counts the pixels of a chart that have one of the colours of a variable of
// the style sheet.
func (b *browser) inked(chart int, variable string) int {
	b.t.Helper()
	return eval[int](b, fmt.Sprintf(`(() => {
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
func (b *browser) chartNamed(title, within string) int {
	b.t.Helper()
	i := eval[int](b, fmt.Sprintf(`[...document.querySelectorAll(".chart")].findIndex(e =>
		e.querySelector("figcaption").textContent === %q && (e.closest("details.plot, main").textContent).includes(%q))`, title, within))
	if i < 0 {
		b.t.Fatalf("no chart %q of %q", title, within)
	}
	return i
}

func TestChartsInABrowser(t *testing.T) {
	b := openBrowser(t)
	r := benchRun(t, slices.Concat(benchtest.Sweep(), benchtest.Results()[2:], []bench.Result{twoModes(t)}))
	b.do(chromedp.EmulateViewport(1200, 900), chromedp.Navigate(pageFile(t, rendered(t, BenchHTML(r)))), chromedp.WaitVisible(chromedp.CSS("#benchmarks")))
	b.drawCharts()
	b.picture("charts-light")

	same := b.chartNamed("Percentiles, same-core", "")
	burst := b.chartNamed("Restart by restart", "tcp6/burst")
	modes := b.chartNamed("Distribution", "tcp/rr/netconn/free/64B")
	for variable, chart := range map[string]int{"--line-0": same, "--line-1": same, "--line-2": burst, "--tainted": burst, "--chart-bar": modes, "--mode": modes} {
		if b.inked(chart, variable) == 0 {
			t.Errorf("nothing in chart %d has the colour %s", chart, variable)
		}
	}
	t.Run("told in words", func(t *testing.T) {
		silent := eval[[]string](b, `[...document.querySelectorAll(".chart")].filter(e => !e.querySelector('.drawn[role="img"][aria-label]').checkVisibility()).map(e => e.textContent)`)
		if len(silent) > 0 {
			t.Errorf("charts without words: %q", silent)
		}
		if eval[bool](b, `[...document.querySelectorAll(".still")].some(e => e.checkVisibility())`) {
			t.Error("a picture for pages without scripts is shown as well")
		}
	})
	t.Run("lines by keyboard", func(t *testing.T) {
		button := fmt.Sprintf(`document.querySelectorAll(".chart")[%d].querySelector('button[data-line="1"]')`, same)
		eval[any](b, "("+button+".focus(), null)")
		b.do(chromedp.KeyEvent(" "))
		if got := eval[string](b, button+`.getAttribute("aria-pressed")`); got != "false" {
			t.Errorf("aria-pressed is %s", got)
		}
		gomega.NewWithT(t).Eventually(func() int { return b.inked(same, "--line-1") }).WithTimeout(5 * time.Second).Should(gomega.BeZero())
		b.do(chromedp.KeyEvent(" "))
		gomega.NewWithT(t).Eventually(func() int { return b.inked(same, "--line-1") }).WithTimeout(5 * time.Second).ShouldNot(gomega.BeZero())
	})
	t.Run("figures by keyboard", func(t *testing.T) {
		chart := fmt.Sprintf(`document.querySelectorAll(".chart")[%d]`, burst)
		read := func() string { return eval[string](b, chart+`.querySelector(".readout").textContent`) }
		eval[any](b, "("+chart+`.querySelector(".drawn").focus(), null)`)
		b.do(chromedp.KeyEvent(kb.End))
		gomega.NewWithT(t).Eventually(read).WithTimeout(5 * time.Second).Should(gomega.HavePrefix("restart 10, tainted by cpu-pressure, gc: p50 "))
		b.do(chromedp.KeyEvent(kb.Home))
		gomega.NewWithT(t).Eventually(read).WithTimeout(5 * time.Second).Should(gomega.MatchRegexp(`^restart 1: p50 [0-9.]+ µs, p90 [0-9.]+ µs, p99 [0-9.]+ µs$`))
		b.do(chromedp.KeyEvent(kb.ArrowRight))
		gomega.NewWithT(t).Eventually(read).WithTimeout(5 * time.Second).Should(gomega.HavePrefix("restart 2: "))
	})
	t.Run("dark", func(t *testing.T) {
		light := eval[string](b, `getComputedStyle(document.documentElement).getPropertyValue("--line-0")`)
		b.do(media("", "dark"))
		if dark := eval[string](b, `getComputedStyle(document.documentElement).getPropertyValue("--line-0")`); dark == light {
			t.Error("lines have the same colour in both schemes")
		}
		gomega.NewWithT(t).Eventually(func() int { return b.inked(same, "--line-0") }).WithTimeout(5*time.Second).ShouldNot(gomega.BeZero(), "the chart is drawn anew in the dark colour")
		b.picture("charts-dark")
		b.do(media("", ""))
	})
	t.Run("phone", func(t *testing.T) {
		b.do(chromedp.EmulateViewport(390, 844))
		wide := fmt.Sprintf(`document.querySelectorAll(".chart")[%d].querySelector("canvas").getBoundingClientRect().width`, same)
		gomega.NewWithT(t).Eventually(func() float64 { return eval[float64](b, wide) }).WithTimeout(5 * time.Second).Should(gomega.BeNumerically("<", 390))
		if width := eval[int](b, `document.documentElement.scrollWidth`); width > 390 {
			t.Errorf("the page is %d px wide on a screen of 390", width)
		}
		b.picture("charts-phone")
		b.do(chromedp.EmulateViewport(1200, 900))
	})
	t.Run("paper", func(t *testing.T) {
		const paper = 672 // pixels of A4 between its margins
		b.do(chromedp.EmulateViewport(paper, 950), media("print", "dark"))
		eval[any](b, `(window.dispatchEvent(new Event("beforeprint")), null)`)
		if width := eval[float64](b, `Math.max(...[...document.querySelectorAll(".chart canvas")].map(e => e.getBoundingClientRect().right))`); width > paper {
			t.Errorf("a chart ends at %.0f px on paper of %d", width, paper)
		}
		gomega.NewWithT(t).Eventually(func() string {
			return eval[string](b, `getComputedStyle(document.documentElement).getPropertyValue("--line-0").trim()`)
		}).WithTimeout(5*time.Second).Should(gomega.Equal("#0a58ca"), "the colours of paper, though the screen is dark")
		gomega.NewWithT(t).Eventually(func() int { return b.inked(same, "--line-0") }).WithTimeout(5 * time.Second).ShouldNot(gomega.BeZero())
		b.picture("charts-paper")
		eval[any](b, `(window.dispatchEvent(new Event("afterprint")), null)`)
		b.do(media("", ""), chromedp.EmulateViewport(1200, 900))
		if folder := os.Getenv(screenshotsTo); folder != "" {
			b.keep(folder, "charts-paper.pdf", get(b, chromedp.PrintToPDF(chromedp.PDFPreferCSSPageSize())))
		}
	})
	problems, _ := b.seen()
	for _, p := range problems {
		t.Error(p)
	}
}

// Without scripts there are the pictures and tables, and nothing that would need one.
func TestChartsWithoutJavaScript(t *testing.T) {
	b := openBrowser(t)
	b.do(withoutScripts, chromedp.Navigate(pageFile(t, rendered(t, BenchHTML(benchRun(t, benchtest.Results()[:2]))))),
		chromedp.WaitVisible(chromedp.CSS(".still svg")), chromedp.WaitVisible(chromedp.CSS(".figures")),
		chromedp.WaitNotVisible(chromedp.CSS(".keys")), chromedp.WaitNotVisible(chromedp.CSS(".drawn")))
}

func TestLaddersInABrowser(t *testing.T) {
	b := openBrowser(t)
	b.do(chromedp.EmulateViewport(1200, 900), chromedp.Navigate(pageFile(t, rendered(t, LaddersHTML(ladders())))), chromedp.WaitVisible(chromedp.CSS(".ladder svg")))
	b.picture("ladder-light")
	b.do(media("", "dark"))
	b.picture("ladder-dark")
	b.do(media("", ""), chromedp.EmulateViewport(390, 844))
	if width := eval[int](b, `document.documentElement.scrollWidth`); width > 390 {
		t.Errorf("the page is %d px wide on a screen of 390", width)
	}
	if out := eval[[]string](b, `[...document.querySelectorAll(".ladder text")].filter(e => e.getBoundingClientRect().right > 390).map(e => e.textContent)`); len(out) > 0 {
		t.Errorf("texts that run out of the screen: %q", out)
	}
	b.picture("ladder-phone")
	problems, _ := b.seen()
	for _, p := range problems {
		t.Error(p)
	}
}

// violation is what axe-core found, https://www.deque.com/axe/core-documentation/api-documentation.
type violation struct {
	ID     string
	Impact string
	Help   string
	Nodes  []struct{ HTML string }
}

// Nothing serious or critical keeps a reader from any of the pages.
func TestPagesAreAccessible(t *testing.T) {
	folder := os.Getenv(axeIn)
	if folder == "" {
		t.Skipf("no axe-core: set %s to the folder that has its axe.min.js (npm pack axe-core)", axeIn)
	}
	axe, err := os.ReadFile(filepath.Join(folder, "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	for name, page := range pages(t) {
		for _, scheme := range []string{"light", "dark"} {
			t.Run(name+"/"+scheme, func(t *testing.T) {
				b := openBrowser(t)
				b.do(chromedp.EmulateViewport(1200, 900), media("", scheme), chromedp.Navigate(pageFile(t, page)), chromedp.WaitVisible(chromedp.CSS("#host")))
				b.drawCharts()
				if found := b.violations(string(axe)); len(found) > 0 {
					t.Error(strings.Join(found, "\n"))
				}
				// It is not blind: an image without words is a violation.
				eval[any](b, `(document.querySelector("main").append(document.createElement("img")), null)`)
				if diff := cmp.Diff([]string{`critical image-alt: Images must have alternative text: <img>`}, b.violations("")); diff != "" {
					t.Errorf("a planted one (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// violations are those that are serious or critical. The script is that of axe-core,
// or "" where the page has it already.
func (b *browser) violations(script string) (told []string) {
	b.t.Helper()
	if script != "" {
		eval[any](b, script+"\n;null")
	}
	text := get(b, chromedp.Evaluate[string](`axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations))`, chromedp.EvalAwaitPromise))
	var found []violation
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

// BenchmarkOpen opens a page of 500 checks and 50 benchmarks from a file until it is
// loaded, its first charts drawn where they are in sight.
func BenchmarkOpen(bm *testing.B) {
	b := openBrowser(bm)
	address := pageFile(bm, rendered(bm, HTML(large(bm))))
	b.do(chromedp.EmulateViewport(1200, 900))
	total := 0.0
	for bm.Loop() {
		b.do(chromedp.Navigate(address))
		total += eval[float64](b, `performance.getEntriesByType("navigation")[0].loadEventEnd`)
		if !strings.HasPrefix(eval[string](b, `document.title`), "fail · loopcheck") {
			bm.Fatal("another page was opened")
		}
	}
	bm.ReportMetric(total/float64(bm.N), "ms/open")
}
