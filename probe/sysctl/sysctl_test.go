package sysctl

import (
	"errors"
	"io/fs"
	"strconv"
	"testing"
)

func TestRead(t *testing.T) {
	value, err := Read("net.ipv4.ip_default_ttl")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("this system has no such setting: %v", err)
	}
	if ttl, parseErr := strconv.Atoi(value); err != nil || parseErr != nil || ttl < 1 || ttl > 255 {
		t.Errorf("%q, %v", value, err)
	}
	if value, err := Read("net.ipv4.no_such_setting"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%q, %v; want %v", value, err, fs.ErrNotExist)
	}
}
