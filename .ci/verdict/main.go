// Command verdict reads the output of `go test -json`, prints what failed and
// how many tests there were, and refuses skips of what was provided.
//
// It exits with 1 when a test failed, when one was skipped for another reason
// than those that are the machine's own, or when none was run.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// event is a line of test2json (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// machines are the reasons for a skip that no package of a distribution
// mends.
var machines = regexp.MustCompile(`IPv6|user namespace|private (network )?namespace|private mount|this kernel|no two processors`)

// specsRun is in the last line of a Ginkgo suite, between colours.
var specsRun = regexp.MustCompile(`(\d+) Passed`)

func main() {
	provided := len(os.Args) > 1 && os.Args[1] == "-provided"
	counts := map[string]int{}
	output := map[string]*strings.Builder{}
	var refused []string
	specs := 0

	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Action == "" {
			fmt.Println(lines.Text()) // of make, or of the compiler
			continue
		}
		key := e.Package + " " + e.Test
		text := output[key]
		if text == nil {
			text = &strings.Builder{}
			output[key] = text
		}
		switch e.Action {
		case "output", "build-output":
			text.WriteString(e.Output)
			if m := specsRun.FindStringSubmatch(e.Output); m != nil {
				n, _ := strconv.Atoi(m[1])
				specs += n
			}
			if e.Action == "build-output" {
				fmt.Print(e.Output)
			}
		case "pass", "fail", "skip":
			if e.Test == "" {
				if e.Action != "skip" {
					fmt.Printf("%s\t%s\n", e.Action, e.Package)
				}
				if e.Action == "fail" {
					counts["package"]++
					fmt.Print(text.String())
				}
				continue
			}
			counts[e.Action]++
			if e.Action == "fail" {
				fmt.Print(text.String())
			}
			if e.Action == "skip" && !machines.MatchString(text.String()) {
				refused = append(refused, key+"\n"+text.String())
			}
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Println("read the tests' output:", err)
		os.Exit(1)
	}
	failed := counts["fail"] > 0 || counts["package"] > 0 || counts["pass"] == 0
	if provided && len(refused) > 0 {
		fmt.Printf("skipped although it was provided:\n%s\n", strings.Join(refused, "\n"))
		failed = true
	}
	fmt.Printf("specs run by the suites' own tests: %d\n", specs)
	fmt.Printf("%d passed, %d failed, %d skipped\n", counts["pass"], counts["fail"], counts["skip"])
	if failed {
		os.Exit(1)
	}
}
