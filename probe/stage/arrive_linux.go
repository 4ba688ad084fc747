package stage

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
)

func arriveInside(ctx context.Context, in *sandbox.Inside, o arrivalOrder) (a Arrival, err error) {
	family := sock.IPv4
	if o.To.Addr().Is6() {
		family = sock.IPv6
	}
	var listener, client *sock.Socket
	err = in.Do(o.Where, func() (err error) {
		if listener, err = sock.New(sock.TCP, family); err != nil {
			return err
		}
		return errors.Join(listener.Bind(o.At), listener.Listen(1))
	})
	defer closeAll(&listener, &client)
	if err != nil {
		return a, fmt.Errorf("wait at %s: %w", o.At, err)
	}
	err = in.Do(o.From, func() (err error) {
		if client, err = sock.New(sock.TCP, family); err != nil {
			return err
		}
		// That it does not come to stand is the answer.
		_ = client.Connect(ctx, o.To)
		return nil
	})
	if err != nil {
		return a, err
	}
	accepted, err := listener.Accept(ctx)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	defer func() { _ = accepted.Close() }()
	a.Accepted = true
	if o.Where == Machine {
		if a.Original, err = accepted.OriginalDestination(); err != nil {
			return a, err
		}
	}
	return a, nil
}

func closeAll(sockets ...**sock.Socket) {
	for _, s := range sockets {
		if *s != nil {
			_ = (*s).Close()
		}
	}
}
