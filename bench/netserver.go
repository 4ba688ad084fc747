package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// memoryLimit is where garbage is collected after all, in a window in which the
// collector is off. It is enough for seconds of HTTP requests.
const memoryLimit = 512 << 20

// firstExtraFile is the descriptor of the first file that a process is given beside
// its standard streams (os/exec).
const firstExtraFile = 3

// Main makes this process the server of a netconn benchmark, if it was started as
// one, and then does not return. Otherwise it only notes that this program can be
// started so. Call it first in main, and in the TestMain of packages whose tests
// measure with NetConn.
func Main() {
	mainCalled.Store(true)
	if len(os.Args) != 1 || os.Args[0] != serverName {
		return
	}
	// What a terminal sends to its foreground is for the parent to handle.
	signal.Ignore(os.Interrupt)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryLimit)
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// server is the other end of a netconn benchmark.
type server struct {
	order order
	looks *looks
	inbox inbox
	// failed takes what ends the server.
	failed chan error
}

// serve does what it is told on one stream, and answers on the other, until the
// first ends: with the parent, however that ends.
func serve(in io.Reader, out io.Writer) error {
	questions, answers := json.NewDecoder(in), json.NewEncoder(out)
	s := &server{failed: make(chan error, 1), looks: newLooks()}
	if err := questions.Decode(&s.order); err != nil {
		return ended(err)
	}
	if s.order.Shared {
		if err := s.looks.lieIn(os.NewFile(firstExtraFile, "looks")); err != nil {
			return err
		}
	}
	if s.order.Confined {
		runtime.GOMAXPROCS(1) // whatever the environment says
	}
	if s.order.Dir != "" {
		defer os.RemoveAll(s.order.Dir)
	}
	h, err := s.listen()
	if err != nil {
		h.Error = err.Error()
	}
	if err := answers.Encode(h); err != nil {
		return err
	}
	asked := make(chan error, 1)
	go func() { asked <- s.answer(questions, answers) }()
	select {
	case err := <-asked:
		return err
	case err := <-s.failed:
		return err
	}
}

func (s *server) answer(questions *json.Decoder, answers *json.Encoder) error {
	for {
		var q question
		if err := questions.Decode(&q); err != nil {
			return ended(err)
		}
		var a answer
		if q.Received > 0 {
			a.Received = s.inbox.await(q.Received, replyTimeout)
		} else {
			a.Usage = s.usage()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("what the server is told: %w", err)
}

func (s *server) usage() usage {
	u := readUsage()
	u.Seen = s.looks.usage().Seen
	sample := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(sample)
	u.Collections = sample[0].Value.Uint64()
	return u
}

// fail ends the server with an error.
func (s *server) fail(err error) {
	select {
	case s.failed <- err:
	default: // another was first
	}
}

// look notes which processor a goroutine is on, now and then.
func (s *server) look(operation int) {
	if !s.order.Confined && operation%lookEvery == 0 {
		s.looks.asServer()
	}
}

// inbox counts the bytes of streams.
type inbox struct {
	mu    sync.Mutex
	bytes int64
	more  chan struct{} // closed when there are as many as are waited for
	want  int64
}

func (b *inbox) add(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes += int64(n)
	if b.more != nil && b.bytes >= b.want {
		close(b.more)
		b.more = nil
	}
}

// await waits until there are as many bytes, or for some time, and returns how
// many there are.
func (b *inbox) await(want int64, limit time.Duration) int64 {
	b.mu.Lock()
	if b.bytes < want {
		more := make(chan struct{})
		b.more, b.want = more, want
		b.mu.Unlock()
		timer := time.NewTimer(limit)
		defer timer.Stop()
		select {
		case <-more:
		case <-timer.C:
		}
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	b.more = nil
	return b.bytes
}
