package http

import (
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/probe/webserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("sends nothing for localhost to a proxy that the environment names", check.Check{
	ID: "HTTP-034", Grade: check.GradeAdvice,
	Source: "curl(1), ENVIRONMENT (http_proxy, no_proxy); wget(1); Python's urllib.request and requests",
	Asks:   "Asks a server on 127.0.0.1 for a page, which must see no sign of a proxy. Then reads the environment: where http_proxy, https_proxy or all_proxy names a proxy, in either case of letters, no_proxy must have both localhost and 127.0.0.1, by themselves, by a range, or by *.",
	Why:    "curl, wget and Python ask the proxy for http://localhost too unless they are told otherwise. The proxy's own localhost is another machine's: the answer is an error page, or a stranger's.",
	Causes: []string{"http_proxy is set in the shell, in /etc/environment or in a unit, and no_proxy is not, or has one name of loopback alone"},
	Remedies: []string{
		"export both: `export no_proxy=localhost,127.0.0.1,::1 NO_PROXY=localhost,127.0.0.1,::1`",
		"see where they are set: `grep -rsi _proxy /etc/environment /etc/profile.d ~/.profile ~/.bashrc`, `systemctl show-environment`",
	},
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{})
	response := get(bounded, client, server.URL("/seen"))
	for _, sign := range []string{"Via", "X-Forwarded-For", "Forwarded", "Proxy-Connection"} {
		Expect(seenBy(response).Header).NotTo(HaveKey(sign), "the header that the server saw")
		Expect(response.Header).NotTo(HaveKey(sign), "the header of the response")
	}

	proxies := setVariables("http_proxy", "https_proxy", "all_proxy")
	if len(proxies) == 0 {
		spec.Evidence("environment", "it names no proxy")
		return
	}
	exceptions := setVariables("no_proxy")
	spec.Evidence("environment", "%s; %s", strings.Join(proxies, ", "), strings.Join(exceptions, ", "))
	for _, host := range []string{"localhost", "127.0.0.1"} {
		Expect(slices.ContainsFunc(exceptions, func(e string) bool { return excepts(e, host) })).To(
			BeTrueBecause("%s, and no_proxy does not have %s", strings.Join(proxies, " and "), host))
	}
})

// setVariables are those of the environment that are set and not empty, in small
// letters and in capitals. What a proxy's URL has of a password is not shown.
func setVariables(names ...string) []string {
	var set []string
	for _, name := range names {
		spellings := []string{name, strings.ToUpper(name)}
		if runtime.GOOS == "windows" {
			spellings = spellings[:1] // it knows no difference
		}
		for _, spelling := range spellings {
			if value := os.Getenv(spelling); value != "" {
				set = append(set, spelling+"="+withoutSecret(value))
			}
		}
	}
	return set
}

func withoutSecret(url string) string {
	scheme, rest, found := strings.Cut(url, "://")
	if !found {
		scheme, rest = "", url
	} else {
		scheme += "://"
	}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		rest = "…" + rest[at:]
	}
	return scheme + rest
}

// excepts says whether a variable such as no_proxy=localhost,127.0.0.0/8 has a host.
// Names match those below them too.
func excepts(variable, host string) bool {
	_, list, _ := strings.Cut(variable, "=")
	addr, _ := netip.ParseAddr(host)
	for entry := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		entry = strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(entry, "*"), "."))
		if entry == "" || entry == host {
			return true // the empty one is what is left of *
		}
		if around, err := netip.ParsePrefix(entry); err == nil && addr.IsValid() && around.Contains(addr) {
			return true
		}
	}
	return false
}
