package counters

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Interfaces holds the counters of a network namespace's interfaces by name,
// whatever the protocol.
type Interfaces map[string]Interface

// Interface is what one interface received (Rx) and sent (Tx), in bytes and
// packets, and what went wrong. A packet over lo counts in both directions, and
// its bytes from the IP header on.
//
// Source: proc_net(5), Documentation/networking/statistics.rst.
type Interface struct {
	RxBytes, RxPackets   uint64
	RxErrors, RxDropped  uint64
	RxFIFO, RxFrame      uint64 // errors: overruns; length, checksum or alignment
	RxCompressed         uint64
	RxMulticast          uint64
	TxBytes, TxPackets   uint64
	TxErrors, TxDropped  uint64
	TxFIFO, TxCollisions uint64
	TxCarrier            uint64 // errors: carrier lost, aborted, out of window
	TxCompressed         uint64
}

// ReadInterfaces reads the counters in the calling thread's network namespace.
func ReadInterfaces() (Interfaces, error) {
	return readAs("interface counters", procNet+"dev", parseInterfaces)
}

// Sub returns what was counted since an earlier reading. An interface that is
// new, or whose counters went back because it was made anew, counts from zero;
// one that is gone is left out.
func (i Interfaces) Sub(earlier Interfaces) Interfaces {
	diff := make(Interfaces, len(i))
	for name, now := range i {
		diff[name] = now.Sub(earlier[name])
	}
	return diff
}

// Sub returns what was counted since an earlier reading, or all where a
// counter went back.
func (i Interface) Sub(earlier Interface) Interface {
	diff := i
	was := earlier.columns()
	for n, now := range diff.columns() {
		if *now < *was[n] {
			return i
		}
		*now -= *was[n]
	}
	return diff
}

// String lists what is not zero, such as "lo (rx_packets 1, tx_packets 1)".
func (i Interfaces) String() string {
	var l list
	for _, name := range slices.Sorted(maps.Keys(i)) {
		shown := name
		if quoted := strconv.QuoteToASCII(name); quoted[1:len(quoted)-1] != name {
			// A name may hold whatever is no blank, slash or colon.
			shown = quoted
		}
		l.addGroup(shown, i[name])
	}
	return l.String()
}

// String lists what is not zero, such as "rx_packets 1, tx_packets 1".
func (i Interface) String() string {
	var l list
	for n, column := range i.columns() {
		add(&l, interfaceColumns[n], *column)
	}
	return l.String()
}

var interfaceColumns = [...]string{
	"rx_bytes", "rx_packets", "rx_errs", "rx_drop", "rx_fifo", "rx_frame", "rx_compressed", "rx_multicast",
	"tx_bytes", "tx_packets", "tx_errs", "tx_drop", "tx_fifo", "tx_colls", "tx_carrier", "tx_compressed",
}

// columns are in the order of the file's.
func (i *Interface) columns() [len(interfaceColumns)]*uint64 {
	return [...]*uint64{
		&i.RxBytes, &i.RxPackets, &i.RxErrors, &i.RxDropped, &i.RxFIFO, &i.RxFrame, &i.RxCompressed, &i.RxMulticast,
		&i.TxBytes, &i.TxPackets, &i.TxErrors, &i.TxDropped, &i.TxFIFO, &i.TxCollisions, &i.TxCarrier, &i.TxCompressed,
	}
}

// interfaceHeads is how many lines of headings there are.
const interfaceHeads = 2

// parseInterfaces takes the headings for granted but not the number of columns:
// one more in the middle would change what all behind it mean.
func parseInterfaces(text string) (Interfaces, error) {
	interfaces := Interfaces{}
	line := 0
	for row := range strings.Lines(text) {
		if line++; line <= interfaceHeads {
			if !strings.Contains(row, "|") {
				return nil, fmt.Errorf("line %q is no heading", short(row))
			}
			continue
		}
		// Old kernels let a name have a colon.
		end := strings.LastIndexByte(row, ':')
		if end < 0 {
			return nil, fmt.Errorf("line %q names no interface", short(row))
		}
		name, fields := strings.TrimSpace(row[:end]), strings.Fields(row[end+1:])
		var i Interface
		columns := i.columns()
		if name == "" || len(fields) != len(columns) {
			return nil, fmt.Errorf("line %q is no interface with %d columns", short(row), len(columns))
		}
		for n, column := range columns {
			value, err := strconv.ParseUint(fields[n], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%s of %q: %w", interfaceColumns[n], short(name), err)
			}
			*column = value
		}
		interfaces[name] = i
	}
	if line < interfaceHeads {
		return nil, errors.New("no headings in it")
	}
	return interfaces, nil
}
