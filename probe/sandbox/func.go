package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
)

// Func is a function that runs in sandboxes.
type Func[In, Out any] struct{ name string }

// registered holds every function by name. It is filled while packages are
// initialised and only read afterwards.
var registered = map[string]func(context.Context, *Inside, json.RawMessage) (json.RawMessage, error){}

// Register makes a function callable in sandboxes. Call it while packages are
// initialised, so that the worker has it as well. The name has to be unique in
// the binary; begin it with the package's. It panics on a name that is taken:
// that is a mistake in the source.
//
// The function runs on a thread of its own, which ends with it: it may change
// what belongs to a thread, such as its capabilities. It should end when its
// context does. Several may run at once.
func Register[In, Out any](name string, f func(context.Context, *Inside, In) (Out, error)) Func[In, Out] {
	if _, taken := registered[name]; taken {
		panic(fmt.Sprintf("sandbox: %q is registered twice", name))
	}
	registered[name] = func(ctx context.Context, in *Inside, text json.RawMessage) (result json.RawMessage, err error) {
		defer func() {
			if value := recover(); value != nil {
				err = &PanicError{Func: name, Value: fmt.Sprint(value), Stack: string(debug.Stack())}
			}
		}()
		var arg In
		if err := json.Unmarshal(text, &arg); err != nil {
			return nil, fmt.Errorf("decode the argument of %s: %w", name, err)
		}
		out, err := f(ctx, in, arg)
		result, encodeErr := json.Marshal(out)
		if err == nil && encodeErr != nil {
			err = fmt.Errorf("encode the result of %s: %w", name, encodeErr)
		}
		return result, err
	}
	return Func[In, Out]{name}
}

// Call runs the function in a zone of a sandbox and waits for it. What it
// returns beside an error comes back with the error.
//
// Where the context ends first, the function's context ends inside, and Call
// returns the function's error or, if it does not come back, the context's.
// Other errors of its own are ErrClosed, *DiedError and *PanicError.
func (f Func[In, Out]) Call(ctx context.Context, s *Sandbox, zone string, arg In) (Out, error) {
	var out Out
	text, err := json.Marshal(arg)
	if err != nil {
		return out, fmt.Errorf("encode the argument of %s: %w", f.name, err)
	}
	result, err := s.call(ctx, f.name, zone, text)
	if len(result) > 0 {
		if decodeErr := json.Unmarshal(result, &out); decodeErr != nil && err == nil {
			err = fmt.Errorf("decode the result of %s: %w", f.name, decodeErr)
		}
	}
	return out, err
}
