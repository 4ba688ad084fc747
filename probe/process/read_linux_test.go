package process

import (
	"os"
	"testing"
)

func TestReadThisProcess(t *testing.T) {
	s, err := Read()
	if err != nil || s.UID != os.Geteuid() || s.GID != os.Getegid() || s.Bounding == 0 {
		t.Errorf("%+v, %v", s, err)
	}
}
