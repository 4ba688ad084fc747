//go:build !linux

package sock

import "time"

func (s *Socket) SetUserTimeout(time.Duration) error { return errUnsupported }
func (s *Socket) IgnoreEverything() error            { return errUnsupported }
