package http

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/browser"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

// policy is a setup that gives Debian's Chromium a managed policy, as an
// administrator does. The machine's own folder is hidden by it.
func policy(text string) []string {
	return []string{
		"mount -t tmpfs policies /etc/chromium",
		"mkdir -p /etc/chromium/policies/managed",
		"printf %s '" + text + "' > /etc/chromium/policies/managed/damage.json",
	}
}

func TestCrossOriginChecksFailWhereTheyAreNotEnforced(t *testing.T) {
	if _, err := browser.Find(); err != nil {
		t.Skip("no browser: install Debian's package chromium")
	}
	withoutSecurity := damage.File("/etc/chromium.d/default-flags", `export CHROMIUM_FLAGS="$CHROMIUM_FLAGS --disable-web-security"`)
	damage.Table(t, map[string]damage.Case{
		"web security off": {
			Setup:  withoutSecurity,
			Filter: "HTTP-044 || HTTP-045 || HTTP-046 || HTTP-047 || HTTP-048 || HTTP-049 || HTTP-058 || HTTP-059",
			Want: map[string]string{
				"HTTP-044": "another port that allows http://127.0.0.1:3000\nExpected\n    read, 200\nto equal\n    refused",
				"HTTP-045": "127.0.0.1 that allows nobody\nExpected\n    read, 200\nto equal\n    refused",
				"HTTP-046": "POST of text\nExpected\n    read, 200\nto equal\n    refused",
				"HTTP-047": "GET with X-Other, trusted\nExpected\n    read, 200\nto equal\n    refused",
				"HTTP-048": "what the server got",
				"HTTP-049": "Expected\n    read, 200\nto equal\n    refused",
				"HTTP-058": "Expected\n    read, 200\nto equal\n    refused",
				"HTTP-059": "to what allows nobody\nExpected\n    read, 200\nto equal\n    refused",
			},
		},
		"no cookies": {
			Setup:  policy(`{"DefaultCookiesSetting": 2}`),
			Filter: "HTTP-049 || HTTP-050 || HTTP-051",
			Want:   map[string]string{"HTTP-049": "the cookie", "HTTP-050": "another port\nExpected\n    false\nto equal\n    true", "HTTP-051": "the cookies from another port"},
		},
		"an origin trusted": {
			Setup:  policy(`{"OverrideSecurityRestrictionsOnInsecureOrigin": ["http://rebind.test:3000"]}`),
			Filter: "HTTP-052",
			Want:   map[string]string{"HTTP-052": "http://rebind.test:3000\nExpected\n    true\nto equal\n    false"},
		},
		"mixed content allowed": {
			Setup:  policy(`{"InsecureContentAllowedForUrls": ["*"]}`),
			Filter: "HTTP-053",
			Want:   map[string]string{"HTTP-053": "rebind.test\nExpected\n    read, 200\nto equal\n    refused"},
		},
		"loopback open to every page": {
			Setup:  policy(`{"LoopbackNetworkAllowedForUrls": ["*"], "LocalNetworkAccessAllowedForUrls": ["*"]}`),
			Filter: "HTTP-054",
			Want:   map[string]string{"HTTP-054": "without leave\nExpected\n    read, 200\nto equal\n    refused"},
		},
		"the API's port closed": {
			Sandboxes: damage.Input("tcp dport 8080 reject with tcp reset"),
			Filter:    "HTTP-044 || HTTP-047 || HTTP-056 || HTTP-057",
			Want:      map[string]string{"HTTP-044": "another port that allows any origin", "HTTP-047": "trusted", "HTTP-056": "another port that does not", "HTTP-057": "Sec-Fetch-Site by URL"},
		},
		"no IPv6": {
			Sandboxes: []string{"sysctl -e -w net.ipv6.conf.all.disable_ipv6=1"},
			Filter:    "HTTP-045 || HTTP-050 || HTTP-052 || HTTP-053",
		},
		"a name's port closed": {
			Sandboxes: damage.Input("tcp dport 8080 reject with tcp reset"),
			Filter:    "HTTP-055",
			Want:      map[string]string{"HTTP-055": "what went wrong in the browser"},
		},
		"a page that hangs": { // the visits beside it have their time
			Sandboxes: damage.Input("tcp dport 3001 drop"),
			Filter:    "HTTP-044 || HTTP-053 || HTTP-054 || HTTP-055",
			Want:      map[string]string{"HTTP-054": "deadline exceeded"},
		},
		"connections refused": {
			Setup:  damage.Input("tcp flags & (syn | ack) == syn reject with tcp reset"),
			Filter: "HTTP-040 || HTTP-041 || HTTP-042 || HTTP-043",
			Want:   map[string]string{"HTTP-040": "connection refused", "HTTP-041": "connection refused", "HTTP-042": "connection refused", "HTTP-043": "connection refused"},
		},
	})
}

// What does not start is named by the path that was tried.
func TestABrowserThatDoesNotStartIsNamed(t *testing.T) {
	dir := t.TempDir()
	var want []types.GomegaMatcher
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		// The folder is that of the process that asks, which makes one of its own.
		want = append(want, MatchRegexp("start /[^ ]*/%s: ", name), MatchRegexp("`/[^ ]*/%s --headless --dump-dom about:blank`", name))
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	NewWithT(t).Expect(damage.Outcomes(t, nil, "HTTP-044")).To(HaveKeyWithValue("HTTP-044", And(
		HaveField("State", check.Skip),
		HaveField("Message", SatisfyAll(want...)))))
}
