package compare

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/benchtest"
	"github.com/loopcheck/loopcheck/bench/judge"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/report/pagetest"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// hostile is what an attacker who may name a host, a check or a benchmark would try.
const hostile = "<script>alert(1)</script>\x1b[31m\a\u202e\x00]]>"

// drawnPair is the pair of runs with histograms for the charts, and hostile names.
func drawnPair() *Comparison {
	base, after := pair()
	tcp, udp := bench.Spec{Transport: bench.TCP, Placement: topology.SameCore}, bench.Spec{Transport: bench.UDP, Placement: topology.SameCore}
	base.Benchmarks = append(base.Benchmarks[2:], benchtest.Result(tcp, 14_000, 120_000), benchtest.Result(udp, 12_000, 5_000))
	after.Benchmarks = append(after.Benchmarks[2:], benchtest.Result(tcp, 16_500, 60_000), benchtest.Result(udp, 12_100, 5_000))
	after.Host.Hostname = hostile
	after.Checks[0].Title += hostile
	after.Checks[0].Message += hostile
	for _, r := range []*report.Report{base, after} {
		one := result(bench.Spec{Transport: bench.Pipe, Engine: bench.NetConn}, 9_000, 12)
		one.Name += hostile
		one.Restarts[3].Taint = []string{hostile}
		r.Benchmarks = append(r.Benchmarks, one)
	}
	c := Reports(base, after, rules)
	c.Base.Source, c.New.Source = "base.json", "new.json"+hostile
	return c
}

// pages are those of one comparison, of several, and of two sides in turns.
func pages(t testing.TB) map[string][]byte {
	a, b := result(bench.Spec{}, 14_000, 30), result(bench.Spec{}, 16_000, 30)
	turns := Measured(Side{Source: "A: as this machine is"}, Side{Source: "B: --rules-b new.nft"},
		[]bench.Comparison{{Kept: 30, Taint: map[string]int{}, Sides: []bench.Compared{{Name: a.Name, Restarts: a.Restarts}, {Name: b.Name, Restarts: b.Restarts}}}}, nil, rules)
	base, _ := pair()
	same := Reports(base, base, rules)
	same.Base.Source, same.New.Source = "base.json", "same.json"
	return map[string][]byte{
		"comparison":  rendered(t, HTML(drawnPair())),
		"comparisons": rendered(t, HTML(compared(), same)),
		"turns":       rendered(t, HTML(turns)),
	}
}

// assets are the style and the script, which stand in files of their own, and hashes
// those of the policy.
var (
	assets = regexp.MustCompile(`(?s)<(style|script)>.*?</(?:style|script)>`)
	hashes = regexp.MustCompile(`sha256-.*?=&#39;`)
)

func TestPageGolden(t *testing.T) {
	for name, page := range pages(t) {
		page = hashes.ReplaceAll(assets.ReplaceAll(page, []byte("<$1>…</$1>")), []byte("sha256-…&#39;"))
		golden(t, name+".html", page)
		if n := bytes.Count(page, []byte("<script")); n != 1 {
			t.Errorf("%s has %d scripts, want its own", name, n)
		}
		for _, bad := range []string{"\x1b", "\x00", "\u202e", "\a", " style=", "javascript:"} {
			if bytes.Contains(page, []byte(bad)) {
				t.Errorf("%s holds %q", name, bad)
			}
		}
	}
}

func TestWhatThePageSaysOfSeveral(t *testing.T) {
	of := func(v judge.Verdict) comparisonView {
		return comparisonView{Comparison: &Comparison{Verdict: v}, Sentence: "alone"}
	}
	for _, c := range []struct {
		verdicts []judge.Verdict
		verdict  judge.Verdict
		sentence string
	}{
		{[]judge.Verdict{judge.Improvement}, judge.Improvement, "alone"},
		{[]judge.Verdict{judge.NoChange, judge.Improvement}, judge.NoChange, "No regression in 2 comparisons."},
		{[]judge.Verdict{judge.Inconclusive, judge.Improvement}, judge.Inconclusive, "No regression is shown, but not all is decided in 1 of 2 comparisons."},
		{[]judge.Verdict{judge.Inconclusive, judge.Regression, judge.Regression}, judge.Regression, "Regression in 2 of 3 comparisons."},
	} {
		var all []comparisonView
		for _, v := range c.verdicts {
			all = append(all, of(v))
		}
		if verdict, sentence := inAll(all); verdict != c.verdict || sentence != c.sentence {
			t.Errorf("%v: %s, %q", c.verdicts, verdict, sentence)
		}
	}
}

// The worst comes first, before what only differs.
func TestWhatGotWorseComesFirst(t *testing.T) {
	page := string(rendered(t, HTML(drawnPair())))
	at := -1
	for _, text := range []string{">Got worse<", "TCP-001", "takes 1", ">What is compared<", ">Benchmarks</h3>", "data-chart=", ">Checks</h3>", ">Firewall</h3>", ">Settings</h3>"} {
		i := strings.Index(page[strings.Index(page, "<main>"):], text)
		if i <= at {
			t.Errorf("%q stands at %d, after what stands at %d", text, i, at)
		}
		at = i
	}
}

// Of very much the page shows the worst, and stays as small as a report's.
func TestThePageIsBounded(t *testing.T) {
	base, after := pair()
	base.Benchmarks, after.Benchmarks = nil, nil
	for i := range 70 {
		s := bench.Spec{Transport: bench.TCP, SizeBytes: i + 1}
		base.Benchmarks = append(base.Benchmarks, benchtest.Result(s, 14_000+float64(i), 20_000))
		after.Benchmarks = append(after.Benchmarks, benchtest.Result(s, 14_000+float64(10*i), 20_000))
	}
	base.Checks, after.Checks = []report.Check{}, nil
	for i := range 2000 {
		after.Checks = append(after.Checks, report.Check{ID: fmt.Sprintf("TCP-%04d", i), Suite: "tcp", State: check.Fail, Message: strings.Repeat("long ", 20)})
	}
	page := rendered(t, HTML(Reports(base, after, rules)))
	t.Logf("%d bytes", len(page))
	if len(page) > 2<<20 {
		t.Errorf("the page has %d bytes", len(page))
	}
	for _, want := range []string{"1700 more in the JSON form", "Charts of the first 60 benchmarks"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestThePageInABrowser(t *testing.T) {
	for name, page := range pages(t) {
		t.Run(name, func(t *testing.T) { pagetest.Looks(t, name, pagetest.File(t, page)) })
	}
}

func TestThePageIsAccessible(t *testing.T) {
	for name, page := range pages(t) {
		t.Run(name, func(t *testing.T) { pagetest.Accessible(t, pagetest.File(t, page)) })
	}
}

// Both sides are drawn in each chart, and read by the keyboard.
func TestBothSidesAreReadInAChart(t *testing.T) {
	b := pagetest.Open(t)
	b.Do(chromedp.EmulateViewport(pagetest.Screen, 900), chromedp.Navigate(pagetest.File(t, pages(t)["comparison"])), chromedp.WaitVisible(chromedp.CSS(".chart")))
	b.DrawCharts()
	for chart, want := range map[string]string{
		"Percentiles":                `^p0: base [0-9.]+ µs, new [0-9.]+ µs$`,
		"Distribution":               `^[0-9.]+ µs: base [0-9.e-]+ %, new [0-9.e-]+ %$`,
		"Median, restart by restart": `^restart 1(, tainted by .*)?: base [0-9.]+ µs, new [0-9.]+ µs$`,
	} {
		plot := fmt.Sprintf(`[...document.querySelectorAll(".chart")].find(e => e.querySelector("figcaption").textContent === %q)`, chart)
		pagetest.Eval[any](b, "("+plot+`.querySelector(".drawn").focus(), null)`)
		b.Do(chromedp.KeyEvent(kb.Home))
		gomega.NewWithT(t).Eventually(func() string {
			return pagetest.Eval[string](b, plot+`.querySelector(".readout").textContent`)
		}).WithTimeout(pagetest.Patience).Should(gomega.MatchRegexp(want), chart)
	}
}

// Without scripts there are the tables, and nothing that would need one.
func TestThePageWithoutJavaScript(t *testing.T) {
	b := pagetest.Open(t)
	address := pagetest.File(t, pages(t)["comparison"])
	b.Do(pagetest.WithoutScripts, chromedp.Navigate(address),
		chromedp.WaitVisible(chromedp.CSS(".figures")), chromedp.WaitNotVisible(chromedp.CSS(".keys")), chromedp.WaitNotVisible(chromedp.CSS(".drawn")))
}

func TestThePagePassesOnAnErrorOfWriting(t *testing.T) {
	full := errors.New("no space")
	if err := HTML(compared())(writer(func([]byte) (int, error) { return 0, full })); !errors.Is(err, full) {
		t.Errorf("error is %v", err)
	}
}

// writer is a function that writes.
type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
