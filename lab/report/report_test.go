package report

import (
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	const good = `{"schema_version":"1","interrupted":true,"summary":{"verdict":"fail"},
		"checks":[{"id":"TCP-001","state":"fail","message":"no answer","causes":[{"id":"lo-down","evidence":["no UP flag"]}]}]}`
	r, err := Decode(strings.NewReader(good + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || r.Summary.Verdict != "fail" || len(r.Checks) != 1 {
		t.Fatalf("got %+v", r)
	}
	if c := r.Checks[0]; c.ID != "TCP-001" || c.State != "fail" || c.Message != "no answer" || len(c.Causes) != 1 {
		t.Errorf("got %+v", c)
	}
	for text, want := range map[string]string{
		"":            "it is empty",
		"ping: pass":  "stdout holds no report",
		"{}":          "summary.verdict is missing",
		good + good:   "more than one",
		good + "done": "more than one",
		good[:40]:     "stdout holds no report",
	} {
		if _, err := Decode(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
