package portset

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"62893":                 "62893",
		"1-1023,62893":          "1-1023,62893",
		" 80 , 79 ,8000 - 8010": "79-80,8000-8010",
		"1-65535":               "1-65535",
		"5-10,7-8,11":           "5-11",
		"65535,1":               "1,65535",
	} {
		s, err := Parse(text)
		if err != nil || s.String() != want {
			t.Errorf("%q: got %q, %v; want %q", text, s, err, want)
		}
	}
}

func TestParseSaysWhatToWrite(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "a port is missing",
		"1,":                   "a port is missing",
		"0":                    "port 0 is out of range: write a number from 1 to 65535",
		"70000":                "port 70000 is out of range",
		"99999999999999999999": "out of range",
		"20-10":                "range 20-10 is reversed: write 10-20",
		"0-10":                 "port 0 is out of range",
		"1-70000":              "port 70000 is out of range",
		"http":                 `"http" is no port`,
		"-5":                   `"" is no port`,
		"5-":                   `"" is no port`,
		"1-2-3":                `"2-3" is no port`,
		"+5":                   `"+5" is no port`,
	} {
		if s, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v; want an error with %q", text, s, err, want)
		}
	}
}

func TestTheRangesOfTheRegistryMeet(t *testing.T) {
	var all []Range
	next := 1
	for _, r := range IANA() {
		if int(r.First) != next {
			t.Errorf("%s begins at %d, want %d", r.Name, r.First, next)
		}
		next = int(r.Last) + 1
		all = append(all, r.Range)
	}
	if next != 65536 || Of(all...).String() != All().String() || All().Len() != 65535 {
		t.Errorf("the ranges make %v", Of(all...))
	}
	if !Dynamic.Contains(62893) {
		t.Error("62893 is not within the dynamic range")
	}
}

func TestWithin(t *testing.T) {
	s := Of(Range{1000, 1100}, Range{50000, 50001})
	if got := s.Within(System); got.String() != "1000-1023" || got.Len() != 24 {
		t.Errorf("got %v", got)
	}
	if got := s.Within(Range{2000, 3000}); got.Len() != 0 || got.String() != "" {
		t.Errorf("got %v", got)
	}
	if ports := slices.Collect(Ports(9, 7, 8, 7).All()); !slices.Equal(ports, []uint16{7, 8, 9}) {
		t.Errorf("got %v", ports)
	}
	if !s.Contains(1100) || s.Contains(1101) {
		t.Error("does not know its own bounds")
	}
}

func TestWithout(t *testing.T) {
	for _, c := range [][3]string{
		{"1-65535", "22,80-90,65535", "1-21,23-79,91-65534"},
		{"10-20,30-40", "1-12,20,35-50", "13-19,30-34"},
		{"10-20", "30", "10-20"},
		{"10-20", "1-65535", ""},
	} {
		whole, _ := Parse(c[0])
		out, _ := Parse(c[1])
		if got := whole.Without(out).String(); got != c[2] {
			t.Errorf("%s without %s: got %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"62893", "1-1023,62893", "20-10", "0", "1,,2", "65535-65535", "٣"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") && !strings.Contains(text, "\n") {
				t.Errorf("the error has several lines: %q", err)
			}
			return
		}
		again, err := Parse(s.String())
		if err != nil || again.String() != s.String() || again.Len() != s.Len() {
			t.Errorf("%q gives %q, which gives %q, %v", text, s, again, err)
		}
		n := 0
		for p := range s.All() {
			n++
			if !s.Contains(p) {
				t.Errorf("%q lacks its port %d", s, p)
			}
		}
		if n == 0 || n != s.Len() {
			t.Errorf("%q goes through %d ports, and has %d", s, n, s.Len())
		}
	})
}
