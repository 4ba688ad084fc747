package http

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/browser"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// process is one by its ID and when it began, which tells it from a later one of that
// ID (proc_stat(5), fields 4 and 22).
type process struct{ id, parent, began string }

// processes are those of the machine that have not ended: who adopted one that has may
// be slow to reap it.
func processes() (all []process) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		// One that ended meanwhile cannot be read, and need not be.
		text, _ := os.ReadFile(path)
		// The name, in parentheses, may hold anything.
		if fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])); len(fields) > 19 && fields[0] != "Z" {
			all = append(all, process{filepath.Base(filepath.Dir(path)), fields[1], fields[19]})
		}
	}
	return all
}

// below are the processes that a process started, and those that these did.
func below(id string) (found []process) {
	all := processes()
	for ids := []string{id}; len(ids) > 0; ids = ids[1:] {
		for _, p := range all {
			if p.parent == ids[0] {
				found, ids = append(found, p), append(ids, p.id)
			}
		}
	}
	return found
}

// isRenderer says whether a process is one of a browser's pages.
func isRenderer(p process) bool {
	line, _ := os.ReadFile("/proc/" + p.id + "/cmdline")
	return bytes.Contains(line, []byte("--type=renderer"))
}

// The browser and all that it forked end with a run that is killed.
func TestNoBrowserOutlivesTheRun(t *testing.T) {
	if _, err := browser.Find(); err != nil {
		t.Skip("no browser: install Debian's package " + browser.Package)
	}
	if s, err := sandbox.Start(t.Context(), sandbox.Config{}); err != nil {
		t.Skip(err)
	} else if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	const patience = 30 * time.Second
	g := NewWithT(t)
	run := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestHTTP$", "-ginkgo.label-filter=/HTTP-05./")
	g.Expect(run.Start()).To(Succeed())
	var started []process
	g.Eventually(func() bool {
		started = below(strconv.Itoa(run.Process.Pid))
		return slices.ContainsFunc(started, isRenderer)
	}).WithTimeout(patience).Should(BeTrue(), "whether the browser has opened a page")
	g.Expect(run.Process.Kill()).To(Succeed())
	_ = run.Wait() // it was killed
	g.Eventually(func() []process {
		return slices.DeleteFunc(processes(), func(p process) bool {
			return !slices.ContainsFunc(started, func(s process) bool { return s.id == p.id && s.began == p.began })
		})
	}).WithTimeout(patience).Should(BeEmpty(), "processes that are left")
}
