//go:build !linux

package sock

import "net/netip"

func (s *Socket) JoinGroup(netip.Addr, int) error             { return errUnsupported }
func (s *Socket) SetMulticastInterface(int, netip.Addr) error { return errUnsupported }
func (s *Socket) InterfaceNumber(string) (int, error)         { return 0, errUnsupported }
