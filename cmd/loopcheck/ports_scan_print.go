package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/harness/terminal"
	"github.com/loopcheck/loopcheck/probe/portscan"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

func printScans(a *app, asJSON bool, outcomes []scanned) error {
	if asJSON {
		document := struct {
			Scans []scanJSON `json:"scans"`
		}{}
		for _, s := range outcomes {
			document.Scans = append(document.Scans, s.json())
		}
		return writeJSON(a.stdout, document)
	}
	var b strings.Builder
	for i, s := range outcomes {
		if i > 0 {
			b.WriteString("\n")
		}
		s.print(&b)
	}
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

// scannedStates are the states of ports that were asked, in the order of the
// table.
var scannedStates = []portscan.State{portscan.Open, portscan.Closed, portscan.Rejected, portscan.Dropped}

// print puts what was asked, the counts by the registry's ranges, and every port
// that is not closed.
func (s scanned) print(b *strings.Builder) {
	fmt.Fprintf(b, "%s %s: %s in %d ms, asked by %s\n\n", s.Protocol, s.Addr, countOf(s.Ports.Len(), "port"), s.Took.Milliseconds(), askedBy[s.Engine])
	const nameWidth, rangeWidth, stateWidth = 9, 11, 10
	fmt.Fprintf(b, "%-*s%*s", nameWidth, "range", rangeWidth, "ports")
	for _, state := range scannedStates {
		fmt.Fprintf(b, "%*s", stateWidth, state)
	}
	b.WriteString("\n")
	for _, r := range portset.IANA() {
		if s.Ports.Within(r.Range).Len() == 0 {
			continue
		}
		fmt.Fprintf(b, "%-*s%*s", nameWidth, r.Name, rangeWidth, r.Range)
		for _, state := range scannedStates {
			fmt.Fprintf(b, "%*s", stateWidth, grouped(s.Count(r.Range, state)))
		}
		b.WriteString("\n")
	}
	s.printPorts(b)
	s.printDisagreements(b)
	for _, gap := range s.Gaps {
		fmt.Fprintf(b, "\nNot compared with: %s\n", terminal.Harmless(gap.String()))
	}
}

// askedBy names what each engine sends.
var askedBy = map[portscan.Engine]string{portscan.Raw: "raw SYNs", portscan.Connect: "connections", portscan.Datagram: "datagrams"}

// countOf is "1 port" or "65,535 ports".
func countOf(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return grouped(n) + " " + what
}

// grouped is a number with its thousands parted.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// printPorts lists what is not closed: neighbours alike in one line, but open
// ports one a line, for each has a listener of its own.
func (s scanned) printPorts(b *strings.Builder) {
	var text strings.Builder
	ports := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(port fmt.Stringer, answer portscan.Answer, who string) {
		_, _ = fmt.Fprintf(ports, "%s\t%s\t%s\n", port, answer.Text(s.Addr), who)
	}
	for _, r := range s.Ranges() {
		switch r.Answer.State {
		case portscan.Closed:
		case portscan.Open:
			for port := range portset.Of(r.Range).All() {
				row(portset.Range{First: port, Last: port}, r.Answer, whoListens(s.Listeners[port]))
			}
		default:
			row(r.Range, r.Answer, "")
		}
	}
	_ = ports.Flush()
	if text.Len() > 0 {
		b.WriteString("\n")
	}
	for line := range strings.Lines(text.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
}

// whoListens names the sockets of one port.
func whoListens(sockets []socktable.Socket) string {
	if len(sockets) == 0 {
		return "nobody in the socket table"
	}
	var names []string
	for _, socket := range sockets {
		name := ownerOf(socket)
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return terminal.Harmless(strings.Join(names, "; "))
}

// ownerOf is what the table's line of a socket says after its address.
func ownerOf(socket socktable.Socket) string {
	if len(socket.Owners) == 0 {
		return socket.Local.Addr().Unmap().String() + ", " + socket.Ownership.String()
	}
	var names []string
	for _, o := range socket.Owners {
		names = append(names, fmt.Sprintf("%s (pid %d)", o.Name, o.PID))
	}
	return socket.Local.Addr().Unmap().String() + ", " + strings.Join(names, ", ")
}

func (s scanned) printDisagreements(b *strings.Builder) {
	if len(s.Disagreements) == 0 {
		return
	}
	b.WriteString("\nThe stack and the socket table disagree:\n")
	for _, d := range s.Disagreements {
		fmt.Fprintf(b, "  %s %d: %s\n", s.Protocol, d.Port, s.explain(d))
	}
	for _, f := range s.Findings {
		fmt.Fprintf(b, "  cause: %s\n", terminal.Harmless(f.Cause.Summary))
		for _, line := range f.Cause.Evidence {
			fmt.Fprintf(b, "    %s\n", terminal.Harmless(line))
		}
		for _, r := range f.Remedies {
			fmt.Fprintf(b, "  remedy: %s\n", terminal.Harmless(r.Command))
		}
	}
	if len(s.Findings) == 0 {
		for _, u := range s.Unseen {
			fmt.Fprintf(b, "  not looked at: %s: %s\n", u.What, terminal.Harmless(u.Why))
		}
	}
}

// explain says what a disagreement means.
func (s scanned) explain(d portscan.Disagreement) string {
	switch {
	case d.Kind == portscan.Ownerless:
		return "open, and no socket of this network namespace listens there: a rule (redirect, dnat, tproxy) or an eBPF program answers, or sends it elsewhere"
	case d.Backlogged:
		return fmt.Sprintf("%s, because the accept queue is full: %s", d.Answer.Text(s.Addr), whoListens(d.Sockets))
	}
	return fmt.Sprintf("%s, although somebody listens there: %s", d.Answer.Text(s.Addr), whoListens(d.Sockets))
}

// scanJSON is one scan in the JSON document.
type scanJSON struct {
	Address       string             `json:"address"`
	Protocol      string             `json:"protocol"`
	Engine        portscan.Engine    `json:"engine"`
	TookNS        time.Duration      `json:"took_ns"`
	Ports         string             `json:"ports"`
	Counts        map[string]int     `json:"counts"`
	Ranges        []rangeJSON        `json:"ranges"`
	Open          []openJSON         `json:"open"`
	Disagreements []disagreementJSON `json:"disagreements"`
	Causes        []diagnose.Cause   `json:"causes"`
	Remedies      []diagnose.Remedy  `json:"remedies"`
	Unseen        []string           `json:"unseen"`
}

type rangeJSON struct {
	portset.Range
	State  string    `json:"state"`
	ICMP   *icmpJSON `json:"icmp,omitempty"`
	Errno  int       `json:"errno,omitempty"`
	Silent bool      `json:"silent,omitempty"`
}

type icmpJSON struct {
	Type uint8  `json:"type"`
	Code uint8  `json:"code"`
	Kind string `json:"kind"`
}

type openJSON struct {
	Port      uint16   `json:"port"`
	Listeners []string `json:"listeners"`
}

type disagreementJSON struct {
	Kind        portscan.DisagreementKind `json:"kind"`
	Port        uint16                    `json:"port"`
	State       string                    `json:"state"`
	BacklogFull bool                      `json:"backlog_full,omitempty"`
	Listeners   []string                  `json:"listeners"`
}

func (s scanned) json() scanJSON {
	out := scanJSON{
		Address: s.Addr.String(), Protocol: s.Protocol.String(), Engine: s.Engine, TookNS: s.Took, Ports: s.Ports.String(),
		Counts: map[string]int{}, Ranges: []rangeJSON{}, Open: []openJSON{}, Disagreements: []disagreementJSON{},
		Causes: []diagnose.Cause{}, Remedies: []diagnose.Remedy{}, Unseen: []string{},
	}
	for _, state := range scannedStates {
		out.Counts[state.String()] = s.Having(state).Len()
	}
	for _, r := range s.Ranges() {
		part := rangeJSON{Range: r.Range, State: r.Answer.State.String(), Errno: int(r.Answer.Errno), Silent: r.Answer.Mute}
		if r.Answer.State == portscan.Rejected {
			part.ICMP = &icmpJSON{r.Answer.ICMP.Type, r.Answer.ICMP.Code, string(r.Answer.Kind(s.Addr))}
		}
		out.Ranges = append(out.Ranges, part)
	}
	for port := range s.Having(portscan.Open).All() {
		out.Open = append(out.Open, openJSON{port, lines(s.Listeners[port])})
	}
	for _, d := range s.Disagreements {
		out.Disagreements = append(out.Disagreements, disagreementJSON{d.Kind, d.Port, d.Answer.State.String(), d.Backlogged, lines(d.Sockets)})
	}
	for _, f := range s.Findings {
		out.Causes, out.Remedies = append(out.Causes, f.Cause), append(out.Remedies, f.Remedies...)
	}
	for _, gap := range s.Gaps {
		out.Unseen = append(out.Unseen, gap.String())
	}
	for _, u := range s.Diagnosis.Unseen {
		out.Unseen = append(out.Unseen, u.What+": "+u.Why)
	}
	return out
}

func lines(sockets []socktable.Socket) []string {
	out := []string{}
	for _, s := range sockets {
		out = append(out, s.String())
	}
	return out
}
