package serve

import (
	"context"
	"os"
	"time"
)

// watchInterval is how often the file of routes is looked at. A look is one system
// call; and unlike notifications of the kernel (inotify(7)) it notices a change through
// a network's or a container's file system too.
const watchInterval = 250 * time.Millisecond

// watch reads the routes anew whenever the file has changed, until the context ends.
func (s *Server) watch(ctx context.Context) {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if changed, err := s.reloadChanged(); changed {
			s.sayReloaded(err)
		}
	}
}

// ReloadAndSay is Reload that says what came of it.
func (s *Server) ReloadAndSay() { s.sayReloaded(s.Reload()) }

func (s *Server) sayReloaded(err error) {
	if err != nil {
		s.say("the routes that are there stay: " + err.Error())
		return
	}
	s.say("read " + s.options.Routes + " anew")
}

// state is what changes when a file is written or replaced.
type state struct {
	size     int64
	modified time.Time
	there    bool
}

func stateOf(path string) state {
	info, err := os.Stat(path)
	if err != nil {
		return state{}
	}
	return state{info.Size(), info.ModTime(), true}
}
