package diagnose

import (
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/probe/hostnames"
)

const (
	usualHosts   = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
	usualSources = "passwd: files\nhosts: files dns\n"
	writeHosts   = `printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' > /etc/hosts`
	appendHosts  = `printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >> /etc/hosts`
)

// nameFiles makes the test see these files about names and no other.
func nameFiles(t *testing.T, files map[string]string) {
	t.Helper()
	old := readName
	t.Cleanup(func() { readName = old })
	readName = func(path string) (string, bool, error) {
		if text, has := files[path]; has {
			return text, false, nil
		}
		return "", false, fs.ErrNotExist
	}
}

func TestNames(t *testing.T) {
	asked := Symptom{Check: "NAME-001", Suite: namesSuite}
	for name, c := range map[string]struct {
		hosts, sources string // "-" where there is none
		symptom        Symptom
		id, command    string
	}{
		"in order":              {usualHosts, usualSources, asked, "", ""},
		"no nsswitch.conf":      {usualHosts, "-", asked, "", ""},
		"nothing of hosts":      {usualHosts, "passwd: files\n", asked, "", ""},
		"modules before files":  {usualHosts, "hosts: mymachines resolve [!UNAVAIL=return] files dns\n", asked, "", ""},
		"no file":               {"-", usualSources, asked, "hosts-without-localhost", writeHosts},
		"an empty file":         {"# nothing\n", usualSources, asked, "hosts-without-localhost", writeHosts},
		"without localhost":     {"192.0.2.1 host\n", usualSources, asked, "hosts-without-localhost", appendHosts},
		"skipped for it":        {"192.0.2.1 host\n", usualSources, Symptom{Check: "TCP-001", Missing: localhostMissing}, "hosts-without-localhost", appendHosts},
		"another check":         {"", usualSources, Symptom{Check: "TCP-001", Suite: "tcp"}, "", ""},
		"elsewhere alone":       {"192.0.2.7 localhost\n", usualSources, asked, "hosts-localhost-192.0.2.7", writeHosts},
		"elsewhere as well":     {usualHosts + "192.0.2.7 localhost\n", usualSources, asked, "hosts-localhost-192.0.2.7", `sed -i '/^[[:space:]]*192\.0\.2\.7[[:space:]]/{/[[:space:]]localhost\([[:space:]]\|$\)/Id}' /etc/hosts`},
		"elsewhere with others": {usualHosts + "192.0.2.7 host localhost\n", usualSources, asked, "hosts-localhost-192.0.2.7", `sed -i '/^[[:space:]]*192\.0\.2\.7[[:space:]]/s/[[:space:]]\+localhost\([[:space:]]\|$\)/\1/I' /etc/hosts`},
		"elsewhere, and nothing would be left": {
			"192.0.2.1 host\n192.0.2.7 localhost\n", usualSources, asked, "hosts-localhost-192.0.2.7",
			`sed -i '/^[[:space:]]*192\.0\.2\.7[[:space:]]/{/[[:space:]]localhost\([[:space:]]\|$\)/Id}' /etc/hosts && ` + appendHosts,
		},
		"::1 alone":         {"::1 localhost\n", usualSources, Symptom{Check: ipv4Check, Suite: namesSuite}, "hosts-localhost-without-ipv4", writeHosts},
		"::1 and others":    {"::1 localhost\n192.0.2.1 host\n", usualSources, Symptom{Check: ipv4Check, Suite: namesSuite}, "hosts-localhost-without-ipv4", `sed -i '1i\127.0.0.1 localhost' /etc/hosts`},
		"::1 is no failure": {"::1 localhost\n", usualSources, asked, "", ""},
		"without files":     {usualHosts, "hosts: dns\n", asked, "nsswitch-without-files", `sed -i 's/^[[:space:]]*hosts[[:space:]]*:.*/hosts: files dns/' /etc/nsswitch.conf`},
		"dns first":         {usualHosts, "hosts:\tmymachines dns files [NOTFOUND=return] myhostname\n", asked, "nsswitch-dns-first", `sed -i 's/^[[:space:]]*hosts[[:space:]]*:.*/hosts: mymachines files dns myhostname/' /etc/nsswitch.conf`},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, machine{settings: map[string]string{"net.ipv6.conf.lo.disable_ipv6": "0"}})
			files := map[string]string{}
			for path, text := range map[string]string{hostnames.HostsPath: c.hosts, hostnames.SourcesPath: c.sources} {
				if text != "-" {
					files[path] = text
				}
			}
			nameFiles(t, files)
			expectOne(t, names(t.Context(), c.symptom), c.id, c.command)
		})
	}
}

func TestAddressesThatLoLacks(t *testing.T) {
	on(t, machine{})
	readLoopback = func() (loopback, error) {
		return loopback{name: "lo", up: true, addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}, nil
	}
	nameFiles(t, map[string]string{hostnames.HostsPath: "127.0.0.1 localhost\n127.0.0.5 localhost\n"})
	expectOne(t, names(t.Context(), Symptom{Check: addressesCheck, Suite: namesSuite}), "hosts-localhost-127.0.0.5",
		`sed -i '/^[[:space:]]*127\.0\.0\.5[[:space:]]/{/[[:space:]]localhost\([[:space:]]\|$\)/Id}' /etc/hosts`)
	d := names(t.Context(), Symptom{Check: addressesCheck, Suite: namesSuite, Message: "bind to ::1, an address of localhost"})
	if len(d.Findings) != 2 || d.Findings[1].Cause.ID != "lo-without-::1" {
		t.Errorf("found %+v", d.Findings)
	}
}

// The commands do what they are printed for, and nothing else.
func TestRemediesEditFiles(t *testing.T) {
	if _, err := exec.LookPath("sed"); err != nil {
		t.Skip(err)
	}
	for _, mounted := range []bool{false, true} {
		for before, after := range map[string]string{
			"127.0.0.1 localhost\n192.0.2.7  LocalHost # mine\n192.0.217.1 localhost.example\n": "127.0.0.1 localhost\n192.0.217.1 localhost.example\n",
			"127.0.0.1 localhost\n 192.0.2.7\tlocalhost host\n":                                 "127.0.0.1 localhost\n 192.0.2.7 host\n",
			"127.0.0.1 localhost\n192.0.2.7 host localhost\n":                                   "127.0.0.1 localhost\n192.0.2.7 host\n",
		} {
			path := filepath.Join(t.TempDir(), "hosts")
			if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, line := range hostnames.ParseHosts(before) {
				if line.Has(localhost) && !line.Addr.IsLoopback() {
					command := edited(without(line), path, mounted)
					if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
						t.Fatalf("%s: %v: %s", command, err, out)
					}
				}
			}
			text, err := os.ReadFile(path)
			if got := strings.ReplaceAll(string(text), "  ", " "); err != nil || got != after {
				t.Errorf("%q became %q, want %q (%v)", before, got, after, err)
			}
		}
	}
}
