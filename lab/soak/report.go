package main

import "fmt"

// judge names what is wrong with a run. With expectFails the stack was damaged
// on purpose: then a check has to fail, and every one that does has to name a
// cause.
func judge(o outcome, expectFails bool) []string {
	if o.err != nil {
		wrong := fmt.Sprintf("exit %s, %v", o.exit, o.err)
		if o.stderr != "" {
			wrong += "; stderr ends: " + o.stderr
		}
		return []string{wrong}
	}
	var wrong []string
	fails := 0
	for _, c := range o.report.Checks {
		if c.State != "fail" {
			continue
		}
		fails++
		switch {
		case !expectFails:
			wrong = append(wrong, fmt.Sprintf("%s failed: %s", c.ID, c.Message))
		case len(c.Causes) == 0:
			wrong = append(wrong, fmt.Sprintf("%s failed without a cause: %s", c.ID, c.Message))
		}
	}
	if expectFails && fails == 0 {
		wrong = append(wrong, "no check failed although the stack is damaged")
	}
	if len(o.report.Checks) == 0 {
		wrong = append(wrong, "the report holds no checks")
	}
	if o.report.Interrupted {
		wrong = append(wrong, "the report says it was interrupted")
	}
	want := "0"
	if fails > 0 {
		want = "1"
	}
	if o.exit != want {
		text := fmt.Sprintf("exit %s with %d failed checks, want %s", o.exit, fails, want)
		if o.stderr != "" {
			text += "; stderr ends: " + o.stderr
		}
		wrong = append(wrong, text)
	}
	return wrong
}
