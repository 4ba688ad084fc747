package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/firewall/policy"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/report"
)

var plan = []check.Check{
	{ID: "TCP-001", Suite: "tcp", Title: "refuses", Grade: check.GradeFail, Source: "RFC 9293"},
	{ID: "TCP-005", Suite: "tcp", Title: "queues", Grade: check.GradeFail, Source: "RFC 9293"},
	{ID: "TCP-020", Suite: "tcp", Title: "meets itself", Grade: check.GradeFail, Source: "RFC 9293"},
}

// record writes the journal of a run and returns the report it should give.
func record(w *Writer) *report.Report {
	r := report.New(report.Tool{Version: "1.2.3"}, []string{"loopcheck", "run"}, host.Facts{Hostname: "<script>"}, plan)
	r.Started = r.Started.Round(0) // JSON carries no monotonic reading
	w.Started(r, plan)
	states := []check.State{check.Pass, check.Fail, check.Pass}
	for i, c := range plan {
		w.Began(c)
		outcome := report.Of(c)
		outcome.State = states[i]
		r.Checks = append(r.Checks, outcome)
		w.Ended(outcome)
	}
	b := bench.Result{Name: "tcp/rr", Count: 3}
	r.Benchmarks = append(r.Benchmarks, b)
	w.Measured(b)
	for _, part := range []report.Firewall{
		{Policy: &policy.Result{Policy: "policy.yaml", Outcomes: []policy.Outcome{{Name: "the web", Line: 6, Expected: "accept", Asked: 4}}}},
		{Maps: &firewall.Maps{SchemaVersion: firewall.MapSchema, Source: "fw.nft"}},
		{Notes: []string{"no mutant was made"}},
	} {
		r.AddFirewall(part)
		w.Examined(part)
	}
	r.Duration, r.Noise, r.Summary = time.Second, host.Noise{Load: 1.5}, report.Summarize(r.Checks)
	w.Finished(r)
	return r
}

func lines(t *testing.T) [][]byte {
	t.Helper()
	var buf bytes.Buffer
	record(NewWriter(&buf))
	return bytes.SplitAfter(bytes.TrimSuffix(buf.Bytes(), []byte{'\n'}), []byte{'\n'})
}

func TestReadGivesBackTheReport(t *testing.T) {
	var buf bytes.Buffer
	w := NewWriter(&buf)
	want := record(w)
	got, err := Read(&buf)
	if err != nil || w.Err() != nil {
		t.Fatal(err, w.Err())
	}
	wantJSON, _ := json.Marshal(want)
	gotJSON, _ := json.Marshal(got)
	if !bytes.Equal(gotJSON, wantJSON) {
		t.Errorf("got  %s\nwant %s", gotJSON, wantJSON)
	}
}

// A run may be killed between any two bytes it writes.
func TestReadSurvivesAKillAnywhere(t *testing.T) {
	all := lines(t)
	whole := bytes.Join(all, nil)
	for cut := len(all[0]); cut < len(whole); cut++ {
		r, err := Read(bytes.NewReader(whole[:cut]))
		if err != nil {
			t.Fatalf("cut at byte %d: %v", cut, err)
		}
		// The last line is whole even where only its line end is missing.
		if cut == len(whole)-1 {
			continue
		}
		if !r.Interrupted {
			t.Fatalf("cut at byte %d: not marked interrupted", cut)
		}
		if len(r.Checks) != len(plan) || r.Summary.Total != len(plan) {
			t.Fatalf("cut at byte %d: %d checks of %d", cut, len(r.Checks), len(plan))
		}
	}
}

func TestReadTellsWhatWasUnderWay(t *testing.T) {
	all := lines(t) // head, began, check, began, check, began, check, benchmark, the firewall, end
	r, err := Read(bytes.NewReader(bytes.Join(all[:4], nil)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range r.Checks {
		got = append(got, c.ID+" "+string(c.State)+" "+c.Message)
	}
	want := []string{
		"TCP-001 pass ",
		"TCP-005 interrupted " + underWay,
		"TCP-020 interrupted " + notAsked,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadRefusesWhatIsNoJournal(t *testing.T) {
	all := lines(t)
	head := string(all[0])
	for name, c := range map[string]struct{ text, want string }{
		"empty":            {"", "line 1: the journal is empty"},
		"prose":            {"hello\n", "line 1: not a line of a journal"},
		"a report":         {`{"schema_version":"1","checks":[]}` + "\n", "line 1: expected the head"},
		"no head":          {string(all[1]), "line 1: expected the head"},
		"a newer schema":   {strings.Replace(head, `"schema_version":"1"`, `"schema_version":"99"`, 1), `line 1: schema version "99"`},
		"damage within":    {head + "{\n" + string(all[1]), "line 2: not a line of a journal"},
		"two heads":        {head + head, "line 2: a second head"},
		"past its end":     {string(bytes.Join(all, nil)) + "\n" + string(all[1]), "goes on after its end"},
		"an empty object":  {head + "{}\n", "line 2: holds nothing"},
		"an odd state":     {head + `{"check":{"id":"TCP-001","state":"odd"}}` + "\n", `line 2: check "TCP-001": unknown state "odd"`},
		"a nameless check": {head + `{"check":{"state":"pass"}}` + "\n", `line 2: check "": it has no ID`},
		"a nameless plan":  {strings.ReplaceAll(head, `"id":"TCP-005"`, `"id":""`), "line 1: plan[1]: it has no ID"},
		"a null report":    {`{"head":{"report":null}}` + "\n", "line 1: expected the head"},
	} {
		_, err := Read(strings.NewReader(c.text))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestReadRefusesAnEndlessLine(t *testing.T) {
	_, err := Read(strings.NewReader(strings.Repeat("x", maxLine+1)))
	if err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("error %v", err)
	}
}

// fullDisk takes some bytes and then no more.
type fullDisk struct{ room int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.room {
		return d.room, syscall.ENOSPC
	}
	d.room -= len(p)
	return len(p), nil
}

func TestWriterKeepsTheFirstError(t *testing.T) {
	disk := &fullDisk{room: len(lines(t)[0]) + 10}
	w := NewWriter(disk)
	record(w)
	if !errors.Is(w.Err(), syscall.ENOSPC) {
		t.Errorf("error %v, want %v", w.Err(), syscall.ENOSPC)
	}
}

func FuzzRead(f *testing.F) {
	var buf bytes.Buffer
	record(NewWriter(&buf))
	f.Add(buf.Bytes())
	f.Add(buf.Bytes()[:buf.Len()/2])
	f.Add([]byte(`{"head":{"report":{"schema_version":"1"},"plan":null}}` + "\n" + `{"check":{}}`))
	f.Add([]byte(`{"head":{"report":{"schema_version":"1","checks":[{}]},"plan":[{}]}}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Read(bytes.NewReader(data))
		if (r == nil) == (err == nil) {
			t.Fatalf("report %v and error %v", r, err)
		}
		if r == nil {
			return
		}
		for _, c := range r.Checks {
			if err := c.Validate(); err != nil {
				t.Fatalf("check %q: %v", c.ID, err)
			}
		}
		if r.Summary.Total != len(r.Checks) {
			t.Fatalf("summary counts %d of %d checks", r.Summary.Total, len(r.Checks))
		}
	})
}
