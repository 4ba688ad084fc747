package firewall

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// The kernel's ways to say that it has no such thing (nfnetlink.c,
// nf_tables_api.c), as the library wraps them.
func TestOnlyWhatTheKernelLacksIsALack(t *testing.T) {
	for errno, want := range map[syscall.Errno]bool{
		syscall.EPROTONOSUPPORT: true,
		syscall.EOPNOTSUPP:      true,
		syscall.EAFNOSUPPORT:    true,
		syscall.ENOENT:          true,
		syscall.EINVAL:          false,
		syscall.EPERM:           false,
		syscall.EEXIST:          false,
	} {
		err := lacking(nftReject.Name, fmt.Errorf("load: %w", errors.Join(errno, os.ErrDeadlineExceeded)))
		found, isLack := errors.AsType[*lackError](err)
		if isLack != want || !errors.Is(err, errno) {
			t.Errorf("%v: %v", errno, err)
		}
		if isLack && (found.Need != "nft_reject" || found.Found != err.Error()) {
			t.Errorf("%v: needs %q, found %q", errno, found.Need, found.Found)
		}
	}
	if _, isLack := errors.AsType[*lackError](lacking(nfTables.Name, syscall.EINVAL, syscall.EINVAL)); !isLack {
		t.Error("EINVAL is no lack where it means one")
	}
}

func TestRulesNeedTheirModules(t *testing.T) {
	for want, r := range map[string]rule{
		"nf_tables":  {Protocols: bothProtocols, Port: port, Does: dropped},
		"nft_reject": {Protocols: bothProtocols, Port: port, Does: rejected(verdict.TCPReset)},
		"conntrack":  {Established: true, Does: accepted},
	} {
		if got := (ruleset{Rules: []rule{r}}).need(); got != want {
			t.Errorf("%s needs %q, want %q", r, got, want)
		}
	}
}

func TestEveryKindIsARule(t *testing.T) {
	for _, k := range verdict.ICMPKinds() {
		if _, err := (rule{Does: rejected(k.Kind)}).statement(); err != nil {
			t.Error(err)
		}
	}
	if _, err := (rule{Does: rejected("icmp type 11 code 0")}).statement(); err == nil {
		t.Error("a rule says what nftables cannot")
	}
}

// Each kind that nft(8) has is a check, and no other.
func TestEveryKindIsAsked(t *testing.T) {
	asked := map[verdict.Kind]bool{}
	for _, r := range icmpRejections {
		asked[r.kind] = true
	}
	for _, k := range verdict.ICMPKinds() {
		if !asked[k.Kind] {
			t.Errorf("%s is not asked over %s", k.Kind, k.Family)
		}
	}
	if len(asked) != len(verdict.ICMPKinds()) || len(asked) != len(icmpRejections) {
		t.Errorf("%d kinds are asked by %d checks", len(asked), len(icmpRejections))
	}
}

func TestRulesReadAsNftWritesThem(t *testing.T) {
	for want, r := range map[string]rule{
		"tcp/udp dport 7777 counter drop":              {Protocols: bothProtocols, Port: port, Does: dropped},
		"tcp dport 7777 counter reject with tcp-reset": {Protocols: []sock.Kind{sock.TCP}, Port: port, Does: rejected(verdict.TCPReset)},
		"interface lo counter accept":                  {Interface: "lo", Does: accepted},
		"ct state established counter accept":          {Established: true, Does: accepted},
		"udp dport 7777 counter":                       {Protocols: []sock.Kind{sock.UDP}, Port: port},
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
