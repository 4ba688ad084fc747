package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

func TestFormatsGolden(t *testing.T) {
	for name, write := range map[string]func(*Report) func(io.Writer) error{
		"fixture.prom": OpenMetrics, "fixture.github.txt": GitHub, "fixture.md": Markdown,
		"fixture.jsonl": JSONLines, "fixture.csv": CSV,
	} {
		golden(t, name, rendered(t, write(fixture(t))))
	}
}

func TestEveryFormatTellsOfAFullDisk(t *testing.T) {
	full := errors.New("disk full")
	for _, f := range Formats {
		size := len(rendered(t, f.Write(fixture(t))))
		for _, room := range []int{0, size / 2, size - 1} {
			if err := f.Write(fixture(t))(&tooSmall{room: room, err: full}); !errors.Is(err, full) {
				t.Errorf("%s: after %d of %d bytes: %v", f.Name, room, size, err)
			}
		}
	}
}

// What the machine named may do nothing in any format: no control character
// reaches a terminal, no reader meets bytes that are no UTF-8.
func TestNoFormatPassesOnControlCharacters(t *testing.T) {
	for _, f := range Formats {
		document := rendered(t, f.Write(fixture(t)))
		if !utf8.Valid(document) {
			t.Errorf("%s is not UTF-8", f.Name)
		}
		for _, c := range string(document) {
			if unicode.IsControl(c) && !strings.ContainsRune("\n\r\t", c) {
				t.Errorf("%s holds %U", f.Name, c)
			}
		}
	}
}

// metricsOf reads metrics as Prometheus' older text format, which is what
// node_exporter's textfile collector does, and as OpenMetrics.
func metricsOf(t *testing.T, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	decoder := expfmt.NewDecoder(bytes.NewReader(text), expfmt.NewFormat(expfmt.TypeOpenMetrics))
	read := 0
	for {
		var f dto.MetricFamily
		err := decoder.Decode(&f)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("as OpenMetrics: %v", err)
		}
		read++
	}
	if read != len(families) {
		t.Errorf("%d metrics as OpenMetrics, %d as text", read, len(families))
	}
	return families
}

func labelsOf(m *dto.Metric) map[string]string {
	labels := map[string]string{}
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	return labels
}

func TestOpenMetricsReadsBack(t *testing.T) {
	r := fixture(t)
	families := metricsOf(t, rendered(t, OpenMetrics(r)))
	states := map[string]string{}
	for _, m := range families["loopcheck_check_state"].GetMetric() {
		labels := labelsOf(m)
		if m.GetGauge().GetValue() != 1 || m.TimestampMs != nil {
			t.Errorf("%v is %v", labels, m)
		}
		states[labels["check"]] = labels["state"]
	}
	for _, c := range r.Checks {
		if states[c.ID] != string(c.State) {
			t.Errorf("%s is %q, want %q", c.ID, states[c.ID], c.State)
		}
	}
	for _, m := range families["loopcheck_checks"].GetMetric() {
		state := check.State(labelsOf(m)["state"])
		if got := int(m.GetGauge().GetValue()); got != r.Summary.Count(state) {
			t.Errorf("%d %s, want %d", got, state, r.Summary.Count(state))
		}
	}
	if host := labelsOf(families["loopcheck_host_info"].GetMetric()[0]); host["hostname"] != terminal.Harmless("web-1"+hostile) {
		t.Errorf("host %q", host)
	}
	if started := families["loopcheck_run_start_timestamp_seconds"].GetMetric()[0].GetGauge().GetValue(); int64(started) != r.Started.Unix() {
		t.Errorf("started %f, want %d", started, r.Started.Unix())
	}
	measured := 0
	for _, b := range r.Benchmarks {
		if b.Count > 0 {
			measured++
		}
	}
	if n := len(families["loopcheck_latency_seconds"].GetMetric()); n != measured {
		t.Errorf("latencies of %d benchmarks, want %d", n, measured)
	}
}

// A reader may refuse a whole file for one series that is there twice.
func TestOpenMetricsHasEachSeriesOnce(t *testing.T) {
	r := healthy(t)
	r.Checks = append(r.Checks, r.Checks[0])
	r.Benchmarks = append(r.Benchmarks, r.Benchmarks[0])
	seen := map[string]bool{}
	for line := range strings.Lines(string(rendered(t, OpenMetrics(r)))) {
		series := line[:strings.LastIndexByte(line, ' ')]
		if !strings.HasPrefix(line, "#") && seen[series] {
			t.Errorf("%s is there twice", series)
		}
		seen[series] = true
	}
}

func TestGitHubShowsNoMoreThanItMay(t *testing.T) {
	r := &Report{}
	for i := range 25 {
		r.Checks = append(r.Checks, Check{ID: fmt.Sprintf("TCP-%03d", i+1), State: check.Fail, Message: "first 100 %\r\n::warning::second"})
	}
	lines := strings.Split(strings.TrimSuffix(string(rendered(t, GitHub(r))), "\n"), "\n")
	if len(lines) != annotationsOfKind {
		t.Fatalf("%d annotations, want %d", len(lines), annotationsOfKind)
	}
	if want := `::error title=TCP-001 ::fail: first 100 %25\r%0A::warning::second`; lines[0] != want {
		t.Errorf("got  %s\nwant %s", lines[0], want)
	}
	if want := "::error title=16 more::TCP-010 fail%0A"; !strings.HasPrefix(lines[9], want) || !strings.HasSuffix(lines[9], "TCP-025 fail") {
		t.Errorf("the last is %s", lines[9])
	}
	if out := rendered(t, GitHub(healthy(t))); len(out) > 0 {
		t.Errorf("of a sound machine: %s", out)
	}
}

func TestGitHubTitlesKeepTheirEnds(t *testing.T) {
	r := &Report{Checks: []Check{{ID: "TCP-001", Title: "a: 5 %, b", State: check.Warn}}}
	if got, want := string(rendered(t, GitHub(r))), "::warning title=TCP-001 a%3A 5 %25%2C b::warn: told no more\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

func TestMarkdownIsNoMarkup(t *testing.T) {
	for text, want := range map[string]string{
		"<b>&amp;":            "&#60;b&#62;&#38;amp;",
		"a|b\n# c":            `a&#124;b&#92;n&#35; c`,
		"[x](https://e.test)": "&#91;x&#93;(https:/&#47;e.test)",
		"www.e.test @you":     "www&#46;e.test &#64;you",
		"`rm` *x* _y_ $z$ !":  "&#96;rm&#96; &#42;x&#42; &#95;y&#95; &#36;z&#36; &#33;",
		"plain, 2 µs: so - 1": "plain, 2 µs: so - 1",
	} {
		if got := inlineText(text); got != want {
			t.Errorf("%q became %s, want %s", text, got, want)
		}
	}
	if got, want := inlineCode("a `` b"), "``` a `` b ```"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := codeBlock("x\n````\ny"), "`````text\nx\n````\ny\n`````\n\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMarkdownFitsIntoAStepSummary(t *testing.T) {
	r := fixture(t)
	for range 300 {
		c := r.Checks[1]
		c.Message = strings.Repeat(hostile, 100)
		r.Checks = append(r.Checks, c)
	}
	r.Checks[1].ID = strings.Repeat("<", 1<<20)
	document := rendered(t, Markdown(r))
	if len(document) > 1<<20 {
		t.Errorf("%d bytes", len(document))
	}
	if !bytes.Contains(document, []byte(" checks more had no room here.")) {
		t.Error("what was left out is not told")
	}
}

func TestJSONLinesAreObjects(t *testing.T) {
	r := fixture(t)
	kinds := map[string]int{}
	for line := range bytes.Lines(rendered(t, JSONLines(r))) {
		var object map[string]any
		if err := json.Unmarshal(line, &object); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		kind, _ := object["type"].(string)
		kinds[kind]++
		if object["started"] != "2026-03-14T15:09:26Z" || object["hostname"] == "" {
			t.Errorf("a line does not say of which run: %s", line)
		}
		if kind == "benchmark" && (object["name"] == nil || object["transport"] == nil || object["histogram"] != nil) {
			t.Errorf("a benchmark: %s", line)
		}
	}
	want := map[string]int{"run": 1, "check": len(r.Checks), "benchmark": len(r.Benchmarks), "listener": len(r.Listeners)}
	for kind, n := range want {
		if kinds[kind] != n {
			t.Errorf("%d lines of %s, want %d", kinds[kind], kind, n)
		}
	}
}

func TestCSVIsATableWithoutFormulas(t *testing.T) {
	r := fixture(t)
	r.Checks[0].Title = "=cmd|' /C calc'!A0"
	r.Checks[1].Message = "-2+3"
	r.Host.Hostname = "@SUM(1)"
	document := rendered(t, CSV(r))
	rows, err := csv.NewReader(bytes.NewReader(document)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1+len(r.Checks)+len(r.Benchmarks) || !slices.Equal(rows[0], CSVHeader) {
		t.Errorf("%d rows, header %q", len(rows), rows[0])
	}
	if title, message, host := rows[1][3], rows[2][6], rows[1][len(CSVHeader)-4]; title != "'=cmd|' /C calc'!A0" || message != "'-2+3" || host != "'@SUM(1)" {
		t.Errorf("%q, %q, %q", title, message, host)
	}
	if bytes.Count(document, []byte("\r\n")) < len(rows) {
		t.Error("lines do not end with CRLF")
	}
	if got := noFormulas([]string{"-1.5"}); got[0] != "-1.5" {
		t.Errorf("a negative number became %s", got[0])
	}
}
