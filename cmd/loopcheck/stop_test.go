package main

import (
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What a second signal still has to do ends the wait, or what comes first: one more
// signal, or the end of the grace.
func TestWhatIsDoneBrieflyIsWaitedForNoLonger(t *testing.T) {
	const grace = time.Minute
	for name, c := range map[string]struct {
		takes   time.Duration
		signals []time.Duration
		waits   time.Duration
	}{
		"it ends":                      {takes: time.Second, waits: time.Second},
		"it hangs":                     {takes: time.Hour, waits: grace},
		"one more signal":              {takes: time.Hour, signals: []time.Duration{time.Second}, waits: time.Second},
		"the same signal twice":        {takes: 2 * time.Second, signals: []time.Duration{0, sameRequest / 2}, waits: 2 * time.Second},
		"the same, and then one again": {takes: time.Hour, signals: []time.Duration{0, sameRequest}, waits: sameRequest},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				further := make(chan os.Signal, len(c.signals))
				for _, after := range c.signals {
					time.AfterFunc(after, func() { further <- os.Interrupt })
				}
				var ended atomic.Bool
				began := time.Now()
				done := briefly(grace, further, func() {
					time.Sleep(c.takes)
					ended.Store(true)
				})
				if waited := time.Since(began); waited != c.waits || done != ended.Load() {
					t.Errorf("waited %v, want %v; said %t of one that ended: %t", waited, c.waits, done, ended.Load())
				}
				time.Sleep(c.takes) // its goroutine ends within the test
			})
		})
	}
}
