package ping

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/icmp"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// queried is what came back for queries of each kind.
type queried struct {
	// Timestamp is the answer to the timestamp, if there was one.
	Timestamp *stamps
	// Others are the types of whatever else came, but for the echo reply that
	// was waited for.
	Others []uint8
}

// stamps are those of a timestamp message in milliseconds since midnight UT.
type stamps struct {
	Originate, Receive, Transmit uint32
	// Sent and Received are when it was asked and answered, in the same unit.
	Sent, Received uint32
}

const (
	dayMs = 24 * 60 * 60 * 1000
	// notStandard marks a time that is not in milliseconds since midnight UT.
	notStandard = 1 << 31
	// clockSlack is how far the stamps may be from the clock.
	clockSlack = 10_000
	// originate is a stamp that no clock shows at any time of the day.
	originate = notStandard | 0x5a5a5a
)

var _ = spec.Job(suite, "answers a timestamp request, and no information, address mask or extended echo request", check.Check{
	ID: "PING-008", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "RFC 792 (Timestamp); RFC 1122 3.2.2.7 to 3.2.2.9; RFC 8335 8 (disabled by default); Documentation/networking/ip-sysctl.rst, icmp_echo_enable_probe",
	Asks: "In a network namespace of its own, sends a timestamp request (type 13), an information request (15), an address mask request (17), an extended echo request (42) for lo and an echo request to 127.0.0.1. " +
		"Nothing but a timestamp reply (14), with the request's own stamp and the time of this machine's clock, and an echo reply may come back.",
	Why: "Information and address mask replies, and those that tell the state of an interface by its name, describe a machine to whoever asks; they are off for that reason. " +
		"A timestamp tells the clock, and clockdiff and monitoring use it: one that is wrong points to a clock that is not.",
	Causes: []string{
		spec.OtherStack,
	},
	Remedies: []string{
		spec.OwnStack,
		"`sysctl -w net.ipv4.icmp_echo_enable_probe=0`",
	},
}, sendQueries, func(_ SpecContext, seen queried) {
	Expect(seen.Timestamp).NotTo(BeNil(), "the answer to a timestamp request to 127.0.0.1")
	s := seen.Timestamp
	spec.Evidence("timestamp reply", "asked at %s, received at %s, answered at %s", clock(s.Sent), clock(s.Receive), clock(s.Transmit))
	Expect(s.Originate).To(BeEquivalentTo(originate), "the request's stamp in the timestamp reply")
	Expect(s.wrong()).To(BeEmpty(), "the stamps of the timestamp reply")
	Expect(seen.Others).To(BeEmpty(), "types of what came back for an information, an address mask and an extended echo request")
	spec.Evidence("others", "no answer to types %d, %d and %d", informationRequest, addressMaskRequest, extendedEchoRequest)
})

// wrong says which stamp is not the time of the day between asking and answer.
func (s stamps) wrong() string {
	for _, stamp := range []struct {
		name string
		at   uint32
	}{{"receive", s.Receive}, {"transmit", s.Transmit}} {
		late := (stamp.at + dayMs - s.Sent + clockSlack) % dayMs
		if stamp.at >= dayMs || late > (s.Received+dayMs-s.Sent)%dayMs+2*clockSlack {
			return fmt.Sprintf("the %s stamp is %s, and the answer came at %s", stamp.name, clock(stamp.at), clock(s.Received))
		}
	}
	return ""
}

// clock is a stamp as a time of the day.
func clock(stamp uint32) string {
	if stamp >= dayMs {
		return fmt.Sprintf("%d, which is no time of the day", stamp)
	}
	return time.UnixMilli(int64(stamp)).UTC().Format("15:04:05.000 UT")
}

func stampOf(t time.Time) uint32 { return uint32(t.UnixMilli() % dayMs) }

func sendQueries(ctx context.Context, _ *sandbox.Inside) (seen queried, err error) {
	const id = 8
	t, err := openRaw(sock.IPv4)
	if err != nil {
		return seen, err
	}
	defer t.Close()
	before, err := counters.Read()
	if err != nil {
		return seen, err
	}
	probe, err := icmp.ExtendedEcho(id, 1, "lo")
	if err != nil {
		return seen, err
	}
	sent := time.Now()
	for kind, message := range map[uint8][]byte{
		timestampRequest:    icmp.Message(timestampRequest, 0, icmp.EchoBody(id, 1, binary.BigEndian.AppendUint32(nil, originate), make([]byte, 8))),
		informationRequest:  icmp.Message(informationRequest, 0, icmp.EchoBody(id, 1)),
		addressMaskRequest:  icmp.Message(addressMaskRequest, 0, icmp.EchoBody(id, 1, make([]byte, 4))),
		extendedEchoRequest: probe,
	} {
		if err := t.say(ctx, message); err != nil {
			return seen, err
		}
		// Only when the kernel has looked at a request does silence tell anything.
		if _, err := counted(ctx, before, "IcmpMsg", fmt.Sprintf("InType%d", kind), 1); err != nil {
			return seen, err
		}
	}
	if err := t.ask(ctx, id, 2); err != nil {
		return seen, err
	}
	all, err := t.awaitEcho(ctx, id, 2)
	if err != nil {
		return seen, err
	}
	for _, h := range all[:len(all)-1] {
		seen.note(h, sent)
	}
	// It may have been overtaken on another processor.
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	for seen.Timestamp == nil {
		h, err := t.hear(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil {
			return seen, err
		}
		if !isRequest(h.Type) {
			seen.note(h, sent)
		}
	}
	return seen, nil
}

func (q *queried) note(h heard, sent time.Time) {
	if h.Type != timestampReply || len(h.Data) < 12 || q.Timestamp != nil {
		q.Others = append(q.Others, h.Type)
		return
	}
	q.Timestamp = &stamps{
		Originate: binary.BigEndian.Uint32(h.Data), Receive: binary.BigEndian.Uint32(h.Data[4:]), Transmit: binary.BigEndian.Uint32(h.Data[8:]),
		Sent: stampOf(sent), Received: stampOf(time.Now()),
	}
}
