package containers

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
)

const (
	// patience bounds an answer, which takes microseconds. The rest is for a
	// machine whose processors are busy elsewhere.
	patience = 2 * time.Second
	// silence is how long nothing may come back for a packet to count as lost.
	// Over veth and bridge the kernel delivers a packet, and sends what it answers
	// by itself, while the sender is still in its system call.
	silence = 20 * time.Millisecond
)

// The zones. Web and app are containers on one bridge, db is one on another.
const (
	host    = "host"
	outside = "outside"
	web     = "web"
	app     = "app"
	db      = "db"
)

// Ports as in `docker run -p 8080:80`, and one of a service that nobody published.
const (
	published   = 8080
	inside      = 80
	unpublished = 7777
)

// uplink is the host's interface to the outside; every zone but the host calls its
// own so, too.
const uplink = "eth0"

// ends of the host's cable to the outside, with addresses for documentation (RFC
// 5737, RFC 3849).
var (
	hostOutside  = addresses{prefix("192.0.2.1/24"), prefix("2001:db8::1/64")}
	outsideOwn   = addresses{prefix("192.0.2.2/24"), prefix("2001:db8::2/64")}
	everywhere   = addresses{prefix("0.0.0.0/0"), prefix("::/0")}
	bridgeOf     = map[string]string{web: "docker0", app: "docker0", db: "br-shop"}
	gateways     = map[string]addresses{"docker0": {prefix("172.17.0.1/16"), prefix("fd17::1/64")}, "br-shop": {prefix("172.18.0.1/16"), prefix("fd18::1/64")}}
	containersOn = map[string]addresses{
		web: {prefix("172.17.0.2/16"), prefix("fd17::2/64")},
		app: {prefix("172.17.0.3/16"), prefix("fd17::3/64")},
		db:  {prefix("172.18.0.2/16"), prefix("fd18::2/64")},
	}
)

// bridgeCallIPv4 and bridgeCallIPv6 hand bridged packets to the rules of the host.
// They are there where br_netfilter is (Documentation/networking/ip-sysctl.rst).
const (
	bridgeCallIPv4 = "net.bridge.bridge-nf-call-iptables"
	bridgeCallIPv6 = "net.bridge.bridge-nf-call-ip6tables"
)

var bridgeCalls = []string{bridgeCallIPv4, bridgeCallIPv6}

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// addresses are those of IPv4 and IPv6, in the order of sock.Family.
type addresses [2]netip.Prefix

func (a addresses) of(family sock.Family) netip.Addr { return a[family].Addr() }

// port is an address of a family with a port.
func (a addresses) port(family sock.Family, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(a.of(family), port)
}

// familyOf is the family of an address.
func familyOf(a netip.Addr) sock.Family {
	if a.Is6() {
		return sock.IPv6
	}
	return sock.IPv4
}

// veth is what the host calls its end of a container's cable.
func veth(container string) string { return "veth-" + container }

// service answers in a zone with its name and the address that it was asked from.
type service struct {
	Zone     string
	Protocol sock.Kind
	At       netip.AddrPort
	// Name is what it answers with; "" stands for its zone.
	Name string
}

// proxy is what listens on the host in a container's place and relays each
// connection to it, as docker-proxy does.
type proxy struct{ At, To netip.AddrPort }

// phase is a state of the host, and what is asked in it.
type phase struct {
	// Rules are loaded beside those of the phases before.
	Rules []ruleset.File
	// Settings are sysctls of the host.
	Settings map[string]string
	// Forgets says that connection tracking forgets every connection.
	Forgets bool
	// Hairpin are ports of the bridge that send back what came in through them.
	Hairpin   []string
	Questions []question
	// Optional says that what came before counts even where this phase, and with
	// it those that follow, cannot be made.
	Optional bool
}

// plan is what stands, and what is asked.
type plan struct {
	// Zones are those beside the host.
	Zones    []string
	Services []service
	Proxies  []proxy
	// Spoofs says that the outside takes 127.0.0.0/8 for a network behind the
	// host, as an attacker on the same cable would.
	Spoofs bool
	Phases []phase
}

// config is the sandbox of a plan. Addresses are given by a function in it, which
// finds out whether there is IPv6.
func (p plan) config() sandbox.Config {
	c := sandbox.Config{Zones: append([]string{host}, p.Zones...)}
	for _, zone := range p.Zones {
		end := sandbox.End{Zone: host, Name: veth(zone)}
		if zone == outside {
			end.Name = uplink
		}
		c.Links = append(c.Links, sandbox.Link{A: end, B: sandbox.End{Zone: zone, Name: uplink}})
	}
	return c
}

// bridges are those of the plan's containers, each with its ports.
func (p plan) bridges() map[string][]string {
	found := map[string][]string{}
	for _, zone := range p.Zones {
		if bridge := bridgeOf[zone]; bridge != "" {
			found[bridge] = append(found[bridge], veth(zone))
		}
	}
	return found
}

// without leaves out what is about IPv6.
func (p plan) without() plan {
	p.Services = slices.DeleteFunc(p.Services, func(s service) bool { return s.At.Addr().Is6() })
	p.Proxies = slices.DeleteFunc(p.Proxies, func(x proxy) bool { return x.At.Addr().Is6() })
	for i := range p.Phases {
		ph := &p.Phases[i]
		ph.Questions = slices.DeleteFunc(ph.Questions, func(q question) bool { return q.To.Addr().Is6() })
		ph.Rules = slices.DeleteFunc(ph.Rules, func(f ruleset.File) bool { return strings.HasPrefix(f.Name, ruleNames[sock.IPv6]) })
		for name := range ph.Settings {
			if strings.HasPrefix(name, "net.ipv6.") {
				delete(ph.Settings, name)
			}
		}
	}
	return p
}

// end is what becomes of a request.
type end string

const (
	answered    end = "answered"
	refused     end = "refused"          // by RST, or port unreachable
	closed      end = "taken and closed" // a connection stands and ends without a byte
	silent      end = "silence"
	unreachable end = "unreachable" // the sender's own stack, or an ICMP error, says so
	// These are of a program that wants to listen.
	bound end = "bound"
	inUse end = "address in use"
)

// reply is what becomes of a request, and what its answer says.
type reply struct {
	End end
	// By is the name of the service that answered, and Peer and Port whom it was
	// asked by as it saw it.
	By   string
	Peer netip.Addr
	Port uint16
	// Errno is what the sender was told, where it was told something.
	Errno string
}

func (r reply) String() string {
	text := string(r.End)
	if r.By != "" {
		text += " by " + r.By
	}
	if r.Peer.IsValid() {
		text += fmt.Sprintf(", which is asked from %s", r.Peer)
	}
	if r.Port != 0 {
		text += fmt.Sprintf(" port %d", r.Port)
	}
	if r.Errno != "" {
		text += ": " + r.Errno
	}
	return text
}

// question is a request and what is to become of it.
type question struct {
	From     string
	Protocol sock.Kind
	To       netip.AddrPort
	// Want is compared in what it says: without a Peer, any will do.
	Want reply
	// Binds says that From wants to listen at To, in the place of asking there.
	Binds bool
	// Shares says that it is asked by a container that has the network namespace of
	// From, and others of its own.
	Shares bool
	// Flow names a socket that stays open, and is asked over again by the next
	// question of that name.
	Flow string
	// Given says under which circumstances it is asked, for the reader.
	Given string
}

func (q question) String() string {
	what := "a connection"
	if q.Protocol == sock.UDP {
		what = "a datagram"
	}
	from := q.From
	if q.Shares {
		from = "a container in the network of " + q.From
	}
	text := fmt.Sprintf("%s from %s to %s", what, from, q.To)
	if q.Binds {
		text = fmt.Sprintf("a listener of %s at %s", from, q.To)
	}
	if q.Flow != "" {
		text += ", over " + q.Flow
	}
	if q.Given != "" {
		text += ", " + q.Given
	}
	return text
}

// wait is how long an answer is waited for.
func (q question) wait() time.Duration {
	if q.Want.End == silent {
		return silence
	}
	return patience
}

// seen is the reply in what the question wants to know of it.
func (q question) seen(r reply) reply {
	if !q.Want.Peer.IsValid() {
		r.Peer = netip.Addr{}
	}
	if q.Want.Port == 0 {
		r.Port = 0
	}
	if q.Want.Errno == "" && r.End == q.Want.End {
		r.Errno = ""
	}
	return r
}

// ask is a question whose answer comes from a service, and refuse one that is to
// end otherwise.
func ask(from string, to netip.AddrPort, by string) question {
	return question{From: from, To: to, Want: reply{End: answered, By: by}}
}

func refuse(from string, to netip.AddrPort, how end) question {
	return question{From: from, To: to, Want: reply{End: how}}
}

// listen is a question whether From can listen at an address.
func listen(from string, at netip.AddrPort, how end) question {
	return question{From: from, To: at, Binds: true, Want: reply{End: how}}
}

// seenFrom also wants the service to see the client at an address.
func (q question) seenFrom(a netip.Addr) question {
	q.Want.Peer = a
	return q
}

func (q question) given(how string) question {
	q.Given = how
	return q
}

func (q question) sharing() question {
	q.Shares = true
	return q
}

func (q question) over(flow string) question {
	q.Flow = flow
	return q
}

func (q question) datagram() question {
	q.Protocol = sock.UDP
	return q
}

// asked is a question with its reply.
type asked struct {
	Question question
	Reply    reply
}

// outcome is what was seen in the sandbox.
type outcome struct {
	// Lacks names a Need that is not met, and Found says how that was seen.
	Lacks, Found string
	// Lost is why an optional phase and those after it were not asked.
	Lost string
	// WithoutIPv6 is why only IPv4 was asked, empty where both were.
	WithoutIPv6 string
	Asked       []asked
	// Why is what was found in the sandbox to explain the last reply, which is not
	// as it was wanted.
	Why []string
}
