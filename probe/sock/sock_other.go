//go:build !linux

package sock

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
)

// Socket is one descriptor on Linux. Nothing makes one here.
type Socket struct{}

var errUnsupported = fmt.Errorf("raw sockets of %s: %w", runtime.GOOS, errors.ErrUnsupported)

func New(Kind, Family) (*Socket, error) { return nil, errUnsupported }

func (s *Socket) Close() error                                  { return errUnsupported }
func (s *Socket) Bind(netip.AddrPort) error                     { return errUnsupported }
func (s *Socket) Listen(int) error                              { return errUnsupported }
func (s *Socket) Accept(context.Context) (*Socket, error)       { return nil, errUnsupported }
func (s *Socket) StartConnect(netip.AddrPort) error             { return errUnsupported }
func (s *Socket) Connect(context.Context, netip.AddrPort) error { return errUnsupported }
func (s *Socket) Shutdown(How) error                            { return errUnsupported }
func (s *Socket) SetLinger(int) error                           { return errUnsupported }
func (s *Socket) ReceiveBuffer() (int, error)                   { return 0, errUnsupported }
func (s *Socket) LocalAddr() (netip.AddrPort, error)            { return netip.AddrPort{}, errUnsupported }

func (s *Socket) PeerAddr() (netip.AddrPort, error) { return netip.AddrPort{}, errUnsupported }

func (s *Socket) TCPInfo() (TCPInfo, error)                       { return TCPInfo{}, errUnsupported }
func (s *Socket) PendingError() error                             { return errUnsupported }
func (s *Socket) QueueErrors() error                              { return errUnsupported }
func (s *Socket) QueuedError() (*ICMPError, error)                { return nil, errUnsupported }
func (s *Socket) Poll(context.Context, Event) (Event, error)      { return 0, errUnsupported }
func (s *Socket) Send(context.Context, []byte, Flag) (int, error) { return 0, errUnsupported }
func (s *Socket) Recv(context.Context, []byte, Flag) (int, error) { return 0, errUnsupported }

func (s *Socket) SendTo(context.Context, []byte, netip.AddrPort, Flag) (int, error) {
	return 0, errUnsupported
}

func (s *Socket) RecvFrom(context.Context, []byte, Flag) (int, netip.AddrPort, error) {
	return 0, netip.AddrPort{}, errUnsupported
}

// FreeDescriptors is how many more descriptors this process may open.
func FreeDescriptors() (int, error) { return 0, errUnsupported }

func (s *Socket) OriginalDestination() (netip.AddrPort, error) {
	return netip.AddrPort{}, errUnsupported
}
