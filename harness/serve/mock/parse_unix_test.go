//go:build unix

package mock

import (
	"fmt"
	"os"
	"testing"
)

// What a shell passes on is a pipe, and has a writer.
func TestRoutesAreReadFromADescriptor(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	go func() {
		_, _ = writer.WriteString("routes: [{route: /a, text: x}]")
		_ = writer.Close()
	}()
	f, err := ReadFile(fmt.Sprintf("/dev/fd/%d", reader.Fd()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Routes) != 1 {
		t.Errorf("%+v", f)
	}
}
