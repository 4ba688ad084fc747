package counters

import (
	"errors"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

const (
	// Linux 4.19 to 6.10.
	schedstat15 = `version 15
timestamp 4294937296
cpu0 0 0 100 40 60 30 5000000000 1234567 150
domain0 00000003 5 5 0 0 0 0 0 5 1 1 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
cpu2 0 0 0 0 0 0 7 8 9
`
	schedstat17 = `version 17
timestamp 4298672123
cpu0 0 0 0 0 0 0 5000000000 1234567 150
domain0 MC 00000003 5 5 0 0 0 0 0 0 0 0 5 1 1 0 0 0 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
cpu2 0 0 0 0 0 0 7 8 9
`
)

func TestParseRunQueues(t *testing.T) {
	want := RunQueues{
		0: {Running: 5 * time.Second, Waiting: 1234567, Timeslices: 150},
		2: {Running: 7, Waiting: 8, Timeslices: 9},
	}
	for name, text := range map[string]string{
		"version 15": schedstat15,
		"version 16": strings.Replace(schedstat15, "15", "16", 1),
		"version 17": schedstat17,
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(parseRunQueues(text)).To(Equal(want))
		})
	}
}

func TestParseRunQueuesOfAnotherVersion(t *testing.T) {
	for _, version := range []string{"14", "18"} {
		_, err := parseRunQueues("version " + version + "\ncpu0 0 0 0 0 0 0 7 8 9\n")
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), version) {
			t.Errorf("version %s: got %v, want what is not supported", version, err)
		}
	}
}

func TestParseRunQueuesRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":              "",
		"no version":           "cpu0 0 0 0 0 0 0 7 8 9\n",
		"no processor":         "version 15\ntimestamp 1\n",
		"version of letters":   "version x\ncpu0 0 0 0 0 0 0 7 8 9\n",
		"eight columns":        "version 15\ncpu0 0 0 0 0 0 0 7 8\n",
		"ten columns":          "version 15\ncpu0 0 0 0 0 0 0 7 8 9 10\n",
		"five columns":         "version 15\ncpu0 0 0 0 0 0\n",
		"a processor twice":    "version 15\ncpu0 0 0 0 0 0 0 7 8 9\ncpu0 0 0 0 0 0 0 7 8 9\n",
		"no number":            "version 15\ncpu0 0 0 0 0 0 0 7 x 9\n",
		"more than a Duration": "version 15\ncpu0 0 0 0 0 0 0 7 9223372036854775808 9\n",
		"processor of letters": "version 15\ncpux 0 0 0 0 0 0 7 8 9\n",
	} {
		if got, err := parseRunQueues(text); err == nil {
			t.Errorf("%s: read as %v, want an error", name, got)
		}
	}
}

func TestRunQueuesSub(t *testing.T) {
	g := NewWithT(t)
	earlier := RunQueues{0: {Running: time.Second, Waiting: 5, Timeslices: 2}, 1: {Waiting: 1}}
	now := RunQueues{0: {Running: 3 * time.Second, Waiting: 1005, Timeslices: 7}, 2: {Waiting: 1}}
	moved := now.Sub(earlier)
	g.Expect(moved).To(Equal(RunQueues{0: {Running: 2 * time.Second, Waiting: time.Microsecond, Timeslices: 5}}))
	g.Expect(moved.String()).To(Equal("cpu0 (running 2s, waiting 1µs, timeslices 5)"))
}

func TestParseThread(t *testing.T) {
	g := NewWithT(t)
	g.Expect(parseThread("12345678 90123 45\n")).To(Equal(Scheduled{12345678, 90123, 45}))
	g.Expect(parseThread("0 0 1\n")).To(Equal(Scheduled{Timeslices: 1}))
	for _, text := range []string{"", "1 2\n", "1 2 3 4\n", "1 -2 3\n", "1 2 x\n", "9223372036854775808 0 0\n"} {
		if got, err := parseThread(text); err == nil {
			t.Errorf("%q was read as %v, want an error", text, got)
		}
	}
}

func TestThreadsSub(t *testing.T) {
	g := NewWithT(t)
	earlier := Threads{1: {Running: 10, Timeslices: 1}, 2: {Running: 99, Timeslices: 9}, 3: {Running: 5}}
	now := Threads{1: {Running: 30, Waiting: 4, Timeslices: 3}, 2: {Running: 7, Timeslices: 1}, 4: {Timeslices: 1}}
	moved := now.Sub(earlier)
	g.Expect(moved).To(Equal(Threads{
		1: {Running: 20, Waiting: 4, Timeslices: 2},
		2: {Running: 7, Timeslices: 1},
		4: {Timeslices: 1},
	}), "the second thread is another than before, the third is gone")
	g.Expect(moved.Total()).To(Equal(Scheduled{Running: 27, Waiting: 4, Timeslices: 4}))
	g.Expect(moved.String()).To(Equal("thread 1 (running 20ns, waiting 4ns, timeslices 2), " +
		"thread 2 (running 7ns, timeslices 1), thread 4 (timeslices 1)"))
}

func FuzzParseRunQueues(f *testing.F) {
	f.Add(schedstat15)
	f.Add(schedstat17)
	f.Add("version 15\ncpu0")
	f.Fuzz(func(t *testing.T, text string) {
		queues, err := parseRunQueues(text)
		if err != nil {
			return
		}
		for cpu, s := range queues {
			if cpu < 0 || s.Running < 0 || s.Waiting < 0 {
				t.Errorf("processor %d: %+v", cpu, s)
			}
		}
		if gone := queues.Sub(queues).String(); gone != "" {
			t.Errorf("a reading less itself is %q, want nothing", gone)
		}
	})
}

func FuzzParseThread(f *testing.F) {
	f.Add("12345678 90123 45\n")
	f.Add("0 0 0\n")
	f.Add("18446744073709551615 18446744073709551615 18446744073709551615\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseThread(text)
		if err == nil && (s.Running < 0 || s.Waiting < 0) {
			t.Errorf("%q was read as %+v", text, s)
		}
	})
}
