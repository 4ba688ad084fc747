package verdict_test

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

func TestAnswersReadAsRulesDo(t *testing.T) {
	for want, a := range map[string]verdict.Answer{
		"accept":                            {Verdict: verdict.Verdict{Action: verdict.Accept}, Took: time.Millisecond},
		"drop (silent for 20ms)":            {Verdict: verdict.Verdict{Action: verdict.Drop}, Took: 20 * time.Millisecond},
		"reject with tcp-reset: ":           {Verdict: verdict.Verdict{Action: verdict.Reject, Kind: verdict.TCPReset}, Errno: syscall.ECONNREFUSED},
		"drop on its way out: ":             {Verdict: verdict.Verdict{Action: verdict.Drop}, Errno: syscall.EPERM, Local: true},
		"reject with icmp net-prohibited (": {Verdict: verdict.Verdict{Action: verdict.Reject, Kind: "icmp net-prohibited"}, ICMP: &sock.ICMPError{Type: 3, Code: 9}},
	} {
		if got := a.String(); !strings.HasPrefix(got, want) || a.Errno != 0 && !strings.HasSuffix(got, a.Errno.Error()) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAnswersSurviveJSON(t *testing.T) {
	want := verdict.Answer{
		Verdict: verdict.Verdict{Action: verdict.Reject, Kind: "icmpv6 no-route"},
		ICMP:    &sock.ICMPError{Type: 1}, Errno: syscall.ENETUNREACH, Local: true, Took: time.Second,
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got verdict.Answer
	if err := json.Unmarshal(text, &got); err != nil || got.String() != want.String() || got.Took != want.Took {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestEveryKindIsFoundByItsNumbers(t *testing.T) {
	seen := map[verdict.Kind]bool{}
	for _, k := range verdict.ICMPKinds() {
		if got := verdict.KindOf(k.Family, sock.ICMPError{Type: k.Type, Code: k.Code}); got != k.Kind {
			t.Errorf("%d/%d over %s is %q, want %q", k.Type, k.Code, k.Family, got, k.Kind)
		}
		if seen[k.Kind] {
			t.Errorf("%q is there twice", k.Kind)
		}
		seen[k.Kind] = true
	}
	if len(seen) != 13 {
		t.Errorf("%d kinds, and nft(8) has 13", len(seen))
	}
	for want, got := range map[verdict.Kind]verdict.Kind{
		"icmp type 11 code 0":  verdict.KindOf(sock.IPv4, sock.ICMPError{Type: 11}),
		"icmpv6 type 3 code 1": verdict.KindOf(sock.IPv6, sock.ICMPError{Type: 3, Code: 1}),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
