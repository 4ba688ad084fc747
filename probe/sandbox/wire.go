package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// request is what the parent sends: first its Config, then calls and their
// cancellations.
type request struct {
	Setup  *setup          `json:"setup,omitempty"`
	ID     uint64          `json:"id,omitempty"`
	Cancel bool            `json:"cancel,omitempty"`
	Func   string          `json:"func,omitempty"`
	Zone   string          `json:"zone,omitempty"`
	Limit  time.Duration   `json:"limit,omitempty"` // until the call's deadline
	Arg    json.RawMessage `json:"arg,omitempty"`
}

// setup is everything that is done before the first call.
type setup struct {
	Config Config   `json:"config"`
	Damage []string `json:"damage,omitempty"`
	UserNS bool     `json:"user_ns"`
	Plain  bool     `json:"plain,omitempty"`
	IDs    int      `json:"ids"`
}

// reply is what the worker sends: the Facts once, then one for each call.
type reply struct {
	ID     uint64          `json:"id,omitempty"`
	Facts  *Facts          `json:"facts,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Err    *wireError      `json:"err,omitempty"`
	// Refused says that the error is for want of rights, not in what was asked.
	Refused bool `json:"refused,omitempty"`
}

// wireError is an error on its way between the two processes.
type wireError struct {
	Text  string        `json:"text"`
	Errno syscall.Errno `json:"errno,omitempty"`
	Is    []string      `json:"is,omitempty"`
	Panic *PanicError   `json:"panic,omitempty"`
}

// sentinels are the errors beside errnos that are recognised on the other side.
var sentinels = map[string]error{
	"context canceled":          context.Canceled,
	"context deadline exceeded": context.DeadlineExceeded,
	"i/o timeout":               os.ErrDeadlineExceeded,
	"not exist":                 fs.ErrNotExist,
	"unsupported":               errors.ErrUnsupported,
	"network closed":            net.ErrClosed,
	"eof":                       io.EOF,
}

func toWire(err error) *wireError {
	if err == nil {
		return nil
	}
	w := &wireError{Text: err.Error()}
	errors.As(err, &w.Errno)
	errors.As(err, &w.Panic)
	for name, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			w.Is = append(w.Is, name)
		}
	}
	return w
}

// remoteError is a function's error as its caller gets it.
type remoteError struct {
	text string
	is   []error
}

func (e *remoteError) Error() string   { return e.text }
func (e *remoteError) Unwrap() []error { return e.is }

func (w *wireError) err() error {
	switch {
	case w == nil:
		return nil
	case w.Panic != nil:
		return w.Panic
	}
	e := &remoteError{text: w.Text}
	if w.Errno != 0 {
		e.is = append(e.is, w.Errno)
	}
	for _, name := range w.Is {
		if sentinel, known := sentinels[name]; known {
			e.is = append(e.is, sentinel)
		}
	}
	return e
}
