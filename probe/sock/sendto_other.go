//go:build !linux

package sock

import "net/netip"

func (s *Socket) TrySendTo([]byte, netip.AddrPort, Flag) (int, error) { return 0, errUnsupported }
