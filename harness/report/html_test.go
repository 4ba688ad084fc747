package report

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/benchtest"
	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

// pages are one of each kind.
func pages(t *testing.T) map[string][]byte {
	return map[string][]byte{
		"fixture": rendered(t, HTML(fixture(t))),
		"bench":   rendered(t, BenchHTML(benchRun(t, append(benchtest.Sweep(), benchtest.Results()[1:]...)))),
		"ladders": rendered(t, LaddersHTML(ladders())),
	}
}

// assets are the style and the script, which stand in files of their own, and hashes
// are those of the policy, which TestPolicyAdmitsThePagesOwnContent holds to them.
var (
	assets = regexp.MustCompile(`(?s)<(style|script)>.*?</(?:style|script)>`)
	hashes = regexp.MustCompile(`sha256-.*?=&#39;`)
)

func TestHTMLGolden(t *testing.T) {
	for name, page := range pages(t) {
		page = hashes.ReplaceAll(assets.ReplaceAll(page, []byte("<$1>…</$1>")), []byte("sha256-…&#39;"))
		golden(t, name+".html", page)
	}
}

func TestHTMLOfAnEmptyReport(t *testing.T) {
	page := string(rendered(t, HTML(&Report{})))
	if !strings.Contains(page, "<h1>No check was run, so nothing is known of this machine.</h1>") {
		t.Error("the verdict is missing")
	}
}

// TestPolicyAdmitsThePagesOwnContent takes the hashes of what stands in the
// page, as a browser does.
func TestPolicyAdmitsThePagesOwnContent(t *testing.T) {
	for name, page := range pages(t) {
		t.Run(name, func(t *testing.T) { policyAdmits(t, string(page)) })
	}
}

func policyAdmits(t *testing.T, page string) {
	content := regexp.MustCompile(`Content-Security-Policy" content="([^"]+)"`).FindStringSubmatch(page)
	if content == nil {
		t.Fatal("the page has no policy")
	}
	policy := html.UnescapeString(content[1])
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
		t.Errorf("a weak policy: %s", policy)
	}
	for _, tag := range []string{"style", "script"} {
		found := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(page, -1)
		if len(found) != 1 {
			t.Fatalf("%d elements %s, want 1", len(found), tag)
		}
		sum := sha256.Sum256([]byte(found[0][1]))
		if want := tag + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("the policy %s does not hold %s", policy, want)
		}
	}
}

func TestHTMLAsksForNothing(t *testing.T) {
	for name, page := range pages(t) {
		t.Run(name, func(t *testing.T) { asksForNothing(t, string(page)) })
	}
}

func asksForNothing(t *testing.T, page string) {
	for _, reference := range regexp.MustCompile(`\s(?:href|src|srcset|action|data)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if target := reference[1]; !strings.HasPrefix(target, "#") && target != "data:," {
			t.Errorf("the page refers to %s", target)
		}
	}
	if strings.Contains(page, "@import") || strings.Contains(page, "url(") {
		t.Error("the style loads something")
	}
	if found := regexp.MustCompile(`<[^>]*\s(style|on\w+)=`).FindString(page); found != "" {
		t.Errorf("the policy will refuse %s", found)
	}
}

func TestHTMLShowsEveryCheck(t *testing.T) {
	r := fixture(t)
	page := string(rendered(t, HTML(r)))
	for _, c := range r.Checks {
		if strings.Count(page, `<details class="check" id="check-`+c.ID+`" data-state="`+string(c.State)+`">`) != 1 {
			t.Errorf("%s is not there once", c.ID)
		}
	}
}

func TestHTMLTellsTheUsualFromTheFound(t *testing.T) {
	r := fixture(t)
	page := string(rendered(t, HTML(r)))
	for _, c := range r.Checks {
		_, details, _ := strings.Cut(page, `id="check-`+c.ID+`"`)
		details, _, _ = strings.Cut(details, "</details>")
		if got := strings.Contains(details, ">Why it matters<"); got != (c.Why != "") {
			t.Errorf("%s tells why it matters: %v", c.ID, got)
		}
		found, usual, _ := strings.Cut(details, ">Usual causes<")
		if got := strings.Contains(found, ">Cause found<"); got != (len(c.Causes) > 0) {
			t.Errorf("%s tells a cause found: %v", c.ID, got)
		}
		for _, cause := range c.UsualCauses {
			if strings.Contains(found, html.EscapeString(cause)) || !strings.Contains(usual, html.EscapeString(cause)) {
				t.Errorf("%s does not tell as usual: %s", c.ID, cause)
			}
		}
		for _, remedy := range c.UsualRemedies {
			if !strings.Contains(usual, "<li>"+html.EscapeString(remedy)+"</li>") {
				t.Errorf("%s does not tell as usual: %s", c.ID, remedy)
			}
		}
	}
}

// One root cause behind many checks has a card of its own, and its checks none;
// below, each check shows what it saw.
func TestHTMLTellsACauseOfManyChecksOnce(t *testing.T) {
	down := diagnose.Cause{ID: "lo-down", Summary: "The loopback interface lo is down."}
	up := diagnose.Remedy{Command: "ip link set dev lo up", Cause: down.ID, Note: "It brings the addresses back."}
	for n, cards := range map[int]int{repeatedChecks: repeatedChecks, repeatedChecks + 1: 0} {
		r := inStates(repeat(check.Fail, n)...)
		for i := range r.Checks {
			r.Checks[i] = causedBy(down, up, r.Checks[i])
		}
		page := string(rendered(t, HTML(r)))
		attention, checks, _ := strings.Cut(page, `id="checks"`)
		if got := strings.Count(attention, `class="card fail"`); got != cards {
			t.Errorf("%d checks: %d cards, want %d", n, got, cards)
		}
		if strings.Count(attention, `id="cause-lo-down"`) != 1 || strings.Count(attention, up.Note) != 1 {
			t.Errorf("%d checks: the cause and its remedy should be told once:\n%s", n, attention)
		}
		if strings.Count(checks, down.Summary) != n || strings.Count(checks, up.Note) != n {
			t.Errorf("%d checks: each should tell its cause", n)
		}
	}
}

// A cause of skips stands with them; where it stands already, a link leads
// there.
func TestHTMLTellsTheCauseOfASkipOnce(t *testing.T) {
	limit := diagnose.Cause{ID: "open-files", Summary: "This process may open 256 files."}
	raise := diagnose.Remedy{Command: "prlimit --nofile=4096 loopcheck run", Cause: limit.ID}
	for name, c := range map[string]struct {
		states    []check.State
		attention bool
	}{
		"skips alone":           {[]check.State{check.Skip, check.Skip}, false},
		"a skip and a failure":  {[]check.State{check.Skip, check.Fail}, true},
		"skips for two reasons": {[]check.State{check.Skip, check.Skip, check.Skip}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := inStates(c.states...)
			for i := range r.Checks {
				if r.Checks[i].State == check.Skip {
					r.Checks[i].Missing = &check.Missing{Need: []check.Need{check.OpenFiles, check.OpenFiles, check.NetRaw}[i]}
				}
				r.Checks[i] = causedBy(limit, raise, r.Checks[i])
			}
			top, _, _ := strings.Cut(string(rendered(t, HTML(r))), `id="checks"`)
			attention, skipped, _ := strings.Cut(top, `id="skipped"`)
			if strings.Count(top, `id="cause-open-files"`) != 1 || strings.Count(top, raise.Command) != 1 {
				t.Errorf("the cause and its remedy are not told once:\n%s", top)
			}
			if got := strings.Contains(attention, raise.Command); got != c.attention {
				t.Errorf("the cause needs attention: %v, want %v", got, c.attention)
			}
			if linked := strings.Contains(skipped, `<a href="#cause-open-files">`); linked != (c.attention || len(c.states) == 3) {
				t.Errorf("a link leads to the cause: %v:\n%s", linked, skipped)
			}
		})
	}
}

func TestHTMLTellsWhatWasNotLookedAt(t *testing.T) {
	r := inStates(check.Fail, check.Warn, check.Skip)
	for i := range r.Checks {
		r.Checks[i].Unseen = []diagnose.Unseen{{What: "netfilter rules", Why: "it takes CAP_NET_ADMIN"}}
	}
	attention, rest, _ := strings.Cut(string(rendered(t, HTML(r))), `id="skipped"`)
	skipped, checks, _ := strings.Cut(rest, `id="checks"`)
	for where, c := range map[string]struct {
		text string
		want int
	}{"attention": {attention, 1}, "skipped": {skipped, 1}, "checks": {checks, 3}} {
		if got := strings.Count(c.text, "it takes CAP_NET_ADMIN"); got != c.want {
			t.Errorf("%s tells %d times, want %d:\n%s", where, got, c.want, c.text)
		}
	}
	if !strings.Contains(attention, `There may be a cause for <a href="#check-TCP-A">TCP-A</a>, <a href="#check-TCP-B">TCP-B</a></p>`) {
		t.Errorf("it does not name its checks:\n%s", attention)
	}
}

func TestHTMLShowsWhoListens(t *testing.T) {
	if page := string(rendered(t, HTML(healthy(t)))); strings.Contains(page, `id="listeners"`) || strings.Contains(page, `href="#listeners"`) {
		t.Error("a report without listeners has the section")
	}
	page := string(rendered(t, HTML(fixture(t))))
	_, section, found := strings.Cut(page, `<section id="listeners"`)
	section, after, closed := strings.Cut(section, "</section>")
	if !found || !closed || !strings.Contains(after, `<section id="host"`) {
		t.Fatal("there is no section of listeners before the host's")
	}
	for _, want := range []string{
		"1 on every interface, 1 on one interface, 1 on loopback",
		`<td>tcp</td><th scope="row">:: and IPv4</th><td class="n">8080</td><td>every interface</td><td class="name">nginx, systemd</td><td class="n">812, 2 more</td><td class="name">www-data</td>`,
		`<div>docker-3f4e1a2b9c0d.scope</div><div>docker 3f4e1a2b9c0d</div></td><td class="n">3 of 4096</td>`,
		`<th scope="row">fe80::7%eth0</th><td class="n">546</td><td>interface eth0</td><td class="name"><span class="meta">not allowed to look</span></td><td class="n"></td><td class="name">root</td>`,
		`<td class="name">&lt;script&gt;alert(1)&lt;/script&gt;\x1b[31m`,
	} {
		if !strings.Contains(section, want) {
			t.Errorf("the section lacks %s:\n%s", want, section)
		}
	}
	// A report may come from anywhere, and an address in it have any zone.
	r := healthy(t)
	r.Listeners = []listeners.Listener{{Address: netip.IPv6LinkLocalAllNodes().WithZone("\x1b<b>")}}
	if page := string(rendered(t, HTML(r))); !strings.Contains(page, `ff02::1%\x1b&lt;b&gt;`) {
		t.Error("a zone is not written out")
	}
}

// TestContrast holds the colours to WCAG 2.2, success criterion 1.4.3: 4.5 to 1
// for text, on paper, on a screen and on a dark one.
func TestContrast(t *testing.T) {
	const least = 4.5
	for name, colours := range map[string]map[string]float64{"light": palette(t, false), "dark": palette(t, true)} {
		for _, ground := range []string{"back", "raised"} {
			for _, ink := range []string{"text", "quiet", "link", "pass", "fail", "warn", "inconclusive", "interrupted", "skip"} {
				if ratio := contrast(colours[ground], colours[ink]); ratio < least {
					t.Errorf("%s: %s on %s has a contrast of %.2f", name, ink, ground, ratio)
				}
			}
		}
		// Cells of a map are graphics: 3 to 1 (success criterion 1.4.11).
		for _, ink := range []string{"accept", "elsewhere", "reset", "reject"} {
			if ratio := contrast(colours["drop"], colours[ink]); ratio < 3 {
				t.Errorf("%s: %s beside drop has a contrast of %.2f", name, ink, ratio)
			}
		}
		// So are lines of a chart, and what is tainted lies behind them.
		for key := range chartColours {
			for _, ground := range []string{"back", "tainted"} {
				if ratio := contrast(colours[ground], colours[fmt.Sprintf("line-%d", key)]); ratio < 3 {
					t.Errorf("%s: line %d on %s has a contrast of %.2f", name, key, ground, ratio)
				}
			}
		}
		if ratio := contrast(colours["back"], colours["chart-text"]); ratio < least {
			t.Errorf("%s: text of a chart has a contrast of %.2f", name, ratio)
		}
	}
}

// palette is the luminance of each colour, by its name.
func palette(t *testing.T, dark bool) map[string]float64 {
	t.Helper()
	colours := map[string]float64{}
	for _, css := range []string{pageCSS, chartsCSS} {
		light, darkened, found := strings.Cut(css, "prefers-color-scheme: dark")
		if !found {
			t.Fatal("no dark palette")
		}
		if dark {
			light = darkened
		}
		for _, c := range regexp.MustCompile(`--([\w-]+): #([0-9a-f]{6});`).FindAllStringSubmatch(light, -1) {
			colours[c[1]] = luminance(t, c[2])
		}
	}
	return colours
}

func contrast(a, b float64) float64 { return (math.Max(a, b) + 0.05) / (math.Min(a, b) + 0.05) }

// luminance is the relative luminance of WCAG 2.2 of an sRGB colour.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		channel, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		v := float64(channel) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}

func TestDistributionKeepsEverySample(t *testing.T) {
	d := distributionOf(echoes())
	if d == nil {
		t.Fatal("a good histogram has no plot")
	}
	highest := 0.0
	for _, bar := range d.Bars {
		for _, length := range []string{bar.X, bar.Y, bar.Width, bar.Height} {
			v, err := strconv.ParseFloat(strings.TrimSuffix(length, "%"), 64)
			if err != nil || v < 0 || v > 100 {
				t.Errorf("%s is no percent of the plot", length)
			}
		}
		height, err := strconv.ParseFloat(strings.TrimSuffix(bar.Height, "%"), 64)
		if err != nil {
			t.Fatal(err)
		}
		highest = math.Max(highest, height)
	}
	if highest != 100-plotTop {
		t.Errorf("the highest bar takes %v %% of the plot, want %v", highest, 100-plotTop)
	}
	if !strings.HasPrefix(d.Label, "Distribution of 20,000 samples from ") {
		t.Errorf("label %q", d.Label)
	}
}

// The page keeps placements apart, says of each benchmark what became of it, and of
// its figures what they are worth.
func TestHTMLShowsBenchmarks(t *testing.T) {
	r := fixture(t)
	_, section, _ := strings.Cut(string(rendered(t, HTML(r))), `<section id="benchmarks"`)
	section, _, _ = strings.Cut(section, `<section id="listeners"`)
	table, rest, _ := strings.Cut(section, "</table>")
	for _, placement := range []string{"free", "same-core", "same-llc"} {
		if n := strings.Count(table, `colspan="`+strconv.Itoa(len(benchColumns)+1)+`">`+placement+`</th>`); n != 1 {
			t.Errorf("%s has %d parts of the table", placement, n)
		}
	}
	for _, b := range r.Benchmarks {
		row := regexp.MustCompile(`<th scope="row">` + regexp.QuoteMeta(b.Name) + `</th>(.*)</tr>`).FindStringSubmatch(table)
		if row == nil {
			t.Errorf("%s is not in the table", b.Name)
			continue
		}
		if o := outcomeOf(b); (o != nil) != (strings.Count(row[1], "<td") == 1) || o != nil && !strings.Contains(row[1], o.Word+"</span> "+o.Why) {
			t.Errorf("%s is told as %s", b.Name, row[1])
		}
		for _, text := range benchCaveats(b) {
			if strings.Count(rest, html.EscapeString(text)) < 2 { // below the table, and with the distribution
				t.Errorf("of %s the page does not say: %s", b.Name, text)
			}
		}
		_, details, _ := strings.Cut(rest, `<span class="what">`+b.Name+`</span>`)
		details, _, _ = strings.Cut(details, `<details class="plot"`)
		if got := strings.Contains(details, "Context switches per operation"); got != observed(b) {
			t.Errorf("%s tells its conditions: %v", b.Name, got)
		}
	}
	for _, want := range []string{"<td class=\"n\">5.94 GB/s</td>", "p50 57.4 µs, p99 102 µs", "Kernel counter Tcp OutSegs</dt><dd>18,000<", "Client seen on</dt><dd>CPU 0 70 %, CPU 1 30 %<"} {
		if !strings.Contains(section, want) {
			t.Errorf("the section lacks %s", want)
		}
	}
}

func TestDistributionOfWhatCannotBeRead(t *testing.T) {
	for _, histogram := range []string{"", "no base64!", "AAAA", "HISTFAAAAAA="} {
		if d := distributionOf(bench.Result{Histogram: histogram}); d != nil {
			t.Errorf("%q has a plot", histogram)
		}
	}
}
