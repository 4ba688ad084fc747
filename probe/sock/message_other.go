//go:build !linux

package sock

import (
	"context"
	"net/netip"
)

func (s *Socket) RecvMessage(context.Context, []byte) (Message, error) {
	return Message{}, errUnsupported
}

func (s *Socket) SendFrom(context.Context, []byte, netip.Addr, netip.AddrPort) (int, error) {
	return 0, errUnsupported
}
