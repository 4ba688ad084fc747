package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/loopcheck/loopcheck/harness/report/reporttest"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

func TestJSONFollowsTheSchema(t *testing.T) {
	for name, r := range map[string]*Report{
		"fixture": fixture(t),
		"healthy": healthy(t),
		"empty":   {SchemaVersion: SchemaVersion, Summary: Summarize(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			document := rendered(t, JSON(r))
			reporttest.Validate(t, document)
			if bytes.Contains(document, []byte("null")) {
				t.Error("something that is empty is written as null")
			}
			if !bytes.HasSuffix(document, []byte("}\n")) {
				t.Error("no line feed at the end")
			}
		})
	}
}

// TestSchemaKnowsEveryKey writes a report in which no key is left out, and
// takes each away and adds one beside it: the schema has to notice, save for
// the keys that are optional.
func TestSchemaKnowsEveryKey(t *testing.T) {
	optional := map[string]bool{
		".checks[].location": true, ".checks[].missing": true,
		".checks[].unseen": true, ".checks[].remedies[].note": true,
		".checks[].why": true, ".checks[].usual_causes": true, ".checks[].usual_remedies": true,
		".benchmarks[].restarts[].taint":       true,
		".benchmarks[].restarts[].bytes_per_s": true, ".benchmarks[].outstanding": true, ".benchmarks[].bytes_per_s": true,
		".benchmarks[].service_percentiles": true, ".benchmarks[].lost": true, ".benchmarks[].inconclusive": true,
		".benchmarks[].skipped": true, ".benchmarks[].ended": true,
		".benchmarks[].conditions.client_cpus": true, ".benchmarks[].conditions.server_cpus": true,
		".benchmarks[].conditions.together": true, ".benchmarks[].conditions.looks": true,
		".benchmarks[].conditions.late_ns": true, ".benchmarks[].conditions.unsteady": true,
		// Reports of before these were measured lack them.
		".benchmarks[].restarts[].round": true, ".benchmarks[].restarts[].cpu_ns_per_op": true,
		".benchmarks[].conditions": true, ".benchmarks[].modes_ns": true, ".benchmarks[].median_ns": true,
		".listeners[].interface": true, ".listeners[].ipv4_too": true, ".listeners[].backlog": true,
		".listeners[].unit": true, ".listeners[].container": true, ".listeners[].unowned": true,
		".listeners[].owners[].unit": true, ".listeners[].owners[].container": true,
		".firewall": true, ".host.idle": true,
		".benchmarks[].restarts[].p98_ns": true, ".benchmarks[].restarts[].p99.5_ns": true,
	}
	for _, key := range []string{
		"policy", "maps", "coverage", "mutation", "notes",
		"policy.notes", "maps.notes", "coverage.notes", "mutation.notes",
		"policy.outcomes[].packets", "policy.outcomes[].skipped", "policy.outcomes[].breaches",
		"policy.outcomes[].breaches[].state", "policy.outcomes[].breaches[].nth", "policy.outcomes[].breaches[].landed",
		"policy.outcomes[].breaches[].actual.kind", "policy.outcomes[].breaches[].rule",
		"maps.maps[].ranges[].kind", "maps.maps[].ranges[].local", "maps.maps[].ranges[].landed",
		"coverage.rules[].by", "coverage.rules[].shadows", "coverage.rules[].why", "coverage.rules[].suggestion",
		"mutation.mutants[].killed_by", "mutation.mutants[].difference", "mutation.mutants[].suggestion", "mutation.mutants[].why",
	} {
		optional[".firewall."+key] = true
	}
	for _, rule := range []string{"policy.outcomes[].breaches[].rule", "maps.rules[]", "coverage.rules[]", "coverage.rules[].shadows[]", "mutation.mutants[].rule"} {
		for _, key := range []string{"handle", "file", "line"} {
			optional[".firewall."+rule+"."+key] = true
		}
	}
	open := []string{
		".host.sysctls", ".host.limits", ".checks[].measurements", ".benchmarks[].percentiles", ".benchmarks[].taint",
		".benchmarks[].service_percentiles", ".benchmarks[].conditions.counters",
		".benchmarks[].conditions.client_cpus", ".benchmarks[].conditions.server_cpus",
	}
	var document any
	if err := json.Unmarshal(rendered(t, JSON(fixture(t))), &document); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	walk(document, "", func(path string, object map[string]any) {
		if slices.Contains(open, path) {
			return
		}
		for _, key := range slices.Collect(maps.Keys(object)) {
			where := path + "." + key
			if seen[where] {
				continue
			}
			seen[where] = true
			value := object[key]
			delete(object, key)
			if err := valid(t, document); (err == nil) != optional[where] {
				t.Errorf("without %s: %v", where, err)
			}
			object[key+"x"] = value
			if err := valid(t, document); err == nil {
				t.Errorf("%s may be misspelt", where)
			}
			delete(object, key+"x")
			object[key] = value
		}
	})
	for where := range optional {
		if !seen[where] {
			t.Errorf("%s is not in the fixture", where)
		}
	}
}

// walk calls visit for every object of a document. List items share a path.
func walk(value any, path string, visit func(string, map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		visit(path, v)
		for key, inner := range v {
			walk(inner, path+"."+key, visit)
		}
	case []any:
		for _, inner := range v {
			walk(inner, path+"[]", visit)
		}
	}
}

func valid(t *testing.T, document any) error {
	t.Helper()
	encoded, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return reporttest.Check(encoded)
}

func TestSchemaRefusesWrongValues(t *testing.T) {
	good := string(rendered(t, JSON(fixture(t))))
	for name, c := range map[string]struct{ from, to string }{
		"state":             {`"state": "warn"`, `"state": "warned"`},
		"verdict":           {`"verdict": "fail"`, `"verdict": "bad"`},
		"grade":             {`"grade": "warn"`, `"grade": "severe"`},
		"ID":                {`"id": "TCP-001"`, `"id": "tcp-1"`},
		"time":              {`"started": "2026-03-14T15:09:26Z"`, `"started": "yesterday"`},
		"version":           {`"schema_version": "1"`, `"schema_version": "2"`},
		"number":            {`"mtu": 65536`, `"mtu": "65536"`},
		"scope":             {`"scope": "every"`, `"scope": "all"`},
		"port":              {`"port": 8080`, `"port": 65536`},
		"verdict of a port": {`"action": "drop"`, `"action": "ignore"`},
		"use of a rule":     {`"use": "dead"`, `"use": "lazy"`},
		"fate of a mutant":  {`"fate": "killed"`, `"fate": "dead"`},
		"null list":         {`"labels": [`, `"labels": null, "was": [`},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, c.from, c.to, 1)
			if bad == good {
				t.Fatalf("the fixture has no %s", c.from)
			}
			if err := reporttest.Check([]byte(bad)); err == nil {
				t.Errorf("%s is accepted", c.to)
			}
		})
	}
}

func TestReadGivesBackWhatJSONWrote(t *testing.T) {
	want := rewritten(fixture(t), func(s string) string { return strings.ToValidUTF8(s, "\ufffd") })
	for i := range want.Checks {
		// Left out where empty, and so read as nil.
		c := &want.Checks[i]
		if c.Why == "" {
			c.UsualCauses, c.UsualRemedies = nil, nil
		}
		if len(c.Unseen) == 0 {
			c.Unseen = nil
		}
	}
	comparable := cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})
	got, err := Read(bytes.NewReader(rendered(t, JSON(fixture(t)))))
	if err != nil {
		t.Fatal(err)
	}
	// Of a firewall's lists and a benchmark's some are left out where they are empty,
	// and so nil.
	for name, parts := range map[string][2]any{
		"firewall": {want.Firewall, got.Firewall}, "benchmarks": {want.Benchmarks, got.Benchmarks},
	} {
		if diff := cmp.Diff(parts[0], parts[1], comparable, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	want.Firewall, got.Firewall = nil, nil
	want.Benchmarks, got.Benchmarks = nil, nil
	if diff := cmp.Diff(want, got, comparable); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSONLeavesOutWhatIsNoNumber(t *testing.T) {
	r := healthy(t)
	r.Checks[0].Measurements = map[string]float64{"nan": math.NaN(), "inf": math.Inf(1), "kept": 1}
	read, err := Read(bytes.NewReader(rendered(t, JSON(r))))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]float64{"kept": 1}, read.Checks[0].Measurements); diff != "" {
		t.Error(diff)
	}
	if len(r.Checks[0].Measurements) != 3 {
		t.Error("the report itself was changed")
	}
}

func TestReadersErrors(t *testing.T) {
	for _, c := range []struct{ name, document, want string }{
		{"empty", " \n", "read report: it is empty"},
		{"cut short", `{"schema_version": "1",`, "read report: line 1, column 23: unexpected end of JSON input"},
		{"syntax", "{\n  \"schema_version\": \"1\",\n  nonsense\n}", "read report: line 3, column 3: invalid character 'n' looking for beginning of object key string"},
		{"two documents", "{}\n{}", "read report: line 2, column 1: invalid character '{' after top-level value"},
		{"a list", "[]", "read report: line 1, column 1: found a JSON array, not a report"},
		{"no version", "{}", "read report: no schema_version: this is no loopcheck report of version 1"},
		{"later version", `{"schema_version": "9"}`, `read report: unknown schema_version "9": this loopcheck reads 1`},
		{"wrong type", "{\"schema_version\": \"1\",\n\"duration_ns\": \"1s\"}", "read report: line 2, column 19: duration_ns: a JSON string does not fit time.Duration"},
		{"wrong state", `{"schema_version": "1", "checks": [{"id": "TCP-001", "state": "odd"}]}`, `read report: checks[0] ("TCP-001"): unknown state "odd": it is one of fail, warn, inconclusive, interrupted, skip, pass`},
		{"no state", `{"schema_version": "1", "checks": [{"id": "TCP-001"}]}`, `read report: checks[0] ("TCP-001"): unknown state "": it is one of fail, warn, inconclusive, interrupted, skip, pass`},
		{"no ID", `{"schema_version": "1", "checks": [{"state": "pass"}]}`, `read report: checks[0] (""): it has no ID`},
		{"no verdict", `{"schema_version": "1"}`, `read report: summary: unknown verdict "": it is one of fail, warn, inconclusive, interrupted, skip, pass`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(strings.NewReader(c.document))
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
	var version *VersionError
	if _, err := Read(strings.NewReader(`{"schema_version": "9"}`)); !errors.As(err, &version) || version.Version != "9" {
		t.Errorf("got %v, want a VersionError of 9", err)
	}
}

// Whatever a document holds, what is wrong with it is a line that can be read.
func TestErrorsAreShort(t *testing.T) {
	long := strings.Repeat("x\\n", 1<<20)
	for name, document := range map[string]string{
		"version": `{"schema_version": "` + long + `"}`,
		"ID":      `{"schema_version": "1", "checks": [{"id": "` + long + `"}]}`,
		"state":   `{"schema_version": "1", "checks": [{"id": "A-001", "state": "` + long + `"}]}`,
		"verdict": `{"schema_version": "1", "summary": {"verdict": "` + long + `"}}`,
		"number":  `{"schema_version": "1", "duration_ns": ` + strings.Repeat("9", 1<<20) + `}`,
		"field":   `{"schema_version": "1", "host": {"sysctls": {"` + long + `": 1}}}`,
	} {
		for reader, read := range map[string]func(io.Reader) (*Report, error){"Read": Read, "ReadBrief": ReadBrief} {
			_, err := read(strings.NewReader(document))
			if reader == "ReadBrief" && name == "field" {
				continue // of which it reads nothing
			}
			if err == nil || len(err.Error()) > 300 || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %s: an error of %d bytes: %.400v", reader, name, len(fmt.Sprint(err)), err)
			}
		}
	}
}

func TestReadIsBounded(t *testing.T) {
	_, err := Read(io.LimitReader(blanks{}, maxReportBytes+1))
	if err == nil || err.Error() != "read report: larger than 64 MiB" {
		t.Errorf("got %v", err)
	}
}

// blanks is an endless document of nothing.
type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// FuzzRead holds that whatever is read can be written in every form, and read
// again to the same.
func FuzzRead(f *testing.F) {
	f.Add(rendered(f, JSON(healthy(f))))
	f.Fuzz(func(t *testing.T, document []byte) {
		r, err := Read(bytes.NewReader(document))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of more than one line: %q", err)
			}
			return
		}
		written := rendered(t, JSON(r))
		again, err := Read(bytes.NewReader(written))
		if err != nil {
			t.Fatalf("what was written is refused: %v", err)
		}
		if diff := cmp.Diff(string(written), string(rendered(t, JSON(again)))); diff != "" {
			t.Errorf("(-first +second):\n%s", diff)
		}
		for _, f := range Formats {
			rendered(t, f.Write(r))
		}
		metricsOf(t, rendered(t, OpenMetrics(r)))
		text := rendered(t, Text(r, Style{}))
		for _, c := range string(text) {
			if terminal.Harmless(string(c)) != string(c) {
				t.Fatalf("%U is written raw to the terminal", c)
			}
		}
	})
}
