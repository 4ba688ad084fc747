package counters

import "testing"

// What the running kernel writes must be understood, not only what the tables
// above hold.
func TestReadStatOfThisMachine(t *testing.T) {
	earlier, err := ReadStat()
	if err != nil {
		t.Fatal(err)
	}
	if earlier.Idle == 0 && earlier.User == 0 {
		t.Errorf("neither idle nor user time since the machine started: %+v", earlier)
	}
	now, err := ReadStat()
	if err != nil {
		t.Fatal(err)
	}
	if now.ContextSwitches < earlier.ContextSwitches {
		t.Errorf("context switches went back from %d to %d", earlier.ContextSwitches, now.ContextSwitches)
	}
}
