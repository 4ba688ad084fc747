package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/faults"
)

// page is what is published.
type page struct {
	started  time.Time
	took     time.Duration
	rounds   int
	outcomes []outcome
	cleans   []clean
	sampled  int
	differ   []string // the sampled faults of which a run of everything says otherwise
}

// sample compares what a run of everything said with what was said before.
func (p *page) sample(again []outcome) {
	for _, a := range again {
		if a.Missing != "" {
			continue
		}
		p.sampled++
		i := slices.IndexFunc(p.outcomes, func(o outcome) bool { return o.Name == a.Name })
		before := p.outcomes[i]
		if a.Err != nil || a.Noticed != before.Noticed || a.Named != before.Named {
			p.differ = append(p.differ, fmt.Sprintf("%s (%s; with everything %s)", a.Name, before.found(), a.found()))
		}
	}
}

// sound says whether all was asked, and nothing said of a stack in order.
func (p page) sound() bool {
	return !slices.ContainsFunc(p.outcomes, func(o outcome) bool { return o.Err != nil }) &&
		!slices.ContainsFunc(p.cleans, func(c clean) bool { return c.Err != nil || len(c.Alarms) > 0 })
}

func (o outcome) found() string {
	switch {
	case o.Err != nil:
		return "not injected: " + o.Err.Error()
	case o.Noticed && o.Named:
		return "flagged, cause named"
	case o.Noticed:
		return "flagged"
	case o.Inconclusive:
		return "inconclusive"
	case o.Named:
		return "not flagged, cause named"
	}
	return "not found"
}

func (o outcome) verdict() string {
	switch {
	case o.Missing != "":
		return "not asked: " + o.Missing
	case o.Mended:
		return o.found() + ", mended"
	}
	return o.found()
}

func (c clean) verdict() string {
	switch {
	case c.Missing != "":
		return "not asked: " + c.Missing
	case c.Err != nil:
		return "not set up: " + c.Err.Error()
	case len(c.Alarms) > 0:
		return "FALSE ALARM: " + strings.Join(c.Alarms, "; ")
	}
	return "clean"
}

// publish writes the page to a file, or to stdout.
func (p page) publish(path string, stdout io.Writer) error {
	if path == "" {
		_, err := io.WriteString(stdout, p.markdown())
		return err
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", path) // a device would be replaced
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, []byte(p.markdown()), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

const intro = `# What loopcheck finds

Made by ` + "`make faultlab`" + `; do not edit. Each fault is injected into a private stack of its own, and the built binary is run there. A fault counts as

- **flagged** when every check that has to notice it fails or warns. Where the fault takes away what a check needs, a skip that names the cause counts too. What is inconclusive is not flagged.
- **named** when a printed cause is the very thing that was done, by its name, rule or setting.
- **mended** when the printed remedies, run as they are, bring the stack back to what it was before: rules, settings, links, addresses, routes, queues, mounts and the files about names, and nothing else changed. Faults that no command can mend are not counted there.

What is asked of each stands in [lab/faults](../lab/faults); nothing is taken out of that list or asked less of.

`

func (p page) markdown() string {
	var b strings.Builder
	b.WriteString(intro)
	var uts unix.Utsname
	_ = unix.Uname(&uts) // without it the line says less
	fmt.Fprintf(&b, "%s, Linux %s, %s, %d CPUs. One pass took %v.\n\n", p.started.UTC().Format(time.DateOnly),
		unix.ByteSliceToString(uts.Release[:]), runtime.GOARCH, runtime.NumCPU(), p.took.Round(time.Second))
	if len(p.outcomes) > 0 {
		p.families(&b)
	}
	if p.sampled > 0 {
		fmt.Fprintf(&b, "Of each fault only those checks are run that can notice it. %d faults were asked again with all checks: ", p.sampled)
		if len(p.differ) == 0 {
			b.WriteString("the outcome was the same for all.\n\n")
		} else {
			fmt.Fprintf(&b, "it was otherwise for %s.\n\n", strings.Join(p.differ, ", "))
		}
	}
	if len(p.cleans) > 0 {
		p.alarms(&b)
	}
	if len(p.outcomes) > 0 {
		p.shortfalls(&b)
		p.each(&b)
	}
	return b.String()
}

type tally struct{ asked, flagged, named, mendable, mended, inconclusive, missing int }

func (t *tally) add(o outcome) {
	if o.Missing != "" || o.Err != nil {
		t.missing++
		return
	}
	t.asked++
	count := func(n *int, yes bool) {
		if yes {
			*n++
		}
	}
	count(&t.flagged, o.Noticed)
	count(&t.named, o.Named)
	count(&t.mendable, o.NoRemedy == "")
	count(&t.mended, o.Mended)
	count(&t.inconclusive, o.Inconclusive)
}

func (t tally) row(name string) string {
	return fmt.Sprintf("| %s | %d | %s | %s | %s | %d | %d |\n", name, t.asked,
		share(t.flagged, t.asked), share(t.named, t.asked), share(t.mended, t.mendable), t.inconclusive, t.missing)
}

func share(n, of int) string {
	if of == 0 {
		return "–"
	}
	return fmt.Sprintf("%d of %d (%d %%)", n, of, 100*n/of)
}

func (p page) families(b *strings.Builder) {
	b.WriteString("| family | faults | flagged | cause named | mended | inconclusive | not asked |\n|---|--:|--:|--:|--:|--:|--:|\n")
	var all tally
	for _, family := range faults.Families() {
		var t tally
		for _, o := range p.outcomes {
			if o.Family == family {
				t.add(o)
				all.add(o)
			}
		}
		b.WriteString(t.row(family))
	}
	b.WriteString(all.row("**all**") + "\n")
}

func (p page) alarms(b *strings.Builder) {
	var asked, alarmed int
	for _, c := range p.cleans {
		if c.Missing == "" && c.Err == nil {
			asked++
			if len(c.Alarms) > 0 {
				alarmed++
			}
		}
	}
	fmt.Fprintf(b, "## Machines in order\n\nOf %d runs of all checks on stacks that are in order, %d said something was wrong or could not be decided.\n\n", asked, alarmed)
	b.WriteString("| variant | | runs | flagged |\n|---|---|--:|---|\n")
	for _, v := range faults.Variants() {
		runs, said := 0, []string{}
		for _, c := range p.cleans {
			switch {
			case c.Name != v.Name:
			case c.Missing != "" || c.Err != nil:
				said = append(said, c.verdict())
			default:
				runs++
				said = append(said, c.Alarms...)
			}
		}
		fmt.Fprintf(b, "| %s | %s | %d | %s |\n", v.Name, cell(v.About), runs, cell(strings.Join(said, "; ")))
	}
	b.WriteString("\n")
}

// shortfalls lists what was not reached, with the reason where one is known.
func (p page) shortfalls(b *strings.Builder) {
	var lines []string
	for _, o := range p.outcomes {
		if o.Missing != "" || o.Err != nil || o.Noticed && o.Named && (o.Mended || o.NoRemedy != "") {
			continue
		}
		lines = append(lines, fmt.Sprintf("- %s: %s. %s\n", o.Name, o.verdict(), cmp.Or(o.Beyond, "No reason is known: it ought to be.")))
	}
	if len(lines) > 0 {
		fmt.Fprintf(b, "## What is not reached\n\n%s\n", strings.Join(lines, ""))
	}
}

func (p page) each(b *strings.Builder) {
	b.WriteString("## Each fault\n\n| fault | what it does to services | flagged | cause named | mended | also named |\n|---|---|---|---|---|---|\n")
	for _, o := range p.outcomes {
		if o.Missing != "" || o.Err != nil {
			fmt.Fprintf(b, "| %s | %s | %s | | | |\n", o.Name, cell(o.Hurts), cell(o.verdict()))
			continue
		}
		flagged, mended := mark(o.Noticed), mark(o.Mended)
		if o.Inconclusive {
			flagged = "inconclusive"
		}
		if o.NoRemedy != "" {
			mended = "–"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", o.Name, cell(o.Hurts), flagged, mark(o.Named), mended, cell(strings.Join(o.Unexpected, ", ")))
	}
}

func mark(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// cell keeps a text in its cell.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(text)
}
