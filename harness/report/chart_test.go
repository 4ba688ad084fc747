package report

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/benchtest"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// drawing is a chart as charts.js reads it.
type drawing struct {
	X, Y struct {
		Kind  string
		Ticks []chartMark
	}
	At    []float64
	Lines []struct {
		Name   string
		Off    bool
		Dashed bool
		Points []*float64
	}
	Marks, Taint []chartMark
	Bars         bool
}

func drawingOf(t *testing.T, c Chart) drawing {
	t.Helper()
	text, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	var d drawing
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// allCharts are those of results of each kind.
func allCharts() (charts []Chart) {
	v := benchViewOf(append(benchtest.Results(), benchtest.Sweep()...))
	for _, p := range v.Plots {
		for _, c := range []*Chart{p.Distribution, p.OverTime} {
			if c != nil {
				charts = append(charts, *c)
			}
		}
	}
	return slices.Concat(charts, v.Percentiles, v.Sweeps, Overlay(benchtest.Results()[0], benchtest.Results()[1]))
}

// What a chart holds fits together, is told in words, and stands in a table.
func TestChartsAreWhole(t *testing.T) {
	kinds := map[string]int{}
	for _, c := range allCharts() {
		d := drawingOf(t, c)
		kinds[d.X.Kind]++
		if len(d.At) == 0 || len(d.At) > tailPoints || !slices.IsSorted(d.At) {
			t.Errorf("%s: bad places along x: %v", c.Title, d.At)
		}
		for _, l := range d.Lines {
			if len(l.Points) != len(d.At) || l.Name == "" {
				t.Errorf("%s: line %q has %d points at %d places", c.Title, l.Name, len(l.Points), len(d.At))
			}
		}
		if c.Label == "" || c.Title == "" {
			t.Errorf("a chart is not told in words: %+v", c)
		}
		if c.Table == nil && !strings.Contains(c.Note, "figures are in the table") {
			t.Errorf("%s has no table and names none", c.Title)
		}
		if c.Table != nil {
			for _, row := range c.Table.Rows {
				if len(row) != len(c.Table.Columns) {
					t.Errorf("%s: a row %v below %v", c.Title, row, c.Table.Columns)
				}
			}
		}
	}
	for _, kind := range []string{axisTail, axisLatency, axisRestart, axisNamed} {
		if kinds[kind] == 0 {
			t.Errorf("no chart has an axis %s", kind)
		}
	}
}

// The tail axis gives each nine the same room, and the curve goes through the
// percentiles that the table tells, as far as ten samples lie beyond.
func TestPercentileCurvesAgreeWithTheHistogram(t *testing.T) {
	b := benchtest.Results()[0]
	charts := percentileCharts(benchViewOf([]bench.Result{b}).Plots)
	if len(charts) != 1 {
		t.Fatalf("%d charts of one placement", len(charts))
	}
	d := drawingOf(t, charts[0])
	for percentile, place := range map[float64]float64{90: 1, 99: 2, 99.9: 3, 99.99: 4} {
		if got := tailOf(percentile); got != place {
			t.Errorf("p%g lies at %v, want %v", percentile, got, place)
		}
		i := slices.Index(d.At, place)
		if i < 0 || d.Lines[0].Points[i] == nil {
			t.Errorf("no point at %v", place)
			continue
		}
		key := "p" + strconv.FormatFloat(percentile, 'f', -1, 64) + "_ns"
		if got, want := *d.Lines[0].Points[i], b.Percentiles[key]; math.Abs(got/want-1) > 0.002 {
			t.Errorf("%s is %v in the curve and %v in the table", key, got, want)
		}
	}
	last := d.At[len(d.At)-1]
	if beyond := float64(b.Count) * math.Pow(10, -last); beyond < float64(samplesBeyond) || beyond > 1.1*float64(samplesBeyond) {
		t.Errorf("%.1f samples lie beyond the last point, of %d that it takes", beyond, samplesBeyond)
	}
}

func TestPercentilesKeepPlacementsApart(t *testing.T) {
	var titles []string
	for _, c := range percentileCharts(benchViewOf(benchtest.Results()).Plots) {
		var names []string
		for _, l := range c.Lines {
			names = append(names, l.Name)
		}
		titles = append(titles, c.Title+": "+strings.Join(names, " "))
	}
	// Neither what is inconclusive nor what was skipped has a curve.
	want := []string{
		"Percentiles, free: tcp/rr/netconn/free/64B",
		"Percentiles, same-core: tcp/rr/raw/same-core/64B tcp/rr/raw/same-core/64B/200000Hz",
		"Percentiles, same-llc: udp/rr/raw/same-llc/64B/1000Hz unix/stream/raw/same-llc/131072B",
	}
	if diff := cmp.Diff(want, titles); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Where there are many lines the first are shown, and the others when asked for.
func TestManyLinesDoNotCrowd(t *testing.T) {
	var results []bench.Result
	for i := range shownLines + 3 {
		results = append(results, benchtest.Result(bench.Spec{Transport: bench.TCP, SizeBytes: i + 1}, 14_000, 1000))
	}
	d := drawingOf(t, percentileCharts(benchViewOf(results).Plots)[0])
	for i, l := range d.Lines {
		if l.Off != (i >= shownLines) {
			t.Errorf("line %d is off: %v", i, l.Off)
		}
	}
	if len(d.Lines) != len(results) {
		t.Errorf("%d lines of %d benchmarks", len(d.Lines), len(results))
	}
}

// twoModes is a benchmark whose ends were now on one processor and now on two.
func twoModes(t testing.TB) bench.Result {
	t.Helper()
	s := bench.Spec{Transport: bench.TCP, Engine: bench.NetConn}
	b, near := benchtest.Result(s, 51_400, 20_000), benchtest.Result(s, 19_300, 12_000)
	both := histogramOf(b)
	both.Merge(histogramOf(near))
	encoded, err := both.EncodeV2()
	if err != nil {
		t.Fatal(err)
	}
	b.Histogram, b.Count, b.ModesNS = string(encoded), both.TotalCount(), []float64{19_300, 51_400}
	return b
}

func TestDistributionChartsShowBothModes(t *testing.T) {
	b := twoModes(t)
	c := benchViewOf([]bench.Result{b}).Plots[0].Distribution
	d := drawingOf(t, *c)
	var modes []float64
	for _, m := range d.Marks {
		if m.Mode {
			modes = append(modes, m.At)
			i, _ := slices.BinarySearch(d.At, m.At)
			if n := *d.Lines[0].Points[i]; n < 1000 {
				t.Errorf("at the mode of %v ns the bar has %v samples", m.At, n)
			}
		}
	}
	if diff := cmp.Diff(b.ModesNS, modes); diff != "" {
		t.Errorf("modes (-want +got):\n%s", diff)
	}
	if len(c.Still.Modes) != 2 || !strings.Contains(c.Label, "2 modes: 19.3 µs, 51.4 µs") {
		t.Errorf("the picture has %d modes, and says %q", len(c.Still.Modes), c.Label)
	}
	total := 0
	for _, row := range c.Table.Rows {
		n, err := strconv.Atoi(strings.ReplaceAll(row[1], ",", ""))
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	if int64(total) != c.Still.histogram.TotalCount() {
		t.Errorf("the table has %d samples of %d", total, c.Still.histogram.TotalCount())
	}
}

func TestRestartChartsMarkWhatIsTainted(t *testing.T) {
	b := benchtest.Results()[1] // the last 2 of 10 are tainted
	c := restartsChart(b)
	want := []chartMark{{At: 9, Name: "steal"}, {At: 10, Name: "steal"}}
	if diff := cmp.Diff(want, drawingOf(t, *c).Taint); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.HasSuffix(c.Label, ", 2 tainted.") || !strings.HasPrefix(c.Note, "Shaded restarts are tainted.") {
		t.Errorf("it is not said: %q, %q", c.Label, c.Note)
	}
	b.Restarts = b.Restarts[:1]
	if restartsChart(b) != nil {
		t.Error("one restart makes a line")
	}
}

// Sizes lie on a logarithmic axis; back to back, which is no rate, in the table
// alone.
func TestSweepCharts(t *testing.T) {
	c := sweepCharts(benchtest.Sweep())[0]
	d := drawingOf(t, c)
	if diff := cmp.Diff([]float64{0, 6, 10, 14, 18, 20}, d.At); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	if got := d.X.Ticks[5].Name; got != "1 MiB" {
		t.Errorf("the last size is called %q", got)
	}
	var rates []bench.Result
	for _, rate := range []float64{0, 1000, 4000} {
		rates = append(rates, benchtest.Result(bench.Spec{Transport: bench.TCP, Placement: topology.SameCore, RateHz: rate}, 14_000, 2000))
	}
	c = sweepCharts(rates)[0]
	if d := drawingOf(t, c); len(d.At) != 2 || len(d.Lines[0].Points) != 2 || len(c.Table.Rows) != 3 {
		t.Errorf("%d places, %d points, %d rows", len(d.At), len(d.Lines[0].Points), len(c.Table.Rows))
	}
}

// Other pages have charts by the same template and head.
func TestOtherPagesHaveCharts(t *testing.T) {
	charts := Overlay(benchtest.Results()[0], benchtest.Results()[1])
	page := PageTemplate("other", `{{template "head" .}}{{range .Charts}}{{template "chart" .}}{{end}}{{.Script}}`)
	var out strings.Builder
	if err := page.Execute(&out, struct {
		ChartHead
		Charts []Chart
	}{NewChartHead("Other", ".own { margin: 0; }"), charts}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "data-chart="); got != len(charts) {
		t.Errorf("%d of %d charts are there", got, len(charts))
	}
	for _, part := range []string{"<script>", "<title>Other</title>", ".own { margin: 0; }", "uPlot"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the page lacks %s", part)
		}
	}
}

func TestLaddersSayWhatARoundTripTakes(t *testing.T) {
	l := ladders()
	if got, want := l.Sentence(), "Interrupted: a round trip over TCP takes 5.49 µs on same-core; this is where the time goes."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := (&Ladders{}).Sentence(), "No round trip over TCP was measured."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A bar ends where its step does: light up to its base, and dark from there.
func TestWaterfallAddsUp(t *testing.T) {
	v := ladderViewOf(ladders().Ladders[0])
	if len(v.Bars) != 5 || len(v.Steps) != 7 {
		t.Fatalf("%d bars and %d rows of 7 steps, of which 5 were measured", len(v.Bars), len(v.Steps))
	}
	number := func(text string) float64 {
		n, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, bar := range v.Bars {
		end := 100 * waterfallFrom
		for _, p := range bar.Parts {
			if math.Abs(number(p.X)-end) > 0.02 {
				t.Errorf("%s: %s begins at %s, not at %.2f", bar.Name, p.Class, p.X, end)
			}
			end += number(p.Width)
		}
		if len(bar.Parts) == 0 || math.Abs(number(bar.ValueX)-end) > 100*waterfallLeast {
			t.Errorf("%s ends at %.2f, and its value stands at %s", bar.Name, end, bar.ValueX)
		}
	}
	if last := v.Bars[2].Parts; len(last) != 2 || last[1].Class != "less" {
		t.Errorf("a step that takes less than its base is drawn as %+v", last)
	}
}

// large is a report as large as one may be: 500 checks and 50 benchmarks.
func large(t testing.TB) *Report {
	r := healthy(t)
	r.Checks, r.Benchmarks = nil, nil
	for i := range 500 {
		c := passed(fmt.Sprintf("TCP-%03d", i), "tcp", "echoes what was sent, byte for byte, over a connection", "RFC 9293, section 3.8", time.Millisecond,
			map[string]float64{"rtt_p50_ns": 14212, "sent_bytes": 1048576})
		if i%25 == 0 {
			c.State, c.Message = check.Fail, "dial tcp [::1]:40711: connect: cannot assign requested address"
			c.Evidence = []check.Evidence{{What: "connect([::1]:40711)", Seen: "EADDRNOTAVAIL after 41 µs"}}
		}
		r.Checks = append(r.Checks, c)
	}
	for i := range 50 {
		s := bench.Spec{Transport: bench.TCP, Placement: []topology.Placement{topology.SameCore, topology.SameLLC}[i%2], SizeBytes: 1 << (i / 2 % 21)}
		if i >= 42 {
			s.Transport, s.SizeBytes = bench.Unix, 64+i
		}
		b := benchtest.Result(s, 14_000+float64(300*i), 20_000)
		for len(b.Restarts) < 30 {
			b.Restarts = append(b.Restarts, b.Restarts...)
		}
		b.Restarts = b.Restarts[:30]
		r.Benchmarks = append(r.Benchmarks, b)
	}
	r.Summary = Summarize(r.Checks)
	return r
}

func TestAPageStaysSmall(t *testing.T) {
	const most = 2 << 20
	page := rendered(t, HTML(large(t)))
	if len(page) > most {
		t.Errorf("500 checks and 50 benchmarks take %d bytes, of %d", len(page), most)
	}
	t.Logf("%d bytes", len(page))
}
