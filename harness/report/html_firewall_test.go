package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report/pagetest"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// firewallSection is the page's section of the firewall, "" where it has none.
func firewallSection(t *testing.T, r *Report) string {
	t.Helper()
	page := string(rendered(t, HTML(r)))
	_, section, there := strings.Cut(page, `<section id="firewall"`)
	section, _, _ = strings.Cut(section, "</section>")
	if there != strings.Contains(page, `href="#firewall"`) {
		t.Errorf("the section is there: %v, and the link to it is not alike", there)
	}
	return section
}

func TestHTMLShowsTheFirewall(t *testing.T) {
	if section := firewallSection(t, healthy(t)); section != "" {
		t.Errorf("a report without a firewall has the section:\n%s", section)
	}
	r := fixture(t)
	r.Checks = append(r.Checks, Check{ID: "POLICY-002", State: check.Fail})
	section := firewallSection(t, r)
	at := -1
	for _, want := range []string{
		`<a href="#check-POLICY-002">POLICY-002</a> SSH is for the LAN alone`,
		`>Expectations of policy`,
		`</span> fail</span></td><td class="n">11</td>`,
		`to packets from outside`,
		`aria-label="Map of tcp over IPv4 from outside`,
		`1 accept, 1 accept elsewhere, 1 reject with tcp-reset, 3,000 reject with ICMP, 62,532 drop. `,
		`icmp types over IPv4`,
		`to packets from loopback`,
		`tcp over IPv4 and IPv6`,
		`Which rules the policy tests`,
		`<pre class="command"><code>  - from: outside` + "\n    protocol: tcp\n",
		`The policy notices 1 of 2 mistakes`,
		`<h3>Notes</h3>`,
	} {
		i := strings.Index(section, want)
		if i < 0 || i < at {
			t.Errorf("%q is there at %d, after %d", want, i, at)
		}
		at = max(at, i)
	}
	for _, raw := range []string{"<script>", "\x1b", "\u202e", "\x00", "<i>"} {
		if strings.Contains(section, raw) {
			t.Errorf("%q is written raw", raw)
		}
	}
}

// Each part of what was found is shown without the others.
func TestHTMLShowsAPartOfTheFirewall(t *testing.T) {
	whole := aFirewall()
	titles := map[string]Firewall{
		"Expectations of": {Policy: whole.Policy}, "to packets from": {Maps: whole.Maps},
		"Which rules": {Coverage: whole.Coverage}, "Which mistakes": {Mutation: whole.Mutation}, "made for this test": {Notes: whole.Notes},
	}
	for only, part := range titles {
		r := healthy(t)
		r.AddFirewall(part)
		section := firewallSection(t, r)
		for title := range titles {
			if got := strings.Contains(section, title); got != (title == only) {
				t.Errorf("with %q alone %q is there: %v", only, title, got)
			}
		}
	}
}

// A firewall that treats every port unlike the next makes no page that a browser
// cannot show.
func TestHTMLOfAChequeredMapIsBounded(t *testing.T) {
	var ranges []firewall.Range
	for port := 1; port <= 65535; port++ {
		v := verdict.Accept
		if port%2 == 0 {
			v = verdict.Drop
		}
		ranges = append(ranges, firewall.Range{First: uint16(port), Last: uint16(port), Verdict: verdict.Verdict{Action: v}, Rule: -1})
	}
	r := healthy(t)
	before := len(rendered(t, HTML(r)))
	r.AddFirewall(Firewall{Maps: &firewall.Maps{
		Zones: []firewall.Place{{Zone: firewall.Outside}},
		Maps:  []firewall.Map{{Zone: firewall.Outside, Protocol: "tcp", Family: "ipv4", Ranges: ranges}},
	}})
	page := rendered(t, HTML(r))
	if grown := len(page) - before; grown > 2<<20 {
		t.Errorf("the page grows by %d bytes", grown)
	}
	if !strings.Contains(string(page), fmt.Sprintf("%s more in report.json", grouped(fmt.Sprint(65535-shownRanges)))) {
		t.Error("what is left out is not told")
	}
}

func TestTheClaimOfAPolicyAlone(t *testing.T) {
	r := inStates(check.Pass, check.Pass)
	for i := range r.Checks {
		r.Checks[i].ID = fmt.Sprintf("%s-%03d", check.PolicyTopic, i+1)
	}
	if got := r.Sentence(); !strings.HasPrefix(got, "The firewall does what its policy says: 2 of 2 checks passed") {
		t.Errorf("it says %q", got)
	}
	r.Checks[0].ID = "TCP-001"
	if got := r.Sentence(); !strings.HasPrefix(got, "The loopback stack is sound: ") {
		t.Errorf("it says %q", got)
	}
}

// explain knows the catalogue, and no policy.
func TestTextSendsNobodyToExplainAPolicy(t *testing.T) {
	r := inStates(check.Fail)
	r.Checks[0].ID = "POLICY-001"
	if text := string(rendered(t, Text(r, Style{}))); strings.Contains(text, "explain") || !strings.Contains(text, "FAIL   POLICY-001") {
		t.Errorf("it prints:\n%s", text)
	}
}

// showsTheFirewall looks at the picture of a map: a square, in the colours of the
// style sheet, with its table beside it.
func showsTheFirewall(t testing.TB, b *pagetest.Browser) {
	box := pagetest.Eval[[]float64](b, `(() => {
		const box = (e) => e.getBoundingClientRect();
		const picture = document.querySelector("#firewall .map svg");
		const table = document.querySelector("#firewall .map table");
		return [box(picture).width, box(picture).height, box(table).left - box(picture).right];
	})()`)
	if box[0] < 256 || box[1] < box[0]-1 || box[1] > box[0]+1 || box[2] < 0 {
		t.Errorf("the picture is %v wide and %v high, and its table %v to the right", box[0], box[1], box[2])
	}
	fills := pagetest.Eval[[]string](b, `["accept", "elsewhere", "reset", "reject", "drop"].map(v => getComputedStyle(document.querySelector("#firewall .fw-" + v)).fill)`)
	slices.Sort(fills)
	if different := slices.Compact(fills); len(different) != 5 || slices.Contains(different, "rgb(0, 0, 0)") {
		t.Errorf("the colours are %v", different)
	}
}
