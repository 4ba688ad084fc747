package counters

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ReadStat reads /proc/stat. In a container it is still that of the whole
// machine, unless something such as lxcfs stands in for it.
func ReadStat() (Stat, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Stat{}, fmt.Errorf("reading scheduler counters: %w", err)
	}
	stat, err := parseStat(text)
	if err != nil {
		return Stat{}, fmt.Errorf("reading /proc/stat: %w", err)
	}
	return stat, nil
}

// parseStat takes columns that an old kernel does not have for zero.
func parseStat(text []byte) (Stat, error) {
	var stat Stat
	found := false
	lines := bufio.NewScanner(bytes.NewReader(text))
	// The "intr" line has a column for every interrupt number.
	lines.Buffer(nil, len(text)+1)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		var columns []*uint64
		switch name {
		case "cpu":
			found = true
			columns = []*uint64{
				&stat.User, &stat.Nice, &stat.System, &stat.Idle, &stat.IOWait,
				&stat.IRQ, &stat.SoftIRQ, &stat.Steal, &stat.Guest, &stat.GuestNice,
			}
		case "ctxt":
			columns = []*uint64{&stat.ContextSwitches}
		default:
			continue
		}
		for i, value := range strings.Fields(rest) {
			if i == len(columns) {
				break
			}
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return Stat{}, fmt.Errorf("line %q: %w", name, err)
			}
			*columns[i] = n
		}
	}
	if err := lines.Err(); err != nil {
		return Stat{}, err
	}
	if !found {
		return Stat{}, errors.New(`no "cpu" line`)
	}
	return stat, nil
}
