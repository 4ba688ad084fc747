package socktable

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/loopcheck/loopcheck/probe/sock"
)

func (p Protocol) String() string {
	names := [...]string{TCP: "tcp", UDP: "udp", Raw: "raw", Unix: "unix"}
	if p == 0 || int(p) >= len(names) {
		return fmt.Sprintf("protocol %d", uint8(p))
	}
	return names[p]
}

func (t UnixType) String() string {
	switch t {
	case Stream:
		return "stream"
	case Datagram:
		return "dgram"
	case SeqPacket:
		return "seqpacket"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

func (s Setting) String() string {
	switch s {
	case Unknown:
		return "unknown"
	case Off:
		return "off"
	case On:
		return "on"
	}
	return fmt.Sprintf("setting %d", uint8(s))
}

func (s Shutdown) String() string {
	switch s {
	case 0:
		return "none"
	case ShutdownRead:
		return sock.Read.String()
	case ShutdownWrite:
		return sock.Write.String()
	case ShutdownRead | ShutdownWrite:
		return sock.Both.String()
	}
	return fmt.Sprintf("shutdown %d", uint8(s))
}

func (o Ownership) String() string {
	names := [...]string{
		NotAsked: "owner not asked for", Owned: "owned", NoProcess: "no process",
		NotAllowed: "owner unknown: not allowed to look", NotInSight: "no process in sight",
	}
	if int(o) >= len(names) {
		return fmt.Sprintf("ownership %d", uint8(o))
	}
	return names[o]
}

// String is one line such as "raw over IPv6 not listed: no such file or
// directory".
func (g Gap) String() string {
	over, what := "", "not listed"
	if g.Protocol != Unix {
		over = " over " + g.Family.String()
	}
	if g.Listed {
		what = "listed in part"
	}
	return fmt.Sprintf("%s%s %s: %v", g.Protocol, over, what, g.Err)
}

// String is one line such as
//
//	tcp 127.0.0.1:5432 LISTEN postgres (pid 812, uid 105)
//	tcp 127.0.0.1:5432 to 127.0.0.1:40112 TIME_WAIT no process
//
// in which uid is the socket's. Whatever a process chose itself is written so
// that it can neither break the line nor control a terminal.
func (s Socket) String() string {
	line := s.Protocol.String() + " " + s.endpoints() + " " + s.stateName()
	owner := s.ownerText()
	if owner == "" {
		return line
	}
	return line + " " + owner
}

func (s *Socket) endpoints() string {
	if s.Protocol == Unix {
		if s.Unix == nil {
			return "unnamed"
		}
		return s.Unix.Type.String() + " " + s.Unix.displayName()
	}
	text := s.endpoint(s.Local, s.Interface.display())
	if s.Remote.IsValid() {
		text += " to " + s.endpoint(s.Remote, "")
	}
	return text
}

// endpoint writes an address as ss(8) does, with what it is bound to.
func (s *Socket) endpoint(addr netip.AddrPort, bound string) string {
	port := strconv.Itoa(int(addr.Port()))
	if s.Protocol == Raw {
		port = "proto " + strconv.Itoa(int(s.IPProtocol))
	}
	host := addr.Addr().String()
	if bound != "" {
		host += "%" + bound
	}
	if addr.Addr().Is6() {
		host = "[" + host + "]"
	}
	if s.Protocol == Raw {
		return host + " " + port
	}
	return host + ":" + port
}

func (i Interface) display() string {
	if i.Index != 0 && i.Name == "" {
		return strconv.FormatUint(uint64(i.Index), 10)
	}
	return printable(i.Name)
}

// displayName marks an abstract name with @, as ss(8) does.
func (u *UnixDetails) displayName() string {
	switch {
	case u.Abstract:
		return "@" + printable(u.Name)
	case u.Name == "":
		return "unnamed"
	}
	return printable(u.Name)
}

// stateName says UNCONN, as ss(8) does, of what has no connection to close.
func (s *Socket) stateName() string {
	if s.State == sock.Closed && s.Protocol != TCP {
		return "UNCONN"
	}
	return s.State.String()
}

func (s *Socket) ownerText() string {
	uid := ""
	if s.UID >= 0 {
		uid = "uid " + strconv.FormatInt(s.UID, 10)
	}
	if len(s.Owners) > 0 {
		names := make([]string, len(s.Owners))
		for i, o := range s.Owners {
			detail := "pid " + strconv.Itoa(o.PID)
			if uid != "" {
				detail += ", " + uid
			}
			names[i] = printable(o.Name) + " (" + detail + ")"
		}
		return strings.Join(names, ", ")
	}
	text := ""
	if s.Ownership != NotAsked {
		text = s.Ownership.String()
	}
	if uid == "" {
		return text
	}
	return strings.TrimPrefix(text+" ("+uid+")", " ")
}

// printable returns text of unknown origin as it is, or where a character is
// none to be seen, quoted as in Go source, without the quotes.
func printable(text string) string {
	unseen := func(r rune) bool { return !unicode.IsGraphic(r) }
	if utf8.ValidString(text) && strings.IndexFunc(text, unseen) < 0 {
		return text
	}
	quoted := strconv.QuoteToGraphic(text)
	return quoted[1 : len(quoted)-1]
}
