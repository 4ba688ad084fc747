package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega/gleak"

	. "github.com/onsi/gomega"
)

// read takes a tar file apart.
func read(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for archive := tar.NewReader(r); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

func TestImageIsOneThatEnginesLoad(t *testing.T) {
	g := NewWithT(t)
	var image, again bytes.Buffer
	labels := map[string]string{ownerLabel: "b_1_2_3"}
	g.Expect(writeImage(&image, "localhost/loopcheck-1-a:latest", labels, []byte("binary"))).To(Succeed())
	g.Expect(writeImage(&again, "localhost/loopcheck-1-a:latest", labels, []byte("binary"))).To(Succeed())
	g.Expect(again.Bytes()).To(Equal(image.Bytes()), "the same binary and tag give the same image")

	files := read(t, &image)
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	g.Expect(json.Unmarshal(files["manifest.json"], &manifest)).To(Succeed())
	g.Expect(manifest).To(HaveLen(1))
	g.Expect(manifest[0].RepoTags).To(Equal([]string{"localhost/loopcheck-1-a:latest"}))
	g.Expect(manifest[0].Layers).To(HaveLen(1))

	config, layer := files[manifest[0].Config], files[manifest[0].Layers[0]]
	g.Expect(manifest[0].Config).To(Equal(fmt.Sprintf("%x.json", sha256.Sum256(config))))
	var described struct {
		Architecture, OS string
		Config           struct {
			Entrypoint []string
			Labels     map[string]string
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	g.Expect(json.Unmarshal(config, &described)).To(Succeed())
	g.Expect(described.Architecture).To(Equal(runtime.GOARCH))
	g.Expect(described.OS).To(Equal("linux"))
	g.Expect(described.Config.Entrypoint).To(Equal([]string{"/loopcheck"}))
	g.Expect(described.Config.Labels).To(Equal(labels))
	g.Expect(described.RootFS.DiffIDs).To(Equal([]string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}))
	g.Expect(read(t, bytes.NewReader(layer))).To(Equal(map[string][]byte{"loopcheck": []byte("binary")}))
}

func TestServiceAnswersAndAsksUntilItsInputEnds(t *testing.T) {
	before := gleak.Goroutines()
	g := NewWithT(t)
	input, orders := io.Pipe()
	answers, output := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- Service(t.Context(), "it", []Address{{Host: "127.0.0.1"}, {UDP: true, Host: "127.0.0.1"}}, input, output)
	}()
	decoder := json.NewDecoder(answers)
	var ready Answer
	g.Expect(decoder.Decode(&ready)).To(Succeed())
	g.Expect(ready.Listens).To(HaveLen(2))
	for _, at := range ready.Listens {
		got := Ask(t.Context(), at)
		g.Expect(got.Outcome).To(Equal(Answered), "%s: %s", at, got)
		g.Expect(got.By).To(Equal("it"))
		g.Expect(got.Peer.Addr()).To(Equal(netip.MustParseAddr("127.0.0.1")))
	}
	encoder := json.NewEncoder(orders)
	g.Expect(encoder.Encode(order{Dial: ready.Listens[0]})).To(Succeed())
	var asked Answer
	g.Expect(decoder.Decode(&asked)).To(Succeed())
	g.Expect(asked.Outcome).To(Equal(Answered))
	g.Expect(orders.Close()).To(Succeed())
	g.Expect(<-ended).NotTo(HaveOccurred())
	g.Expect(Ask(t.Context(), ready.Listens[0]).Outcome).To(Equal(Refused), "the service is gone")
	g.Eventually(gleak.Goroutines).WithTimeout(10 * time.Second).ShouldNot(gleak.HaveLeaked(before))
}

func TestServiceThatCannotListenSaysSo(t *testing.T) {
	g := NewWithT(t)
	taken, err := Listen(t.Context(), "other", Address{Host: "127.0.0.1"})
	g.Expect(err).NotTo(HaveOccurred())
	defer taken.Close()
	var output bytes.Buffer
	g.Expect(Service(t.Context(), "it", []Address{taken.At}, strings.NewReader(""), &output)).NotTo(Succeed())
	var a Answer
	g.Expect(json.Unmarshal(output.Bytes(), &a)).To(Succeed())
	g.Expect(a.Failed).To(ContainSubstring("listen at " + taken.At.String()))
}

func TestOneThatSaysNothingOfItself(t *testing.T) {
	for text, want := range map[string]string{
		"SSH-2.0-OpenSSH\r\n": `somebody else answers: "SSH-2.0-OpenSSH\r\n"`,
		`{"name":""}`:         `somebody else answers: "{\"name\":\"\"}"`,
	} {
		if a := parseGreeting([]byte(text)); a.Outcome != Failed || a.Failed != want {
			t.Errorf("%q: %s", text, a)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, text := range []string{"tcp://127.0.0.1:80", "udp://[::1]:53", "tcp://:80", "tcp://host.docker.internal:8080"} {
		a, err := ParseAddress(text)
		if err != nil || a.String() != text {
			t.Errorf("%q: %q, %v", text, a, err)
		}
	}
	for _, text := range []string{"", "127.0.0.1:80", "http://127.0.0.1:80", "tcp://127.0.0.1", "tcp://127.0.0.1:65536", "tcp://::1:80"} {
		if a, err := ParseAddress(text); err == nil || !strings.Contains(err.Error(), "is no address") {
			t.Errorf("%q: %v, %v", text, a, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, text := range []string{"tcp://127.0.0.1:80", "udp://[fe80::1%eth0]:53", "tcp://:http", "://:", "tcp://[:80"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			return
		}
		if again, err := ParseAddress(a.String()); err != nil || again != a {
			t.Errorf("%q is %q, and that %q, %v", text, a, again, err)
		}
	})
}

func FuzzGreeting(f *testing.F) {
	for _, text := range []string{`{"name":"it","peer":"127.0.0.1:1"}`, `{"name":1}`, "", "[]", `{"name":"it","peer":""}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a := parseGreeting(text)
		if (a.Outcome == Answered) != (a.By != "") || (a.Outcome == Failed) != (a.Failed != "") {
			t.Errorf("%q: %+v", text, a)
		}
	})
}

func TestWhoIsOutlived(t *testing.T) {
	own, err := self()
	if err != nil {
		t.Skip(err)
	}
	if again, err := parseOwner(own.String()); err != nil || again != own {
		t.Errorf("%q is read as %+v, %v", own, again, err)
	}
	for name, c := range map[string]struct {
		change func(*owner)
		want   bool
	}{
		"itself":                          {func(*owner) {}, false},
		"before the boot":                 {func(o *owner) { o.boot = "another" }, true},
		"another of its number":           {func(o *owner) { o.start = "1" }, true},
		"a number that nobody has":        {func(o *owner) { o.pid = 1 << 30 }, true},
		"another container's of no start": {func(o *owner) { o.namespace, o.start = "pid:[1]", "1" }, false},
	} {
		other := own
		if c.change(&other); own.outlived(other) != c.want {
			t.Errorf("%s: %t", name, !c.want)
		}
	}
	for _, text := range []string{"", "<no value>", "b_1_2", "b_1_x_3", "b_1_0_3", "_1_2_3", "b_1_2_3_4"} {
		if o, err := parseOwner(text); err == nil {
			t.Errorf("%q is %+v", text, o)
		}
	}
}

// fake puts a program in the place of an engine's.
func fake(t *testing.T, name, script string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the program is a shell script")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestAnEngineThatDoesNotAnswer(t *testing.T) {
	fake(t, "docker", "echo 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
	_, err := Find(t.Context(), "docker")
	var silent *SilentError
	if !errors.As(err, &silent) || !strings.Contains(err.Error(), "docker does not answer: Cannot connect to the Docker daemon: start it with") {
		t.Errorf("%v", err)
	}
}

func TestAnEngineThatHangs(t *testing.T) {
	fake(t, "docker", "exec sleep 60\n")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Find(ctx, "docker"); !errors.As(err, new(*SilentError)) {
		t.Errorf("%v", err)
	}
}

func TestAnEngineThatAnswers(t *testing.T) {
	onKernel(t, "6.1.0")
	fake(t, "podman", "printf '5.2.1\\ntrue\\n6.1.0\\nfalse\\n'\n")
	e, err := Find(t.Context(), "podman")
	if err != nil || e.Version != "5.2.1" || !e.Rootless {
		t.Errorf("%+v, %v", e, err)
	}
}

// onKernel makes the test's machine one of another kernel, and of no engine's
// environment.
func onKernel(t *testing.T, release string) {
	t.Helper()
	before := kernelRelease
	t.Cleanup(func() { kernelRelease = before })
	kernelRelease = func() (string, error) { return release, nil }
	for _, name := range []string{"DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST", "CONTAINER_CONNECTION"} {
		t.Setenv(name, "")
	}
}

func TestOnlyAnEngineOfThisMachineIsFound(t *testing.T) {
	const docker = "case $1 in context) echo %s ;; info) printf '28.0\\n[name=seccomp]\\n%s\\n%s\\n' ;; esac\n"
	const podman = "printf '5.2.1\\nfalse\\n6.1.0\\n%s\\n'\n"
	for name, c := range map[string]struct {
		engine, script string
		environment    map[string]string
		where          string // empty where it is found
	}{
		"docker, a local socket":  {"docker", fmt.Sprintf(docker, "unix:///run/docker.sock", "6.1.0", "Debian"), nil, ""},
		"docker, by TCP":          {"docker", fmt.Sprintf(docker, "tcp://127.0.0.1:2375", "6.1.0", "Debian"), nil, "tcp://127.0.0.1:2375"},
		"docker, by ssh":          {"docker", fmt.Sprintf(docker, "ssh://me@far", "6.1.0", "Debian"), nil, "ssh://me@far"},
		"docker, Desktop":         {"docker", fmt.Sprintf(docker, "unix:///run/docker.sock", "6.1.0", "Docker Desktop"), nil, "Docker Desktop"},
		"docker, another kernel":  {"docker", fmt.Sprintf(docker, "unix:///run/docker.sock", "6.1.0-vm", "Debian"), nil, "its kernel is"},
		"podman, no connection":   {"podman", fmt.Sprintf(podman, "false"), nil, ""},
		"podman, a default":       {"podman", fmt.Sprintf(podman, "true"), nil, "podman system connection list"},
		"podman, a local socket":  {"podman", fmt.Sprintf(podman, "true"), map[string]string{"CONTAINER_HOST": "unix:///run/podman.sock"}, ""},
		"podman, by ssh":          {"podman", fmt.Sprintf(podman, "true"), map[string]string{"CONTAINER_HOST": "ssh://me@far"}, "ssh://me@far"},
		"podman, of a connection": {"podman", fmt.Sprintf(podman, "true"), map[string]string{"CONTAINER_CONNECTION": "far"}, "the connection far"},
	} {
		t.Run(name, func(t *testing.T) {
			onKernel(t, "6.1.0")
			fake(t, c.engine, c.script)
			for name, value := range c.environment {
				t.Setenv(name, value)
			}
			_, err := Find(t.Context(), c.engine)
			elsewhere, ok := errors.AsType[*ElsewhereError](err)
			if (c.where == "") != (err == nil) || ok && !strings.Contains(elsewhere.Where, c.where) || err != nil && !ok {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAnEngineThatIsNotThere(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Find(t.Context(), "podman"); !errors.As(err, new(*MissingError)) {
		t.Errorf("%v", err)
	}
}

// An engine that starts no container says why, once.
func TestAnEngineThatStartsNoContainer(t *testing.T) {
	onKernel(t, "6.1.0")
	fake(t, "docker", `case $1 in
context) echo unix:///run/docker.sock ;;
info) printf '28.0\n[name=seccomp]\n6.1.0\nDebian\n' ;;
load) cat >/dev/null ;;
run) echo 'no space left on device' >&2; exit 125 ;;
esac
`)
	g := NewWithT(t)
	s := startedSession(t)
	_, err := s.Run(t.Context(), Options{})
	g.Expect(err).To(MatchError(ContainSubstring("docker run: no space left on device")))
	g.Expect(s.Broken()).To(MatchError(err.Error()))
	g.Expect(s.Close(t.Context())).To(Succeed())
	_, err = s.Run(t.Context(), Options{})
	g.Expect(err).To(MatchError(errClosed))
}

func TestOnlyAStaticBinaryGoesIntoAnImage(t *testing.T) {
	// The headers of an ELF file for x86-64 with one segment.
	made := func(segment elf.ProgType) string {
		var b bytes.Buffer
		header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64}
		copy(header.Ident[:], elf.ELFMAG+"\x02\x01\x01")
		if err := errors.Join(binary.Write(&b, binary.LittleEndian, header), binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(segment)})); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "binary")
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	g := NewWithT(t)
	g.Expect(Static(made(elf.PT_LOAD))).To(Succeed())
	dynamic := made(elf.PT_INTERP)
	g.Expect(Static(dynamic)).To(MatchError(&InterpreterError{dynamic}))
}
