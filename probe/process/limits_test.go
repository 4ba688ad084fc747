package process

import (
	"runtime"
	"testing"
)

func TestLimitsOfAProcess(t *testing.T) {
	limits := ParseLimits("Limit                     Soft Limit           Hard Limit           Units     \n" +
		"Max processes             40                   unlimited            processes \n" +
		"Max open files            64                   4096                 files     \n" +
		"Max locked memory         0                    \n")
	if limits[MaxProcesses] != (Limit{40, Unlimited}) || limits[MaxOpenFiles] != (Limit{64, 4096}) {
		t.Errorf("%+v", limits)
	}
	if _, has := limits[MaxLockedMemory]; has {
		t.Errorf("a line without a hard limit was read: %+v", limits)
	}
}

func TestLimitsOfThisProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("proc_pid_limits(5) is Linux's own")
	}
	limits, err := ReadLimits()
	if err != nil || len(limits) != 3 || limits[MaxOpenFiles].Hard == 0 {
		t.Errorf("%+v, %v", limits, err)
	}
	inherited, err := InheritedFiles(t.Context())
	if err != nil || inherited.Soft == 0 || inherited.Soft > inherited.Hard {
		t.Errorf("%+v, %v", inherited, err)
	}
}

func FuzzLimits(f *testing.F) {
	f.Add("Max processes 1 2\nMax open files unlimited unlimited files")
	f.Fuzz(func(_ *testing.T, text string) { ParseLimits(text) })
}
