package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// played is a side whose programs play a part.
func played(t *testing.T) *peerSide {
	t.Helper()
	j := jobOf(bench.TCP, bench.RR, sockperfBytes)
	j.pair = pairOf(t, topology.SameCore)
	s, err := newPeerSide(sockperf(bench.TCP), j)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pairOf(t *testing.T, p topology.Placement) topology.Pair {
	t.Helper()
	processors, err := topology.Read()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := processors.Pair(p)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func TestAPeerThatDoesWell(t *testing.T) {
	newStage(t, well)
	r, err := played(t).Restart(t.Context(), 0)
	if err != nil || r.P50NS != 12640 {
		t.Errorf("%+v, %v; want what it prints", r, err)
	}
}

func TestAPeerThatFails(t *testing.T) {
	for part, want := range map[string]string{
		fails:      "sockperf: exit status 1: sockperf: connection refused",
		noServer:   "sockperf: exit status 3: sockperf: no such device",
		serverAway: "sockperf: ended before it was asked anything",
	} {
		t.Run(part, func(t *testing.T) {
			newStage(t, part)
			if r, err := played(t).Restart(t.Context(), 0); err == nil || err.Error() != want {
				t.Errorf("%+v, %v; want %s", r, err, want)
			}
		})
	}
}

func TestAPeerThatHangs(t *testing.T) {
	st := newStage(t, hangs)
	s := played(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	failed := make(chan error, 1)
	go func() {
		_, err := s.Restart(ctx, 0)
		failed <- err
	}()
	child, grandchild := st.hanging(), st.hanging()
	late := errors.New("late")
	cancel(late)
	if err := <-failed; !errors.Is(err, late) || !strings.Contains(err.Error(), "sockperf did not end") {
		t.Errorf("error is %v, want that it did not end", err)
	}
	st.gone(child)
	st.gone(grandchild)
}

func TestAPeerHasItsTime(t *testing.T) {
	newStage(t, hangs)
	s := played(t)
	s.limit = 3 * time.Second // in which both ends have started, on a busy machine too
	if _, err := s.Restart(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "it took longer than 3s") {
		t.Errorf("error is %v, want that it took too long", err)
	}
}

func TestAServerThatOpensNoPort(t *testing.T) {
	st := newStage(t, deafServer)
	s := played(t)
	s.ready = 3 * time.Second // in which it has started, on a busy machine too
	failed := make(chan error, 1)
	go func() {
		_, err := s.Restart(t.Context(), 0)
		failed <- err
	}()
	server := st.hanging()
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "sockperf did not open tcp port") {
		t.Errorf("error is %v, want that it opened no port", err)
	}
	st.gone(server)
}

// A client may wait for a server that has failed until its time is over.
func TestAServerThatFailsIsTold(t *testing.T) {
	newStage(t, serverFails)
	if _, err := played(t).Restart(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "exit status 4: sockperf: out of memory") {
		t.Errorf("error is %v, want the server's", err)
	}
}
