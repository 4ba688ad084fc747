package socktable

import (
	"net/netip"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
)

func TestSocketInOneLine(t *testing.T) {
	postgres := Owner{PID: 812, Name: "postgres"}
	local := netip.MustParseAddrPort("127.0.0.1:5432")
	for want, s := range map[string]Socket{
		"tcp 127.0.0.1:5432 LISTEN postgres (pid 812, uid 105)": {
			Protocol: TCP, State: sock.Listening, Local: local, UID: 105, Owners: []Owner{postgres},
		},
		"tcp 127.0.0.1:5432 LISTEN postgres (pid 812, uid 0), backup (pid 9, uid 0)": {
			Protocol: TCP, State: sock.Listening, Local: local, Owners: []Owner{postgres, {PID: 9, Name: "backup"}},
		},
		"tcp 127.0.0.1:5432 to 127.0.0.1:40112 TIME_WAIT no process": {
			Protocol: TCP, State: sock.TimeWait, Local: local, Remote: netip.MustParseAddrPort("127.0.0.1:40112"),
			UID: -1, Ownership: NoProcess,
		},
		"tcp 127.0.0.1:5432 CLOSE": {Protocol: TCP, State: sock.Closed, Local: local, UID: -1},
		"udp 127.0.0.1%lo:5432 UNCONN no process in sight (uid 3)": {
			Protocol: UDP, State: sock.Closed, Local: local, UID: 3,
			Interface: Interface{Index: 1, Name: "lo"}, Ownership: NotInSight,
		},
		"udp [::1%7]:53 UNCONN owner unknown: not allowed to look (uid 3)": {
			Protocol: UDP, State: sock.Closed, Local: netip.MustParseAddrPort("[::1]:53"), UID: 3,
			Interface: Interface{Index: 7}, Ownership: NotAllowed,
		},
		"raw 0.0.0.0 proto 1 to 127.0.0.1 proto 1 ESTABLISHED (uid 0)": {
			Protocol: Raw, State: sock.Established, IPProtocol: 1,
			Local: netip.MustParseAddrPort("0.0.0.0:0"), Remote: netip.MustParseAddrPort("127.0.0.1:0"),
		},
		`unix stream @a\x00\x1b LISTEN \u202ex\u2028 (pid 1, uid 0)`: {
			Protocol: Unix, State: sock.Listening, Unix: &UnixDetails{Type: Stream, Name: "a\x00\x1b", Abstract: true},
			Owners: []Owner{{PID: 1, Name: "\u202ex\u2028"}},
		},
		"unix dgram unnamed UNCONN (uid 0)": {Protocol: Unix, State: sock.Closed, Unix: &UnixDetails{Type: Datagram}},
	} {
		NewWithT(t).Expect(s.String()).To(Equal(want))
	}
}

func TestNamesOfValues(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Shutdown(0).String()).To(Equal("none"))
	g.Expect((ShutdownRead | ShutdownWrite).String()).To(Equal("SHUT_RDWR"))
	g.Expect([]string{Unknown.String(), Off.String(), On.String()}).To(Equal([]string{"unknown", "off", "on"}))
	for _, unnamed := range []string{
		Protocol(0).String(), Protocol(9).String(), UnixType(9).String(), Setting(9).String(), Shutdown(9).String(), Ownership(9).String(),
	} {
		g.Expect(unnamed).To(MatchRegexp(`^[a-z]+ [09]$`))
	}
}

func TestOwnerFromProc(t *testing.T) {
	g := NewWithT(t)
	o := Owner{UID: -1}
	o.setStatus([]byte("Name:\ta\\nb\\\\n\nUmask:\t0022\nUid:\t1000\t0\t0\t0\nGid:\t7\t8\t9\t10\n"))
	g.Expect(o).To(Equal(Owner{Name: "a\nb\\n", UID: 0}))
	o = Owner{UID: -1}
	o.setStatus([]byte("Uid:\tx\n"))
	g.Expect(o).To(Equal(Owner{UID: -1}))

	g.Expect(cgroupPath([]byte("1:name=systemd:/a\n0::/b:c\n"))).To(Equal("/b:c"))
	g.Expect(cgroupPath([]byte("7:pids:/p\n1:name=systemd:/a\n"))).To(Equal("/a"))
	g.Expect(cgroupPath(nil)).To(BeEmpty())

	for text, want := range map[string]struct {
		state  byte
		kernel bool
	}{
		"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0":                {'S', true},
		"2 (a) S 0 0 0 0 -1 2129984) Z 0 0 0 0 -1 4194560 0 0": {'Z', false},
		"2 (cut": {},
	} {
		state, kernel := taskState([]byte(text))
		g.Expect(state).To(Equal(want.state), text)
		g.Expect(kernel).To(Equal(want.kernel), text)
	}
}
