package diagnose

import (
	"fmt"
	"syscall"
	"testing"
)

func TestOpenFiles(t *testing.T) {
	low := machine{files: fileLimit{soft: 256, hard: 256, open: 9}, settings: map[string]string{"fs.file-nr": "512\t0\t512"}}
	enough := machine{files: fileLimit{soft: 20000, hard: 20000, open: 9}}
	for name, c := range map[string]struct {
		machine machine
		symptom Symptom
		id      string
		command string
	}{
		"too few to ask":        {low, Symptom{Missing: "open files"}, "open-file-limit", "ulimit -n 4096"},
		"too few while asking":  {low, Symptom{Message: fmt.Sprint("accept: ", syscall.EMFILE)}, "open-file-limit", "ulimit -n 4096"},
		"the machine is full":   {low, Symptom{Message: fmt.Sprint("socket: ", syscall.ENFILE)}, "machine-file-limit", "sysctl -w fs.file-max=9223372036854775807"},
		"the limit is not low":  {enough, Symptom{Message: fmt.Sprint("accept: ", syscall.EMFILE)}, "", ""},
		"another thing is said": {low, Symptom{Message: "connection refused"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, c.machine)
			expectOne(t, openFiles(t.Context(), c.symptom), c.id, c.command)
		})
	}
}

func TestThisProcesssFileLimitIsRead(t *testing.T) {
	limit, err := readFileLimit()
	if err != nil || limit.soft == 0 || limit.hard < limit.soft || limit.open < 3 {
		t.Errorf("%+v, %v", limit, err)
	}
}
