package cors

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Hosts are the names that a server on this machine answers to beside its own:
// localhost, names below it (RFC 6761, section 6.3) and the addresses of loopback.
// A page whose name an attacker has let point here (DNS rebinding) sends its own
// name, and no server of this machine has that.
type Hosts []string

// Allows says whether the Host header of a request names this server. Any port is
// accepted: a request has arrived at the right one.
func (h Hosts) Allows(header string) bool {
	host := header
	if name, _, err := net.SplitHostPort(header); err == nil {
		host = name
	} else if strings.HasPrefix(header, "[") && strings.HasSuffix(header, "]") {
		host = header[1 : len(header)-1]
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if addr, err := netip.ParseAddr(host); err == nil && addr.Unmap().IsLoopback() {
		return true
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	return slices.ContainsFunc(h, func(own string) bool { return strings.EqualFold(strings.TrimSuffix(own, "."), host) })
}

// Handler refuses requests for other hosts with 421 Misdirected Request (RFC 9110,
// section 15.5.20) and leaves the rest to next.
func (h Hosts) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.Allows(r.Host) {
			http.Error(w, fmt.Sprintf("this server is not %q", r.Host), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
