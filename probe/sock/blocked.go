package sock

import "errors"

// ErrDidNotWait says that a call returned which was to wait in the kernel.
var ErrDidNotWait = errors.New("the call did not wait")
