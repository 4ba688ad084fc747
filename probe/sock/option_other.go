//go:build !linux

package sock

import "time"

func (s *Socket) Set(Option, int) error                       { return errUnsupported }
func (s *Socket) Get(Option) (int, error)                     { return 0, errUnsupported }
func (s *Socket) SetBlocking(bool) error                      { return errUnsupported }
func (s *Socket) Blocking() (bool, error)                     { return false, errUnsupported }
func (s *Socket) SetWaits(time.Duration, time.Duration) error { return errUnsupported }
func (s *Socket) TryAccept() (*Socket, error)                 { return nil, errUnsupported }
func (s *Socket) TrySend([]byte, Flag) (int, error)           { return 0, errUnsupported }
func (s *Socket) TryRecv([]byte, Flag) (int, error)           { return 0, errUnsupported }
func (s *Socket) Disconnect() error                           { return errUnsupported }
func (s *Socket) Dup() (*Socket, error)                       { return nil, errUnsupported }
func (s *Socket) Unread() (int, error)                        { return 0, errUnsupported }
func (s *Socket) Unsent() (int, error)                        { return 0, errUnsupported }
func (s *Socket) AtMark() (bool, error)                       { return false, errUnsupported }
