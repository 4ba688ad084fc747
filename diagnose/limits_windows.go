package diagnose

import "errors"

// Windows has no such limit.
var readFileLimit = func() (fileLimit, error) { return fileLimit{}, errors.ErrUnsupported }
