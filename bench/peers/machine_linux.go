package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

var modelName = regexp.MustCompile(`(?m)^model name\s*:\s*(.+)$`)

// machine describes this one in a line.
func machine() string {
	kernel := "Linux"
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		kernel += " " + unix.ByteSliceToString(name.Release[:])
	}
	model := runtime.GOARCH
	if content, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := modelName.FindSubmatch(content); m != nil {
			model = strings.Join(strings.Fields(string(m[1])), " ")
		}
	}
	return fmt.Sprintf("%s, %d processors (%s), %s", kernel, runtime.NumCPU(), model, runtime.Version())
}
