package counters

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestAllListsWhatMoved(t *testing.T) {
	g := NewWithT(t)
	at := time.Unix(100, 0)
	earlier := All{
		At:          at,
		Protocols:   part(Snapshot{"Tcp": {"ActiveOpens": 4, "CurrEstab": 2}}, nil),
		Sockets:     part(Sockets{Used: 7, TCP: TCPSockets{TimeWait: 3}}, nil),
		Interfaces:  part(Interfaces{"lo": {RxPackets: 10}}, nil),
		Stat:        part(Stat{Idle: 5}, nil),
		CPUPressure: part(Pressure{Some: time.Second}, nil),
		IOPressure:  part(Pressure{Some: time.Second}, nil),
	}
	now := All{
		At:          at.Add(3 * time.Second),
		Protocols:   part(Snapshot{"Tcp": {"ActiveOpens": 5, "CurrEstab": 2}}, nil),
		Sockets:     part(Sockets{Used: 7, TCP: TCPSockets{TimeWait: 2}}, nil),
		Interfaces:  part(Interfaces{"lo": {RxPackets: 16}}, nil),
		Stat:        part(Stat{Idle: 5}, nil),
		CPUPressure: part(Pressure{Some: 1500 * time.Millisecond}, nil),
		IOPressure:  part(Pressure{Some: time.Second}, nil),
	}
	moved := now.Sub(earlier)
	g.Expect(moved.Elapsed).To(Equal(3 * time.Second))
	g.Expect(moved.Err()).NotTo(HaveOccurred())
	g.Expect(moved.String()).To(Equal("protocols: Tcp ActiveOpens 1\n" +
		"sockets: TCP tw -1\n" +
		"interfaces: lo (rx_packets 6)\n" +
		"CPU pressure: some 500ms"))
	g.Expect(now.Sub(now).String()).To(BeEmpty())
}

func TestAllKeepsErrorsApart(t *testing.T) {
	g := NewWithT(t)
	gone, odd := errors.New("gone"), errors.New("odd")
	earlier := All{
		Sockets:   part(Sockets{Used: 1}, nil),
		Stat:      part(Stat{User: 1}, odd),
		Protocols: part(Snapshot{"Tcp": {"InSegs": 1}}, nil),
	}
	now := All{
		Sockets:   part(Sockets{Used: 9}, gone),
		Stat:      part(Stat{User: 2}, nil),
		Protocols: part(Snapshot{"Tcp": {"InSegs": 3}}, nil),
	}
	g.Expect(now.String()).NotTo(ContainSubstring("sockets"))
	moved := now.Sub(earlier)
	g.Expect(moved.Sockets).To(Equal(Part[Sockets]{Err: gone}))
	g.Expect(moved.Stat).To(Equal(Part[Stat]{Err: odd}))
	g.Expect(moved.String()).To(Equal("protocols: Tcp InSegs 2"))
	g.Expect(moved.Err()).To(And(MatchError(gone), MatchError(odd)))
}
