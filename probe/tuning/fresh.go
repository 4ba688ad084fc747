package tuning

import (
	"context"
	"sync"

	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

// fresh holds what a fresh namespace was found to have: it does not change
// while this process runs.
var fresh struct {
	sync.Mutex
	values map[string]string
}

// Fresh reads the known settings in a network namespace made for it, by name.
// It returns none where there is no sandbox to be had.
func Fresh(ctx context.Context) map[string]string {
	fresh.Lock()
	defer fresh.Unlock()
	if fresh.values != nil {
		return fresh.values
	}
	box, err := sandbox.Start(ctx, sandbox.Config{})
	if err != nil {
		return nil
	}
	defer box.Close()
	if values, err := readAll.Call(ctx, box, "", struct{}{}); err == nil {
		fresh.values = values
	}
	return fresh.values
}

// readAll reads every known setting; those that are not there it leaves out.
var readAll = sandbox.Register("tuning/read", func(context.Context, *sandbox.Inside, struct{}) (map[string]string, error) {
	values := map[string]string{}
	for _, s := range known {
		if value, err := sysctl.Read(s.Name); err == nil {
			values[s.Name] = plain(value)
		}
	}
	return values, nil
})
