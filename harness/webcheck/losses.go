package webcheck

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/listeners"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/probe/web"
)

func underLoad(ctx context.Context, i *inspector, c *report.Check) {
	if !i.overHTTP1(c) {
		return
	}
	if i.page.RestBytes > 0 {
		c.SkipFor(needShorter, i.longBody())
		return
	}
	i.load(ctx)
	i.judgeLoads(c)
}

// judgeLoads says what the loads lost: a warning where the server's queue explains all
// of it.
func (i *inspector) judgeLoads(c *report.Check) {
	for _, name := range i.cut {
		c.Note(name, "ended after %v, with requests under way", stuckAfter*i.Timeout)
	}
	var lost []string
	state := check.Warn
	var full *fullQueue
	for _, t := range i.timings {
		if t.Failed == 0 {
			continue
		}
		lost = append(lost, fmt.Sprintf("  %s: %d of %d requests failed: %s", t.Name(), t.Failed, t.Requests, strings.Join(t.Errors, "; ")))
		switch {
		case t.full == nil:
			state = check.Fail
		case full == nil:
			sum := *t.full
			full = &sum
		default:
			full.overflows += t.full.overflows
		}
	}
	if i.loadErr != nil {
		lost, state = append(lost, fmt.Sprintf("  %v", i.loadErr)), check.Fail
	}
	if len(lost) > 0 {
		c.Break(state, "requests that were not answered as the first:", lost...)
	}
	if full != nil {
		cause := full.cause()
		c.Causes, c.Remedies = append(c.Causes, cause), append(c.Remedies, full.remedy(cause))
	}
}

// fullQueue is a listener whose queue of connections to be accepted was too short for
// a load (listen(2)).
type fullQueue struct {
	listener    listeners.Listener
	connections int // that came at once
	// overflows is how often the kernel found the queue full.
	overflows int64
}

// turnedAway is what a request came to that found the queue full.
const turnedAway = "they were turned away, for the server's queue of connections was full"

// overflowed is how often the kernel of this network namespace has found the queue of
// a listener full; 0 where it does not tell.
func overflowed() int64 {
	all, err := counters.Read()
	if err != nil {
		return 0
	}
	times, _ := all.Get("TcpExt", "ListenOverflows")
	return times
}

// tooShort is the server's queue, where it explains all that a load lost, and otherwise
// nil. Then none of the lost had an answer in its time, the kernel turned connections
// away meanwhile, and more were served than the queue holds: one that nobody takes
// connections from is full, however long it is.
func (i *inspector) tooShort(load *web.Load, connections int, overflows int64) *fullQueue {
	if load.Failed == 0 || load.Silent < load.Failed || overflows <= 0 {
		return nil
	}
	for _, l := range i.sockets {
		if l.Backlog == nil || !takes(l, i.page.Remote) {
			continue
		}
		if holds := int(l.Backlog.Limit) + 1; holds < connections && holds < load.Connections {
			return &fullQueue{l, connections, overflows}
		}
	}
	return nil
}

func (q *fullQueue) cause() diagnose.Cause {
	return diagnose.Cause{
		ID:      "backlog-short",
		Summary: fmt.Sprintf("The server's queue of connections that wait is short: a backlog of %d, where %d came at once.", q.listener.Backlog.Limit, q.connections),
		Evidence: []string{
			fmt.Sprintf("%s: its backlog is %d", q.listener, q.listener.Backlog.Limit),
			fmt.Sprintf("TcpExt ListenOverflows moved by %d", q.overflows),
		},
	}
}

func (q *fullQueue) remedy(of diagnose.Cause) diagnose.Remedy {
	const most = "net.core.somaxconn"
	if value, _ := sysctl.Read(most); value == strconv.Itoa(int(q.listener.Backlog.Limit)) {
		return diagnose.Remedy{
			Command: "sysctl -w " + most + "=4096", Cause: of.ID,
			Note: "it bounds what servers ask for; the server has to be restarted to have a longer queue",
		}
	}
	return diagnose.Remedy{
		Command: fmt.Sprintf("ss -ltn 'sport = :%d'", q.listener.Port), Cause: of.ID,
		Note: "Send-Q is the backlog: have the server ask for a longer one (request_queue_size of Python's socketserver, backlog of listen in Node.js, gunicorn and nginx)",
	}
}
