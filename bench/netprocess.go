package bench

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/loopcheck/loopcheck/probe/topology"
)

// serverName is the first argument of a server, by which it knows that it is one
// and a person knows it in a list of processes.
const serverName = "loopcheck: bench server"

const (
	// startTimeout bounds the start of a server, which takes some ten milliseconds;
	// the rest is for a machine whose processors are busy elsewhere.
	startTimeout = 10 * time.Second
	// answerTimeout bounds what a server may take to tell of itself.
	answerTimeout = 5 * time.Second
	// endTimeout bounds what it may take to end once it is told to.
	endTimeout = 2 * time.Second
	// saidLimit is how much is kept of what a server writes to its standard error.
	saidLimit = 1 << 10
)

// order is what a server is told first.
type order struct {
	Transport string `json:"transport"`
	Op        string `json:"op"`
	SizeBytes int    `json:"size"`
	// Listeners is how many ports it serves.
	Listeners int `json:"listeners"`
	// Confined says that it stays on one processor.
	Confined bool `json:"confined"`
	// Dir is where the file of a unix socket goes; empty where the socket needs none.
	Dir string `json:"dir,omitempty"`
	// shared is a file by which the server tells where it is; nil where it stays on
	// its processor, and where there is no such thing. Shared says that it is there.
	shared *os.File
	Shared bool `json:"shared,omitempty"`
}

func orderOf(s Spec, pair topology.Pair) order {
	return order{Transport: s.Transport, Op: s.Op, SizeBytes: s.SizeBytes, Listeners: listeners(s), Confined: pair.Server >= 0}
}

// hello is the first that a server says.
type hello struct {
	Addresses   []string `json:"addresses"`
	Certificate []byte   `json:"certificate,omitempty"` // PEM
	Error       string   `json:"error,omitempty"`       // why it cannot serve
}

// question is what a server is asked afterwards.
type question struct {
	// Received asks how many bytes have come in, once that many have or no more do
	// within replyTimeout. 0 asks for the usage.
	Received int64 `json:"received,omitempty"`
}

// answer is what it says to a question.
type answer struct {
	Usage    usage `json:"usage"`
	Received int64 `json:"received"`
}

// diedError says that the server was gone before it was told to end.
type diedError struct {
	state string // such as "signal: killed"
	said  string
}

func (e *diedError) Error() string {
	if e.said == "" {
		return "the server died: " + e.state
	}
	return fmt.Sprintf("the server died: %s: %s", e.state, e.said)
}

// mainCalled says that this program can be started again as a server.
var mainCalled atomic.Bool

// errNoMain is for a program that would start itself over and over.
var errNoMain = errors.New("netconn starts the running program again as its server, which this one is not made for: call bench.Main first in its main function, or in the TestMain of its package")

// serverProcess is a running server. It is asked by one goroutine at a time.
type serverProcess struct {
	command *exec.Cmd
	stdin   io.WriteCloser
	dir     string // to be removed
	hello   hello
	lines   chan []byte
	ended   chan struct{} // closed when the process was waited for

	mu      sync.Mutex
	closing bool
	died    *diedError
}

// startServer starts a server on a processor, in the network namespace of the
// calling thread. Died is called when the server ends by itself.
func startServer(ctx context.Context, o order, cpu int, died context.CancelCauseFunc) (*serverProcess, error) {
	if !mainCalled.Load() {
		return nil, errNoMain
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	path, err := ownPath()
	if err != nil {
		return nil, fmt.Errorf("the server's program: %w", err)
	}
	p := &serverProcess{lines: make(chan []byte, 1), ended: make(chan struct{})}
	if o.Transport == Unix && o.Dir == "" && !abstractSockets {
		if o.Dir, err = os.MkdirTemp("", "loopcheck"); err != nil {
			return nil, fmt.Errorf("a place for the server's socket: %w", err)
		}
	}
	p.dir = o.Dir
	said := &head{}
	p.command = &exec.Cmd{Path: path, Args: []string{serverName}, Stderr: said, SysProcAttr: ownGroup(), WaitDelay: endTimeout}
	if o.shared != nil {
		o.Shared, p.command.ExtraFiles = true, []*os.File{o.shared}
	}
	stdout, err := p.command.StdoutPipe()
	if err == nil {
		if p.stdin, err = p.command.StdinPipe(); err != nil {
			_ = stdout.Close()
		}
	}
	if err == nil {
		err = startOn(cpu, p.command.Start)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the server: %w", err), p.removeDir())
	}
	go p.watch(stdout, said, died)
	if err := p.greet(ctx, o); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// watch takes in what the server says until it ends.
func (p *serverProcess) watch(stdout io.Reader, said *head, died context.CancelCauseFunc) {
	reader := bufio.NewReader(stdout)
	for {
		line, err := reader.ReadBytes('\n')
		if err != nil {
			break
		}
		select {
		case p.lines <- line:
		default: // an answer that nobody waited for any more is there still
		}
	}
	err := p.command.Wait()
	p.mu.Lock()
	if !p.closing || (err != nil && !errors.Is(err, exec.ErrWaitDelay)) {
		p.died = &diedError{state: p.command.ProcessState.String(), said: said.String()}
	}
	p.mu.Unlock()
	if cause := p.death(); cause != nil {
		died(cause)
	}
	close(p.ended)
}

// death is how the server ended by itself, or nil.
func (p *serverProcess) death() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.died == nil {
		return nil
	}
	return p.died
}

// greet tells the server what to do and learns where.
func (p *serverProcess) greet(ctx context.Context, o order) error {
	if err := p.ask(ctx, startTimeout, o, &p.hello); err != nil {
		return fmt.Errorf("%s server: %w", o.Transport, err)
	}
	if p.hello.Error != "" {
		return fmt.Errorf("%s server: %s", o.Transport, p.hello.Error)
	}
	if len(p.hello.Addresses) == 0 {
		return fmt.Errorf("%s server: it names no address", o.Transport)
	}
	return nil
}

// ask sends a question and waits for the answer.
func (p *serverProcess) ask(ctx context.Context, limit time.Duration, question, answer any) error {
	if err := json.NewEncoder(p.stdin).Encode(question); err != nil {
		<-p.ended // nobody reads any more
		return cmp.Or(p.death(), err)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case line := <-p.lines:
		return json.Unmarshal(line, answer)
	case <-p.ended:
		select {
		case line := <-p.lines: // said before it ended
			return json.Unmarshal(line, answer)
		default:
		}
		return cmp.Or(p.death(), error(io.ErrUnexpectedEOF))
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return fmt.Errorf("no answer within %v: %w", limit, os.ErrDeadlineExceeded)
	}
}

// usage is what the server has used so far.
func (p *serverProcess) usage(ctx context.Context) (usage, error) {
	var a answer
	if err := p.ask(ctx, answerTimeout, question{}, &a); err != nil {
		return usage{}, fmt.Errorf("the server's usage: %w", err)
	}
	return a.Usage, nil
}

// received is how many bytes have come in, once that many have or no more do
// within replyTimeout.
func (p *serverProcess) received(ctx context.Context, want int64) (int64, error) {
	var a answer
	if err := p.ask(ctx, answerTimeout, question{Received: want}, &a); err != nil {
		return 0, fmt.Errorf("what the server received: %w", err)
	}
	return a.Received, nil
}

// close ends the server. It fails when the server had ended in another way, with
// what the client has not been told.
func (p *serverProcess) close() error {
	p.mu.Lock()
	died := p.died
	p.closing = true
	p.mu.Unlock()
	_ = p.stdin.Close() // by which it ends
	timer := time.NewTimer(endTimeout)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		_ = p.command.Process.Kill()
		<-p.ended
		return p.removeDir()
	}
	if died == nil && p.death() != nil {
		return errors.Join(p.death(), p.removeDir())
	}
	return p.removeDir()
}

func (p *serverProcess) removeDir() error {
	if p.dir == "" {
		return nil
	}
	return os.RemoveAll(p.dir)
}

// head keeps the beginning of what is written to it.
type head struct {
	mu   sync.Mutex
	text []byte
}

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text = append(h.text, p[:min(len(p), saidLimit-len(h.text))]...)
	return len(p), nil
}

// String is the first line: the rest of a panic is a stack.
func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	first, _, _ := strings.Cut(strings.TrimSpace(string(h.text)), "\n")
	return first
}
