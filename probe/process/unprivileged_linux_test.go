package process

import (
	"errors"
	"testing"
)

func TestUnprivilegedIsWithoutCapabilitiesMeanwhile(t *testing.T) {
	before, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	told := errors.New("what the function says")
	var during Status
	if err := Unprivileged(func() (err error) {
		if during, err = Read(); err != nil {
			return err
		}
		return told
	}); !errors.Is(err, told) {
		t.Errorf("it returned %v", err)
	}
	if during.Effective != 0 {
		t.Errorf("meanwhile the thread had %v", during.Effective.Names())
	}
	after, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	if after.Effective != before.Effective {
		t.Errorf("afterwards it has %v and had %v", after.Effective.Names(), before.Effective.Names())
	}
}
