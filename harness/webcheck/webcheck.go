// Package webcheck answers whether a web server on this machine does what clients,
// browsers and caches rely on, what it lets pages of other origins do, and how long it
// takes. It sends GET, HEAD and OPTIONS alone, to addresses of this machine alone.
//
// Its checks are not in the catalogue that `loopcheck run` goes through: the server is
// the user's own.
package webcheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/listeners"
	"github.com/loopcheck/loopcheck/probe/web"
)

// SchemaVersion is that of docs/http.schema.json.
const SchemaVersion = "1"

// Suite is the one of these checks.
var Suite = check.Suite{Name: "web", Title: "A web server of this machine"}

func init() { report.Claim(Suite.Name, "The server does what clients rely on") }

// Options says what to ask, and how.
type Options struct {
	Target Target
	// Header is sent with each request.
	Header http.Header
	// Roots are the authorities to trust; nil is the system's.
	Roots *x509.CertPool
	// Insecure leaves the certificate unjudged.
	Insecure bool
	// Timeout bounds one request; see DefaultTimeout.
	Timeout time.Duration
}

// DefaultTimeout is enough for a page that is put together while its reader waits.
const DefaultTimeout = 5 * time.Second

// Result is what came of it, as printed with --json.
type Result struct {
	SchemaVersion string         `json:"schema_version"`
	Tool          report.Tool    `json:"tool"`
	Started       time.Time      `json:"started"` // UTC
	Duration      time.Duration  `json:"duration_ns"`
	Command       []string       `json:"command"`
	Interrupted   bool           `json:"interrupted"`
	Target        Asked          `json:"target"`
	Summary       report.Summary `json:"summary"`
	Checks        []report.Check `json:"checks"`
	Timings       []Timing       `json:"timings"`
}

// Asked is the server as it was found.
type Asked struct {
	URL string `json:"url"`
	// Final is where redirects on this machine led to; empty where there was none.
	Final     string   `json:"final_url,omitempty"`
	Addresses []string `json:"addresses"`
	// Listeners are the sockets that answer there, as far as they can be seen.
	Listeners []listeners.Listener `json:"listeners"`
	Status    int                  `json:"status"` // 0 where there was no answer
	// Versions are those of HTTP that it spoke.
	Versions []web.Version `json:"versions"`
	Server   string        `json:"server,omitempty"` // as it calls itself
}

// Run asks the server. What goes wrong with it is in the checks; the error is for what
// keeps it from being asked at all. Where ctx ends, the rest is marked interrupted.
func Run(ctx context.Context, o Options) (*Result, error) {
	i, err := newInspector(o)
	if err != nil {
		return nil, err
	}
	defer i.close()
	i.open(ctx)
	r := &Result{SchemaVersion: SchemaVersion, Started: i.started, Checks: []report.Check{}, Timings: []Timing{}}
	for _, q := range questions {
		r.Checks = append(r.Checks, i.answer(ctx, q))
	}
	r.Timings = append(r.Timings, i.timings...)
	r.Target = i.asked()
	r.Summary = report.Summarize(r.Checks)
	r.Duration = time.Since(i.started)
	r.Interrupted = ctx.Err() != nil
	return r, nil
}

// Checks are what is asked, for those who explain them.
func Checks() []check.Check {
	all := make([]check.Check, len(questions))
	for n, q := range questions {
		all[n] = q.Check
	}
	return all
}

// question is a check and what answers it.
type question struct {
	check.Check
	ask func(context.Context, *inspector, *report.Check)
	// alone says that it needs no answer to a GET.
	alone bool
}

// needAnswer is what most checks take.
var needAnswer = check.Need{Name: "an answer to GET", How: "see WEB-001"}

// answer is what the check came to.
func (i *inspector) answer(ctx context.Context, q question) report.Check {
	c := report.Of(q.Check)
	if ctx.Err() != nil {
		return report.NotAsked(q.Check, "the run was stopped before it was asked")
	}
	i.close() // a server that serves one connection at a time leaves others waiting for its end
	start := time.Now()
	c.State = check.Pass
	if i.pageErr != nil && !q.alone {
		c.SkipFor(needAnswer, i.pageErr.Error())
	} else {
		q.ask(ctx, i, &c)
	}
	if ctx.Err() != nil {
		return report.NotAsked(q.Check, "the run was stopped while it was asked")
	}
	c.Duration = time.Since(start)
	if c.State == check.Fail || c.State == check.Warn {
		c.Why, c.UsualCauses, c.UsualRemedies = q.Why, q.Causes, q.Remedies
	}
	return c
}

// unverified trusts every certificate: whether it is to be trusted is a check of its
// own, and the others are asked in any case.
func unverified() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}
}
