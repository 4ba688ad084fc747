package web_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/probe/webserver"
)

func TestALoadIsColdOrWarm(t *testing.T) {
	for name, c := range map[string]struct {
		fresh                bool
		connections, samples int
	}{
		"cold": {true, 40, 40},
		"warm": {false, 4, 36},
	} {
		t.Run(name, func(t *testing.T) {
			leaksNothing(t)
			g := NewWithT(t)
			server := serve(t, webserver.Config{})
			load, err := web.Plan{
				URL: server.URLAt("localhost", "/"), Requests: 40, Connections: 4, Timeout: patience,
				Options: web.Options{Fresh: c.fresh},
			}.Run(within(t))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(load.Errors).To(BeEmpty())
			g.Expect(load.Answered).To(Equal(40))
			g.Expect(load.Failed).To(BeZero())
			g.Expect(load.Total.Count).To(BeNumerically(">=", c.samples))
			g.Expect(server.Connections()).To(BeNumerically("<=", c.connections))
			g.Expect(load.Connections).To(BeNumerically("<=", c.connections))
			g.Expect(load.Connect.Count > 0).To(Equal(c.fresh))
			g.Expect(load.DNS.Count > 0).To(Equal(c.fresh))
			g.Expect(load.Total.P50).To(And(BeNumerically(">", 0), BeNumerically("<=", load.Total.P90)))
			g.Expect(load.Total.P90).To(BeNumerically("<=", load.Total.P99))
			g.Expect(load.Total.P99).To(BeNumerically("<=", load.Total.Max))
			g.Expect(load.RatePerS()).To(BeNumerically(">", 0))
		})
	}
}

func TestALoadCountsWhatFails(t *testing.T) {
	g := NewWithT(t)
	server := serve(t, webserver.Config{})
	load, err := web.Plan{URL: server.URL("/nowhere"), Requests: 10, Connections: 2, Timeout: patience}.Run(within(t))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(load.Failed).To(Equal(10))
	g.Expect(load.Silent).To(BeZero())
	g.Expect(load.Answered).To(BeZero())
	g.Expect(load.Errors).To(And(HaveLen(3), HaveEach(MatchError(ContainSubstring("404 Not Found")))))
	g.Expect(load.Total).To(BeZero())

	load, err = web.Plan{URL: server.URL("/nowhere"), Requests: 10, Connections: 1, MaxFailed: 2, Timeout: patience}.Run(within(t))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(load.Failed).To(Equal(2))

	wrong := errors.New("not what was wanted")
	load, err = web.Plan{
		URL: server.URL("/"), Requests: 1, Connections: 1, Timeout: patience,
		Wrong: func(*web.Response) error { return wrong },
	}.Run(within(t))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(load.Errors).To(ConsistOf(MatchError(wrong)))
}

func TestALoadTellsWhatHadNoAnswer(t *testing.T) {
	leaksNothing(t)
	g := NewWithT(t)
	server := serve(t, webserver.Config{Silent: true})
	load, err := web.Plan{URL: server.URL("/"), Requests: 4, Connections: 2, Timeout: time.Second}.Run(within(t))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(load.Failed).To(Equal(4))
	g.Expect(load.Silent).To(Equal(4))
}

func TestALoadEndsWithItsContext(t *testing.T) {
	leaksNothing(t)
	g := NewWithT(t)
	server := serve(t, webserver.Config{Silent: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	load, err := web.Plan{URL: server.URL("/"), Requests: 1000, Connections: 2, Timeout: patience}.Run(ctx)
	g.Expect(err).To(MatchError(context.DeadlineExceeded))
	g.Expect(load.Answered).To(BeZero())
	g.Expect(load.Failed).To(BeZero(), "what was under way")
}

// However short the time is, each connection has a first request.
func TestALoadBeginsNoRequestAfterItsTime(t *testing.T) {
	leaksNothing(t)
	g := NewWithT(t)
	server := serve(t, webserver.Config{})
	load, err := web.Plan{URL: server.URL("/"), Requests: 1_000_000, Connections: 2, Timeout: patience, Begin: 20 * time.Millisecond}.Run(within(t))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(load.Errors).To(BeEmpty())
	g.Expect(load.Answered).To(BeNumerically(">", 0))
}

func TestALoadNeedNotKeepBodies(t *testing.T) {
	leaksNothing(t)
	g := NewWithT(t)
	server := serve(t, webserver.Config{})
	for discard, want := range map[bool]string{false: webserver.Page, true: ""} {
		load, err := web.Plan{
			URL: server.URL("/"), Requests: 4, Connections: 2, Timeout: patience, Discard: discard,
			Wrong: func(r *web.Response) error {
				if string(r.Body) != want {
					return fmt.Errorf("the body is %q", r.Body)
				}
				return nil
			},
		}.Run(within(t))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(load.Errors).To(BeEmpty())
		g.Expect(load.Answered).To(Equal(4))
	}
}

func TestAPlanMustBePossible(t *testing.T) {
	for _, p := range []web.Plan{
		{Requests: 0, Connections: 1, Timeout: 1},
		{Requests: 1, Connections: 0, Timeout: 1},
		{Requests: 1, Connections: 1},
		{Requests: 1, Connections: 1, Timeout: 1, Options: web.Options{Version: "4"}},
	} {
		if _, err := p.Run(t.Context()); err == nil {
			t.Errorf("%+v was run", p)
		}
	}
}
