package host

import (
	"encoding/json"
	"runtime"
	"testing"
)

func TestReadThisMachine(t *testing.T) {
	f := Read()
	if f.Hostname == "" || f.OS == "" {
		t.Errorf("hostname %q, system %q: neither can be empty", f.Hostname, f.OS)
	}
	if f.Arch != runtime.GOARCH {
		t.Errorf("architecture is %q, want %q", f.Arch, runtime.GOARCH)
	}
	if len(f.CPUs) == 0 {
		t.Error("no processor that this process may run on")
	}
	loopback := false
	for _, i := range f.Interfaces {
		for _, flag := range i.Flags {
			loopback = loopback || flag == "loopback"
		}
	}
	if !loopback {
		t.Errorf("no loopback interface among %+v", f.Interfaces)
	}
}

// Lists and maps are never null: whoever reads the report may iterate.
func TestFactsHaveNoNull(t *testing.T) {
	encoded, err := json.Marshal(Read())
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(encoded, &fields); err != nil {
		t.Fatal(err)
	}
	for name, value := range fields {
		if value == nil {
			t.Errorf("%s is null", name)
		}
	}
}

func TestNoise(t *testing.T) {
	m := StartNoise()
	n := m.Stop()
	if n.Steal < 0 || n.Steal > 1 {
		t.Errorf("steal share is %v, want 0 to 1", n.Steal)
	}
	if n.PSICPU != -1 && (n.PSICPU < 0 || n.PSICPU > 1) {
		t.Errorf("CPU pressure is %v, want 0 to 1, or -1", n.PSICPU)
	}
	if n.TimerOverheadNS < 0 {
		t.Errorf("reading the clock costs %v ns", n.TimerOverheadNS)
	}
	if later := m.Stop(); later.ContextSwitches < n.ContextSwitches {
		t.Errorf("%d context switches, after %d in a shorter stretch", later.ContextSwitches, n.ContextSwitches)
	}
}

func BenchmarkRead(b *testing.B) {
	for b.Loop() {
		Read()
	}
}
