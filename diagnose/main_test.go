package diagnose

import (
	"io/fs"
	"testing"

	"github.com/loopcheck/loopcheck/probe/process"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	m.Run()
}

// machine is one that the test makes up. What it leaves out does not exist.
type machine struct {
	rights   process.Status
	settings map[string]string
	files    fileLimit
}

// on makes the test see a made-up machine in the place of this one.
func on(t *testing.T, m machine) {
	t.Helper()
	rights, setting, files, lo := readRights, readSetting, readFileLimit, readLoopback
	t.Cleanup(func() { readRights, readSetting, readFileLimit, readLoopback = rights, setting, files, lo })
	readRights = func() (process.Status, error) { return m.rights, nil }
	readSetting = func(name string) (string, error) {
		if value, has := m.settings[name]; has {
			return value, nil
		}
		return "", fs.ErrNotExist
	}
	readFileLimit = func() (fileLimit, error) { return m.files, nil }
	readLoopback = func() (loopback, error) { return soundLoopback, nil }
}

// expectOne wants exactly one finding, with its evidence and remedies that
// belong to it, or none where the ID is empty.
func expectOne(t *testing.T, d Diagnosis, id, command string) {
	t.Helper()
	if id == "" {
		if len(d.Findings) != 0 {
			t.Errorf("found %+v", d.Findings)
		}
		return
	}
	if len(d.Findings) != 1 || d.Findings[0].Cause.ID != id || d.Findings[0].Cause.Summary == "" || len(d.Findings[0].Cause.Evidence) == 0 {
		t.Fatalf("found %+v, want %s with evidence", d.Findings, id)
	}
	remedies := d.Findings[0].Remedies
	if len(remedies) != 1 || remedies[0].Cause != id || remedies[0].Command != command {
		t.Errorf("remedies %+v, want %s", remedies, command)
	}
}
