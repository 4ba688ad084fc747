package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/loopcheck/loopcheck/harness/terminal"
)

// Bar shows how much of one thing is done, on a terminal; elsewhere it shows
// nothing, for what it tells of is over in a moment. Writing errors are ignored.
type Bar struct {
	w     io.Writer
	style Style
	label string
	total int
	done  atomic.Int64

	stop    chan struct{}
	stopped sync.WaitGroup
}

// NewBar starts to draw a bar on w. A total of 0 is not known: the label alone is
// drawn then.
func NewBar(w io.Writer, style Style, label string, total int) *Bar {
	b := &Bar{w: w, style: style, label: label, total: total, stop: make(chan struct{})}
	if !style.Animated {
		return b
	}
	b.stopped.Go(func() {
		ticker := time.NewTicker(redrawEvery)
		defer ticker.Stop()
		for {
			b.draw()
			select {
			case <-b.stop:
				return
			case <-ticker.C:
			}
		}
	})
	return b
}

// Add says that n more are done. It may be called by several goroutines.
func (b *Bar) Add(n int) { b.done.Add(int64(n)) }

// Close takes the bar away. It is called once.
func (b *Bar) Close() {
	close(b.stop)
	b.stopped.Wait()
	if b.style.Animated {
		_, _ = io.WriteString(b.w, "\r\x1b[K")
	}
}

func (b *Bar) draw() {
	done := min(int(b.done.Load()), b.total)
	width := b.style.Width() - 1
	if b.total == 0 {
		_, _ = io.WriteString(b.w, "\r\x1b[K"+terminal.Shorten(b.label, width))
		return
	}
	count := fmt.Sprintf(" %3d %%", 100*done/b.total)
	label := terminal.Shorten(b.label, max(width-len(count)-1, 0))
	room := min(width-terminal.Columns(label)-len(count)-3, 40)
	bar := ""
	if room > 0 {
		full := room * done / b.total
		bar = " [" + strings.Repeat("#", full) + strings.Repeat(" ", room-full) + "]"
	}
	_, _ = io.WriteString(b.w, "\r\x1b[K"+terminal.Shorten(label+bar+count, width))
}
