package names

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

// program puts a shell script in the place of a program, which the script finds
// as /media/original.
func program(t *testing.T, name, script string) []string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("the damage needs the program: %v", err)
	}
	const aside = "/media"
	return []string{
		"mount -t tmpfs program " + aside,
		"printf '%s\\n' '#!/bin/sh' '" + strings.ReplaceAll(script, "'", `'\''`) + "' > " + aside + "/program",
		"cp " + path + " " + aside + "/original",
		"chmod +x " + aside + "/program",
		"mount --bind " + aside + "/program $(readlink -f " + path + ")",
	}
}

func TestChecksOfTheCLibraryFailInADamagedStack(t *testing.T) {
	damage.Table(t, map[string]damage.Case{
		"localhost is built in": {
			Setup:  program(t, "getent", `echo "127.0.0.1 STREAM $2"`),
			Filter: "NAME-002 || NAME-004",
			Want:   map[string]string{"NAME-002": "names that the C library asked DNS for, to look up localhost with an empty hosts file"},
		},
		"DNS is not reached": {
			Sandboxes: damage.Input("udp dport 53 drop"),
			Filter:    "NAME-002",
			Want:      map[string]string{"NAME-002": "names that Go's resolver asked DNS for"},
		},
		"another answer": {
			Setup:  program(t, "getent", `/media/original "$@" >/dev/null; echo 127.0.0.9`),
			Filter: "NAME-002",
			Want:   map[string]string{"NAME-002": "what the C library found for localhost, of which DNS says 127.53.53.53\nExpected\n    127.0.0.9"},
		},
		"short forms are not read": {
			Setup:  program(t, "getent", `exit 2`),
			Filter: "NAME-004",
			Want:   map[string]string{"NAME-004": "what the C library reads 127.1 as"},
		},
		"short forms are read in another way": {
			Setup:  program(t, "getent", `test "$2" = 127.1 && echo 127.0.0.1 || echo 127.0.0.2`),
			Filter: "NAME-004",
			Want:   map[string]string{"NAME-004": "what the C library reads 0x7f.1 as\nExpected\n    127.0.0.2"},
		},
		"Go reads short forms": {
			Setup:  hosts("127.0.0.1 localhost\n127.0.0.1 127.1\n"),
			Filter: "NAME-004",
			Want:   map[string]string{"NAME-004": "addresses that Go's resolver has for 127.1"},
		},
		"wildcards for clients": {
			Setup:  program(t, "perl", `printf '0.0.0.0\n::\n\n0.0.0.0\n::\n\n'`),
			Filter: "NAME-005",
			Want:   map[string]string{"NAME-005": "addresses that getaddrinfo gives to a client that names no host\nExpected\n    0.0.0.0, ::"},
		},
		"loopback for servers": {
			Setup:  program(t, "perl", `printf '127.0.0.1\n::1\n\n127.0.0.1\n::1\n\n'`),
			Filter: "NAME-005",
			Want:   map[string]string{"NAME-005": "addresses that getaddrinfo gives to a server that names no host (AI_PASSIVE)"},
		},
		"refused": {
			Setup:  program(t, "perl", `printf 'Name or service not known\n\n\n\n'`),
			Filter: "NAME-005",
			Want:   map[string]string{"NAME-005": "Name or service not known"},
		},
	})
}

func TestQuestionsForLocalhostAreNoticed(t *testing.T) {
	damage.Table(t, map[string]damage.Case{
		"DNS alone": {
			Setup:  slices.Concat(hosts(localhost), resolver(elsewhere), sources("hosts: dns\n")),
			Filter: "NAME-003",
			Want:   map[string]string{"NAME-003": "asks the DNS server 192.0.2.53:53 for, outside of the machine, to look up localhost"},
		},
		"nobody in the file": {
			Setup:  slices.Concat(hosts(nobody), resolver(elsewhere), sources("hosts: files dns\n")),
			Filter: "NAME-003 || NAME-007",
			Want: map[string]string{
				"NAME-003": "to look up localhost\nExpected\n",
				"NAME-007": "the name of 127.0.0.1 is asked of the DNS server 192.0.2.53:53, outside of the machine",
			},
		},
		"a name below it": {
			Setup:  hosts(localhost + "192.0.2.9 App.Localhost\n"),
			Filter: "NAME-003",
			Want:   map[string]string{"NAME-003": "line 4 of /etc/hosts leads App.Localhost to 192.0.2.9, which is no loopback address"},
		},
		"IPv6 alone": {
			Setup:  slices.Concat(hosts("::1 localhost\n"), resolver(elsewhere)),
			Filter: "NAME-007",
			Want:   map[string]string{"NAME-007": "the name of 127.0.0.1 is asked of the DNS server 192.0.2.53:53"},
		},
		"DNS first": {
			Setup:  slices.Concat(hosts(localhost), resolver(elsewhere), sources("hosts: dns files\n")),
			Filter: "NAME-003 || NAME-007",
			Want:   map[string]string{"NAME-003": "to look up localhost", "NAME-007": "is asked of the DNS server"},
		},
		"no name at all": {
			Setup:  slices.Concat(hosts("::1 localhost\n"), sources("hosts: files\n")),
			Filter: "NAME-007",
			Want:   map[string]string{"NAME-007": "127.0.0.1"},
		},
	})
}

// What distributions ship is no reason to warn.
func TestUsualSettingsAreNoRisk(t *testing.T) {
	const searching = "search corp.example example.com\nnameserver 192.0.2.53\noptions ndots:2 edns0 rotate\n"
	for name, setup := range map[string][]string{
		"Debian":                     slices.Concat(hosts(localhost), resolver(searching), sources("hosts: files dns\n")),
		"Debian with a desktop":      slices.Concat(hosts(localhost), resolver(elsewhere), sources("hosts: files mymachines mdns4_minimal [NOTFOUND=return] dns\n")),
		"Ubuntu":                     slices.Concat(hosts(localhost), resolver("nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n"), sources("hosts: files dns\n")),
		"Fedora":                     slices.Concat(hosts(localhost), resolver("nameserver 127.0.0.53\n"), sources("hosts: files myhostname resolve [!UNAVAIL=return] dns\n")),
		"directory":                  slices.Concat(hosts(localhost), resolver(elsewhere), sources("hosts: files sss ldap dns\n")),
		"names below on loopback":    slices.Concat(hosts(localhost+"127.0.0.5 app.localhost\n"), resolver(elsewhere)),
		"a container":                slices.Concat(hosts("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\nfe00::0\tip6-localnet\n172.17.0.2\t0123456789ab\n"), resolver(elsewhere)),
		"no DNS server":              slices.Concat(hosts(localhost), resolver("# nobody\n")),
		"sources nobody knows":       slices.Concat(hosts(localhost), resolver(elsewhere), sources("passwd: files\n")),
		"a file that makes no sense": slices.Concat(hosts(localhost), resolver("nameserver nonsense\nsearch\noptions\n")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			for _, id := range []string{"NAME-002", "NAME-003", "NAME-004", "NAME-007"} {
				g.Expect(damage.Outcomes(t, setup, id)).To(HaveKeyWithValue(id, HaveField("State", check.Pass)), id)
			}
		})
	}
}

func TestAnotherLocalhostIsASkip(t *testing.T) {
	outcomes := damage.Outcomes(t, slices.Concat(hosts("127.1.2.3 localhost\n"), resolver(elsewhere)), "NAME-007")
	NewWithT(t).Expect(outcomes).To(HaveKeyWithValue("NAME-007", And(
		HaveField("State", check.Skip), HaveField("Message", ContainSubstring("localhost is 127.1.2.3 here")))))
}

func TestUnusableProgramsAreASkip(t *testing.T) {
	g := NewWithT(t)
	for name, needs := range map[string]string{"perl": "NAME-005", "getent": "NAME-004"} {
		script := "exit 1"
		setup := program(t, name, script)
		if name == "perl" {
			if _, err := exec.LookPath("python3"); err == nil {
				continue // it would be asked
			}
		}
		g.Expect(damage.Outcomes(t, setup, needs)).To(HaveKeyWithValue(needs, HaveField("State", check.Skip)), name)
	}
}

func TestWhatIsKeptOfAResolverFile(t *testing.T) {
	NewWithT(t).Expect(withoutServers("nameserver 192.0.2.1\nsearch  a.example b.example\noptions ndots:3 use-vc timeout:9\ndomain c.example\nsearch\n")).To(Equal(
		"nameserver 127.0.0.1\noptions timeout:1 attempts:2\nsearch a.example b.example\noptions ndots:3\ndomain c.example\n"))
}
