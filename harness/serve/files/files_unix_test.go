//go:build unix

package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What a link leads to is served where that is in the folder; a pipe holds nobody up.
func TestLinksAndPipes(t *testing.T) {
	h := handlerOf(t, map[string]string{"a.txt": "hello", "sub/": ""})
	dir := h.Root.Name()
	outside := filepath.Join(t.TempDir(), "secret.txt")
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{
		"in": "a.txt", "sub/up": "../a.txt", "out": outside, "dir-out": filepath.Dir(outside), "loop": "loop", "broken": "nothing",
		"up-and-out": "../" + filepath.Base(filepath.Dir(outside)) + "/secret.txt",
	} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, served := range []string{"/in", "/sub/up"} {
		if got := bodyOf(t, ask(t, h, served)); got != "hello" {
			t.Errorf("%s: %q", served, got)
		}
	}
	for _, refused := range []string{"/out", "/dir-out/", "/dir-out/secret.txt", "/up-and-out", "/loop", "/broken", "/pipe"} {
		if got := ask(t, h, refused); got.StatusCode != 404 {
			t.Errorf("%s: %d, %q", refused, got.StatusCode, bodyOf(t, got))
		}
	}
	page := bodyOf(t, ask(t, h, "/"))
	for _, name := range []string{"out", "loop", "broken", "pipe"} {
		if strings.Contains(page, ">"+name) {
			t.Errorf("the list shows %q", name)
		}
	}
	if _, _, err := Open(h.Root, "pipe"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a pipe: %v", err)
	}
}

// Browsers take a backslash for a slash.
func TestABackslashLeadsToNoOtherHost(t *testing.T) {
	h := handlerOf(t, map[string]string{`\evil.example/`: ""})
	if to := ask(t, h, `/\evil.example`).Header.Get("Location"); to != "/%5Cevil.example/" {
		t.Errorf("it leads to %q", to)
	}
}
