package webcheck

import (
	"bytes"
	"flag"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/report/reporttest"
	"github.com/loopcheck/loopcheck/probe/listeners"
	"github.com/loopcheck/loopcheck/probe/web"
)

var update = flag.Bool("update", false, "write the golden files anew")

// inspected is the result of a server that is hostile in what it says.
func inspected() *Result {
	r := &Result{
		SchemaVersion: SchemaVersion, Tool: report.Tool{Version: "1.0.0", Go: "go1.26"},
		Started: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC), Duration: 1700 * time.Millisecond,
		Command: []string{"loopcheck", "http", "http://localhost:8080/"},
		Target: Asked{
			URL: "http://localhost:8080/", Final: "http://localhost:8080/app", Addresses: []string{"127.0.0.1:8080", "[::1]:8080"},
			Listeners: []listeners.Listener{{
				Protocol: "tcp", Address: netip.IPv4Unspecified(), Port: 8080, Scope: "every", PID: 812, Process: "node", User: "dev", UID: 1000,
				Owners: []listeners.Owner{{PID: 812, Process: "node"}},
			}},
			Status: 200, Versions: []web.Version{web.HTTP1, web.HTTP2}, Server: "evil\x1b[31m",
		},
		Timings: []Timing{
			{Cold: true, Connections: 1, Requests: 400, RatePerS: 3120.4, DNS: steps(9), Connect: steps(70), FirstByte: steps(120), Total: steps(250), Errors: []string{}},
			{Connections: 64, Requests: 6400, Failed: 2, RatePerS: 21034, FirstByte: steps(1800), Total: steps(2400), Errors: []string{"GET http://localhost:8080/: connection reset by peer"}},
		},
	}
	for _, q := range questions {
		c := report.Of(q.Check)
		c.State, c.Duration = check.Pass, time.Millisecond
		switch q.ID {
		case "WEB-003":
			c.Break(check.Warn, "it listens on more than loopback:", "  tcp 0.0.0.0:8080, every interface, node (pid 812, user dev)")
		case "WEB-009":
			c.Break(check.Fail, "pages of other origins may act as the person who is logged in:", "  GET allows null with credentials")
			c.Note("Access-Control-Allow-Origin", "null\x1b[0m, to GET")
		case "WEB-018":
			c.SkipFor(needTLS, "the URL is of http")
		}
		r.Checks = append(r.Checks, c)
	}
	r.Summary = report.Summarize(r.Checks)
	return r
}

// steps are those whose median is some microseconds.
func steps(us int) Steps {
	d := time.Duration(us) * time.Microsecond
	return Steps{Count: 400, P50: d, P90: 2 * d, P99: 3 * d, Max: 9 * d}
}

func TestOutput(t *testing.T) {
	r := inspected()
	for name, write := range map[string]func(io.Writer) error{
		"result.txt":  Text(r, host.Facts{Hostname: "web-1", OS: "Debian 12"}, report.Style{Width: 100}),
		"result.json": JSON(r),
	} {
		var got bytes.Buffer
		if err := write(&got); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s is stale (-want +got); write it anew with -update:\n%s", name, diff)
		}
		if name == "result.json" {
			if err := reporttest.CheckHTTP(got.Bytes()); err != nil {
				t.Error(err)
			}
		}
	}
}
