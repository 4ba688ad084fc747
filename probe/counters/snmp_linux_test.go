package counters

import (
	"net"
	"testing"
)

func TestReadCountsADatagram(t *testing.T) {
	before, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	sender, err := net.Dial("udp4", receiver.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	if _, err := sender.Write([]byte("one")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := receiver.ReadFrom(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	after, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	moved := after.Sub(before)
	for _, counter := range [][2]string{{"Udp", "OutDatagrams"}, {"Udp", "InDatagrams"}, {"Ip", "OutRequests"}} {
		if n, err := moved.Get(counter[0], counter[1]); err != nil || n < 1 {
			t.Errorf("%s %s moved by %d (%v) over one datagram", counter[0], counter[1], n, err)
		}
	}
	if _, err := after.Get("TcpExt", "ListenOverflows"); err != nil {
		t.Error(err)
	}
}
