package http

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gcustom"
	"github.com/onsi/gomega/types"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/probe/webserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// inspectors are who takes TLS apart.
var inspectors = "a security product takes part in TLS handshakes on lo and shows a certificate of its own"

// authority is that of the run.
var authority = sync.OnceValues(webserver.NewAuthority)

// trusted is how a server of localhost serves TLS, and how its clients trust it.
func trusted() (server, client *tls.Config) {
	GinkgoHelper()
	return identified(webserver.Localhost)
}

// identified is trusted for a server of some identity.
func identified(i webserver.Identity) (server, client *tls.Config) {
	GinkgoHelper()
	a, err := authority()
	Expect(err).NotTo(HaveOccurred())
	server, err = a.Serve(i)
	Expect(err).NotTo(HaveOccurred())
	return server, a.Trust()
}

var _ = suite.It("speaks TLS 1.3 and resumes its sessions", check.Check{
	ID: "HTTP-035", Grade: check.GradeFail,
	Source: "RFC 8446 2, 2.2; RFC 9110 4.2.2",
	Asks:   "Asks a server of https for a page over two connections, one after the other, with an authority made for the run that the client trusts: both must be TLS 1.3 for the name localhost, and the second must resume the session of the first.",
	Why:    "Browsers give some features to https alone, so that developers serve it on localhost, with an authority of their own.",
	Causes: and(causes, inspectors), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	secure, trust := trusted()
	trust.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	server := serve(bounded, webserver.Config{TLS: secure})
	client := newClient(web.Options{Version: web.HTTP1, TLS: trust, Fresh: true})
	for i, resumed := range []bool{false, true} {
		response := get(bounded, client, server.URL("/"))
		expectPage(response)
		expectTLS(response, tls.VersionTLS13)
		Expect(response.TLS.DidResume).To(Equal(resumed), "connection %d resumes a session", i+1)
	}
})

// expectTLS expects a version of TLS.
func expectTLS(r *web.Response, version uint16) {
	GinkgoHelper()
	Expect(r.TLS).NotTo(BeNil(), "TLS")
	Expect(tls.VersionName(r.TLS.Version)).To(Equal(tls.VersionName(version)), "the version of TLS")
}

var _ = suite.It("speaks TLS 1.2, and nothing older", check.Check{
	ID: "HTTP-036", Grade: check.GradeFail,
	Source: "RFC 5246; RFC 9325 3.1.1; RFC 8996 (TLS 1.0 and 1.1 are not to be used)",
	Asks:   "Asks a server of https for a page with a client that knows TLS 1.2 at most: it must come over TLS 1.2. A client that knows TLS 1.1 at most must be refused in the handshake.",
	Why:    "Older clients and devices know no 1.3. Who takes a handshake of 1.1 can be brought to use ciphers that are broken.",
	Causes: and(causes, inspectors), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	secure, trust := trusted()
	server := serve(bounded, webserver.Config{TLS: secure})
	trust.MaxVersion = tls.VersionTLS12
	response := get(bounded, newClient(web.Options{TLS: trust}), server.URL("/"))
	expectPage(response)
	expectTLS(response, tls.VersionTLS12)

	trust.MinVersion, trust.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	err := refusedAt(bounded, server.URL("/"), trust)
	remote, is := errors.AsType[*net.OpError](err)
	Expect(is && remote.Op == "remote error").To(BeTrueBecause("the handshake of TLS 1.1 did not end with the server's alert: %v", err))
	spec.Evidence("TLS 1.1", "%v", err)
})

// refusedAt asks for a page, which must fail in the TLS handshake.
func refusedAt(ctx context.Context, url string, trust *tls.Config) error {
	GinkgoHelper()
	load := spec.StartLoad()
	response, err := newClient(web.Options{TLS: trust}).Get(ctx, url)
	excuse(load, err)
	Expect(err).To(HaveOccurred(), "a handshake that must fail: %s", told(response))
	var failed *web.Error
	Expect(errors.As(err, &failed)).To(BeTrueBecause("it is another error: %v", err))
	Expect(failed.Step).To(Equal(web.Secure), "the step that failed: %v", err)
	return failed.Err
}

// impostors are whom a client must not talk to.
const impostors = "Whoever holds a port of localhost, as any user of the machine may, is asked for what was meant for another program. The certificate is what tells the two apart."

// fooled are the usual reasons for a client that takes any certificate.
var fooled = []string{inspectors, "something stands in for the library that verifies certificates"}

var _ = suite.It("refuses a certificate that is for another name", check.Check{
	ID: "HTTP-037", Grade: check.GradeFail,
	Source: "RFC 9110 4.3.4; RFC 9525 6; RFC 5280 4.2.1.6",
	Asks:   "Asks a server on 127.0.0.1, whose certificate is of a trusted authority for example.com and 192.0.2.1, for a page by 127.0.0.1 and by localhost: the client must end each handshake since the certificate is not for that host.",
	Why:    impostors, Causes: fooled, Remedies: remedies[:1],
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	secure, trust := identified(webserver.Identity{Names: []string{"example.com"}, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 1})}})
	server := serve(bounded, webserver.Config{TLS: secure})
	Expect(refusedAt(bounded, server.URL("/"), trust)).To(matchAs[x509.HostnameError](), "why the client refuses the certificate")
	if host := hostInHosts(bounded); host == "localhost" {
		Expect(refusedAt(bounded, server.URLAt(host, "/"), trust)).To(matchAs[x509.HostnameError](), "why the client refuses the certificate by localhost")
	}
})

var _ = suite.It("refuses a certificate of an authority that it does not know", check.Check{
	ID: "HTTP-038", Grade: check.GradeFail,
	Source: "RFC 9110 4.3.4; RFC 5280 6.1",
	Asks:   "Asks a server whose certificate is for localhost, of an authority made for the run, for a page: a client that trusts another authority of the same name, and one that trusts what this machine trusts, must end the handshake since they do not know the authority, or, of the second, since what this machine trusts cannot be read.",
	Why:    impostors, Causes: fooled, Remedies: remedies[:1],
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	secure, _ := trusted()
	server := serve(bounded, webserver.Config{TLS: secure})
	other, err := webserver.NewAuthority()
	Expect(err).NotTo(HaveOccurred())
	unknown := matchAs[x509.UnknownAuthorityError]()
	Expect(refusedAt(bounded, server.URL("/"), other.Trust())).To(unknown, "why a client that trusts another authority refuses the certificate")
	err = refusedAt(bounded, server.URL("/"), &tls.Config{})
	spec.Evidence("a client that trusts what this machine trusts", "%v", err)
	if _, unread := errors.AsType[x509.SystemRootsError](err); !unread { // which is refused all the same
		Expect(err).To(unknown, "why a client that trusts what this machine trusts refuses the certificate")
	}
})

var _ = suite.It("refuses a certificate that has expired", check.Check{
	ID: "HTTP-039", Grade: check.GradeFail,
	Source: "RFC 9110 4.3.4; RFC 5280 4.1.2.5, 6.1.3",
	Asks:   "Asks a server whose certificate is for localhost and of a trusted authority, and has expired an hour ago, for a page: the client must end the handshake since it has expired.",
	Why:    "A certificate that has expired may be one whose key has long been lost to somebody else. A client that does not mind takes no date of any.",
	Causes: and(fooled, "the clock of this machine was set back by more than an hour meanwhile"), Remedies: remedies[:1],
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	identity := webserver.Localhost
	identity.Expired = true
	secure, trust := identified(identity)
	server := serve(bounded, webserver.Config{TLS: secure})
	err := refusedAt(bounded, server.URL("/"), trust)
	Expect(err).To(matchAs[x509.CertificateInvalidError](), "why the client refuses the certificate")
	invalid, _ := errors.AsType[x509.CertificateInvalidError](err)
	Expect(invalid.Reason).To(Equal(x509.Expired), "why the client refuses the certificate: %v", err)
})

// matchAs matches errors that are, or wrap, one of a type.
func matchAs[E error]() types.GomegaMatcher {
	return gcustom.MakeMatcher(func(err error) (bool, error) {
		_, is := errors.AsType[E](err)
		return is, nil
	}).WithTemplate("Expected\n    {{.Actual}}\n{{.To}} be a {{.Data}}", reflect.TypeFor[E]())
}
