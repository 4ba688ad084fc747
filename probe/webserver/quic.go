package webserver

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/quic-go/quic-go/http3"

	"github.com/loopcheck/loopcheck/probe/web"
)

// listenQUIC serves HTTP/3.
func (s *Server) listenQUIC(ctx context.Context) error {
	web.QuietBuffers()
	var config net.ListenConfig
	conn, err := config.ListenPacket(ctx, "udp", s.config.At.String())
	if err != nil {
		return err
	}
	s.addr = conn.LocalAddr().(*net.UDPAddr).AddrPort()
	server := &http3.Server{Handler: s.handler(), TLSConfig: http3.ConfigureTLSConfig(s.config.TLS)}
	s.shut = func() error {
		err := server.Close()
		if closeErr := conn.Close(); err == nil && !errors.Is(closeErr, net.ErrClosed) {
			err = closeErr
		}
		return err
	}
	s.serving.Go(func() {
		if err := server.Serve(conn); !errors.Is(err, http.ErrServerClosed) {
			_ = conn.Close() // its clients see that nobody answers
		}
	})
	return nil
}
