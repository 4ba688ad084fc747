package audit

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/listeners"
	"github.com/loopcheck/loopcheck/probe/portset"
)

func listener(protocol, at string, scope listeners.Scope, process string) listeners.Listener {
	addr := netip.MustParseAddrPort(at)
	l := listeners.Listener{Protocol: protocol, Address: addr.Addr(), Port: addr.Port(), Scope: scope, UID: 0, User: "root"}
	if process == "" {
		l.Unowned = "not allowed to look"
		return l
	}
	l.PID, l.Process = 7, process
	l.Owners = []listeners.Owner{{PID: 7, Process: process}}
	return l
}

var ephemeral = portset.Of(portset.Range{First: 32768, Last: 60999})

// judged asks one check of a list.
func judged(t *testing.T, id string, rules string, all ...listeners.Listener) (state check.State, message string) {
	t.Helper()
	a := &auditor{list: listeners.List{Listeners: all}, ephemeral: ephemeral}
	if rules != "" {
		var err error
		if a.options.Allow, err = Parse("allow.yaml", []byte(rules)); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range checks {
		if q.ID == id {
			outcome, err := q.answer(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			return outcome.State, outcome.Message
		}
	}
	t.Fatalf("no check %s", id)
	return "", ""
}

const sshd = "listeners: [{port: 22, protocol: tcp, address: every, process: sshd}]"

func TestBeyondAndMissing(t *testing.T) {
	v4 := listener("tcp", "0.0.0.0:22", listeners.Every, "sshd")
	v6 := listener("tcp", "[::]:22", listeners.Every, "sshd")
	for name, c := range map[string]struct {
		rules           string
		all             []listeners.Listener
		beyond, missing check.State
		says            string
	}{
		"as it should be":             {sshd, []listeners.Listener{v4, v6}, check.Pass, check.Pass, ""},
		"one family":                  {sshd, []listeners.Listener{v6}, check.Pass, check.Pass, ""},
		"nobody":                      {sshd, nil, check.Pass, check.Fail, "allow.yaml:1: tcp 22 on every interface, process sshd: nobody listens on the port"},
		"another process":             {sshd, []listeners.Listener{listener("tcp", "0.0.0.0:22", listeners.Every, "evil")}, check.Fail, check.Fail, "there is tcp 0.0.0.0:22, evil (pid 7)"},
		"a process that is not seen":  {sshd, []listeners.Listener{listener("tcp", "0.0.0.0:22", listeners.Every, "")}, check.Inconclusive, check.Inconclusive, "run as root"},
		"on loopback only":            {sshd, []listeners.Listener{listener("tcp", "127.0.0.1:22", listeners.Loopback, "sshd")}, check.Fail, check.Fail, "there is tcp 127.0.0.1:22"},
		"one more":                    {sshd, []listeners.Listener{v4, listener("tcp", "0.0.0.0:23", listeners.Every, "telnetd")}, check.Fail, check.Pass, "tcp 0.0.0.0:23, telnetd (pid 7), user root"},
		"the other protocol":          {sshd, []listeners.Listener{v4, listener("udp", "0.0.0.0:22", listeners.Every, "sshd")}, check.Fail, check.Pass, "udp 0.0.0.0:22"},
		"a client's ephemeral socket": {sshd, []listeners.Listener{v4, listener("udp", "0.0.0.0:40000", listeners.Every, "resolver")}, check.Pass, check.Pass, ""},
		"ephemeral over TCP":          {sshd, []listeners.Listener{v4, listener("tcp", "0.0.0.0:40000", listeners.Every, "shell")}, check.Fail, check.Pass, "tcp 0.0.0.0:40000, shell"},
		"nothing may listen":          {"listeners: []", []listeners.Listener{v4}, check.Fail, check.Pass, "tcp 0.0.0.0:22"},
		"optional":                    {"listeners: [{port: 22, protocol: tcp, address: every, optional: true}]", nil, check.Pass, check.Pass, ""},
		"a range of which one lacks":  {"listeners: [{port: 22-23, protocol: tcp, address: every}]", []listeners.Listener{v4}, check.Pass, check.Fail, "tcp 23 on every interface: nobody"},
		"one address":                 {"listeners: [{port: 53, protocol: udp, address: 127.0.0.53}]", []listeners.Listener{listener("udp", "127.0.0.53:53", listeners.Loopback, "resolved")}, check.Pass, check.Pass, ""},
		"another address":             {"listeners: [{port: 53, protocol: udp, address: 127.0.0.53}]", []listeners.Listener{listener("udp", "127.0.0.54:53", listeners.Loopback, "resolved")}, check.Fail, check.Fail, "127.0.0.54:53"},
		"no list":                     {"", []listeners.Listener{v4}, check.Skip, check.Skip, "--write"},
	} {
		t.Run(name, func(t *testing.T) {
			beyond, first := judged(t, "AUD-001", c.rules, c.all...)
			missing, second := judged(t, "AUD-002", c.rules, c.all...)
			if beyond != c.beyond || missing != c.missing {
				t.Errorf("beyond %s (%s), missing %s (%s); want %s, %s", beyond, first, missing, second, c.beyond, c.missing)
			}
			if !strings.Contains(first+second, c.says) {
				t.Errorf("%q and %q lack %q", first, second, c.says)
			}
		})
	}
}

func TestLowPorts(t *testing.T) {
	of := func(uid int64, at string, scope listeners.Scope) listeners.Listener {
		l := listener("tcp", at, scope, "httpd")
		l.UID = uid
		return l
	}
	for name, c := range map[string]struct {
		listeners.Listener
		want check.State
	}{
		"an ordinary user":  {of(1000, "0.0.0.0:80", listeners.Every), check.Warn},
		"root":              {of(0, "0.0.0.0:80", listeners.Every), check.Pass},
		"a service's user":  {of(33, "[::]:80", listeners.Every), check.Pass},
		"nobody":            {of(65534, "0.0.0.0:80", listeners.Every), check.Pass},
		"an unknown user":   {of(-1, "0.0.0.0:80", listeners.Every), check.Pass},
		"from 1024 up":      {of(1000, "0.0.0.0:1024", listeners.Every), check.Pass},
		"on loopback alone": {of(1000, "127.0.0.1:80", listeners.Loopback), check.Pass},
	} {
		if state, message := judged(t, "AUD-004", "", c.Listener); state != c.want {
			t.Errorf("%s: %s: %s; want %s", name, state, message, c.want)
		}
	}
	if state, _ := judged(t, "AUD-004", "listeners: [{port: 80, protocol: tcp, address: every}]", of(1000, "0.0.0.0:80", listeners.Every)); state != check.Pass {
		t.Errorf("a listener that the allow-list names: %s", state)
	}
}

// What is recorded allows what was there, reads as it was written, and says
// nothing of clients.
func TestRecordIsWhatWasThere(t *testing.T) {
	bound := listener("udp", "0.0.0.0:67", listeners.Interface, "dhcpd")
	bound.Interface = "eth1"
	odd := listener("tcp", "127.0.0.1:81", listeners.Loopback, "a: \"b\"\n- c\xff")
	list := listeners.List{Listeners: []listeners.Listener{
		listener("tcp", "0.0.0.0:22", listeners.Every, "sshd"), listener("tcp", "[::]:22", listeners.Every, "sshd"),
		listener("udp", "127.0.0.53:53", listeners.Loopback, "resolved"), bound, odd,
		listener("udp", "224.0.0.251:5353", listeners.Every, "mdns"), listener("udp", "0.0.0.0:40000", listeners.Every, "client"),
		listener("tcp", "192.0.2.1:80", listeners.Interface, ""),
	}}
	recorded := Record(list, ephemeral)
	var text bytes.Buffer
	if err := recorded.Write(&text); err != nil {
		t.Fatal(err)
	}
	if got := len(recorded.Rules); got != 6 {
		t.Errorf("%d rules, want 6:\n%s", got, text.String())
	}
	for _, id := range []string{"AUD-001", "AUD-002"} {
		if state, message := judged(t, id, text.String(), list.Listeners...); state != check.Pass {
			t.Errorf("%s: %s: %s\n%s", id, state, message, text.String())
		}
	}
}

func TestParseSaysWhatToWrite(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "allow.yaml: it is empty: write `listeners:`",
		"[]":                              "allow.yaml:1: expected the list as `key: value` lines",
		"listener: []":                    `allow.yaml:1: unknown key "listener": write one of listeners`,
		"listeners: 22":                   "allow.yaml:1: listeners: write a list of rules",
		"listeners: [22]":                 "allow.yaml:1: expected a rule as `key: value` lines with port, protocol",
		"listeners: []\n---\n":            "holds more than one document",
		"a: &a {}\nlisteners: *a":         `allow.yaml:1: unknown key "a"`,
		"listeners: &a []\nlisteners: *a": `allow.yaml:2: "listeners" is set twice`,
		"listeners:\n- {port: [1], protocol: tcp, address: every}":                "allow.yaml:2: port: write one value",
		"listeners:\n- {port: 1, protocol: tcp, address: everywhere}":             `address: "everywhere": write every (all interfaces), loopback, or an address`,
		"listeners:\n- {port: 1, protocol: tcp, address: every, optional: maybe}": `optional: "maybe": write true or false`,
		"listeners:\n- {port: 1, protocol: tcp, address: every, process: }":       "process: write one value",
		"listeners:\n- {port: 9-1, protocol: tcp, address: every}":                "range 9-1 is reversed: write 1-9",
		"listeners:\n\t- x": "allow.yaml: ",
	} {
		_, err := Parse("allow.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want one line with %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sshd))
	f.Add([]byte("listeners:\n  - port: 8000-8010,9000\n    protocol: udp\n    address: ::1\n    interface: eth0\n    unit: a.service\n    optional: true\n    reason: \"a\\nb\"\n"))
	f.Add([]byte("listeners: []\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		a, err := Parse("allow.yaml", content)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has several lines: %q", err)
			}
			return
		}
		var text bytes.Buffer
		if err := a.Write(&text); err != nil {
			t.Fatal(err)
		}
		again, err := Parse("allow.yaml", text.Bytes())
		if err != nil {
			t.Fatalf("what was written is not read: %v\n%s", err, text.String())
		}
		if len(again.Rules) != len(a.Rules) {
			t.Fatalf("%d rules became %d:\n%s", len(a.Rules), len(again.Rules), text.String())
		}
		for i, r := range a.Rules {
			other := again.Rules[i]
			if r.String() != other.String() || r.Optional != other.Optional || r.Reason != other.Reason {
				t.Errorf("%+v became %+v", r, other)
			}
		}
	})
}
