package firewall

import (
	"context"
	"fmt"

	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
)

func keepFlowsInside(ctx context.Context, in *sandbox.Inside, p flowPlan) (seen flowOutcome, err error) {
	if seen.WithoutIPv6, err = prepare(ctx, in); err != nil {
		return seen, err
	}
	// Conntrack begins to look at packets when a rule asks for their state: a
	// flow that is older has none.
	filter, err := seen.load(ctx, p.Ruleset)
	if filter == nil {
		return seen, err
	}
	ends := newSockets(ctx)
	defer ends.Close()
	var open []*ended
	for _, q := range seen.within(p.Open) {
		e := &ended{question: q}
		open = append(open, e)
		if err := e.open(ctx, in, ends); err != nil {
			seen.Flows = append(seen.Flows, flow{q, fmt.Sprintf("cannot be opened: %v", err)})
			return seen, nil
		}
	}
	if err := filter.remove(p.Remove); err != nil {
		return seen, err
	}
	for _, e := range open {
		f := flow{Question: e.question}
		if err := e.echo(ctx); err != nil {
			f.Failed = fmt.Sprintf("does not go on: %v", err)
		}
		seen.Flows = append(seen.Flows, f)
		if f.Failed != "" {
			return seen, nil
		}
	}
	return seen, seen.ask(ctx, in, filter, seen.within(p.New.Questions))
}

// ended is both ends of a flow.
type ended struct {
	question question
	client   *sock.Socket
	server   *sock.Socket
}

// open opens the flow and sends an echo over it.
func (e *ended) open(ctx context.Context, in *sandbox.Inside, ends *sockets) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	bound, err := ends.bind(in, e.question)
	if err != nil {
		return err
	}
	e.server = ends.own(bound)
	if e.client, err = ends.open(in, e.question.client(), e.question.Protocol, e.question.Family); err != nil {
		return err
	}
	ends.own(e.client)
	if err := e.client.Connect(ctx, e.question.target()); err != nil {
		return err
	}
	if e.question.Protocol == sock.TCP {
		if e.server, err = bound.Accept(ctx); err != nil {
			return err
		}
		ends.own(e.server)
	}
	return e.echo(ctx)
}

// echo sends a few bytes there and back.
func (e *ended) echo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	sent, buf := "still there?", make([]byte, 64)
	if _, err := e.client.Send(ctx, []byte(sent), 0); err != nil {
		return err
	}
	n, from, err := e.server.RecvFrom(ctx, buf, 0)
	if err != nil {
		return fmt.Errorf("there: %w", err)
	}
	if e.question.Protocol == sock.UDP {
		_, err = e.server.SendTo(ctx, buf[:n], from, 0)
	} else {
		_, err = e.server.Send(ctx, buf[:n], 0)
	}
	if err != nil {
		return err
	}
	if n, err = e.client.Recv(ctx, buf, 0); err != nil {
		return fmt.Errorf("back: %w", err)
	}
	if string(buf[:n]) != sent {
		return fmt.Errorf("%q came back for %q", buf[:n], sent)
	}
	return nil
}
