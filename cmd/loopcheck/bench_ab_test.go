package main

import (
	"testing"
)

func TestAShareIsAPercentageOrAFraction(t *testing.T) {
	for text, want := range map[string]float64{"5%": 0.05, "0.05": 0.05, " 2.5 % ": 0.025, "99%": 0.99, "1e-3": 0.001} {
		var s share
		if err := s.Set(text); err != nil || float64(s) != want {
			t.Errorf("%q is %v, %v; want %v", text, float64(s), err, want)
		}
	}
	for _, text := range []string{"", "%", "0", "0%", "-1%", "1", "5", "100%", "nan", "inf", "five"} {
		var s share
		if err := s.Set(text); err == nil {
			t.Errorf("%q is taken for %v", text, float64(s))
		}
	}
	s := share(0.05)
	if s.String() != "5%" {
		t.Errorf("written as %s", s.String())
	}
}

// What is undone is undone once, by whoever comes first.
func TestASideIsUndoneOnce(t *testing.T) {
	var u undoing
	if err := u.now(); err != nil {
		t.Errorf("nothing to undo: %v", err)
	}
	u.due("a-undo", "exit 3")
	if err := u.now(); err == nil || err.Error() != `--a-undo "exit 3": exit status 3` {
		t.Errorf("error is %v", err)
	}
	if err := u.now(); err != nil {
		t.Errorf("undone twice: %v", err)
	}
}
