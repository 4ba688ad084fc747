package ruleset

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Of large rulesets mutants are listed at once, and in little memory.
func TestMutantsOfMany(t *testing.T) {
	need(t, "nft")
	var rules, ports, ranges, verdicts []string
	for i := range 1000 {
		rules = append(rules, fmt.Sprintf("ip saddr 10.1.%d.%d tcp dport %d accept", i/250, i%250, 2000+i))
	}
	for i := range 4000 {
		ports = append(ports, fmt.Sprint(1000+3*i))
		ranges = append(ranges, fmt.Sprintf("10.%d.%d.8-10.%d.%d.20", i/250, i%250, i/250, i%250))
		verdicts = append(verdicts, fmt.Sprintf("%d : accept", 1000+3*i))
	}
	chain := "chain c { type filter hook input priority 0; %s\n}"
	list := func(elements []string) string { return "{ " + strings.Join(elements, ", ") + " }" }
	for name, c := range map[string]struct {
		text, note string
		// most is how many mutants there may be.
		most int
	}{
		"rules":    {text: fmt.Sprintf(chain, strings.Join(rules, "\n")), most: 20000},
		"ports":    {"set s { type inet_service; elements = " + list(ports) + "; }", "set s: 256 of its 4000 elements are mutated", 3 * 256},
		"ranges":   {"set s { type ipv4_addr; flags interval; elements = " + list(ranges) + "; }", "set s: 256 of its 4000 elements are mutated", 4 * 256},
		"verdicts": {fmt.Sprintf(chain, "tcp dport 1 drop\ntcp dport vmap "+list(verdicts)), "the set in rule 2 of chain c: 256 of its 4000 elements are mutated", 4*256 + 20},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			loadText(t, s, "original", "table inet t {\n"+c.text+"\n}\n")
			r := read(t, s, "original")
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			began := time.Now()
			mutants, notes := r.Mutants()
			took := time.Since(began)
			runtime.GC()
			runtime.ReadMemStats(&after)
			held := int64(after.HeapAlloc) - int64(before.HeapAlloc)
			runtime.KeepAlive(r)
			t.Logf("%d mutants, %v, %d KiB", len(mutants), took, held>>10)
			if len(mutants) < 256 || len(mutants) > c.most {
				t.Errorf("%d mutants", len(mutants))
			}
			if held > 20<<20 {
				t.Errorf("they hold %d MiB", held>>20)
			}
			if took > 5*time.Second {
				t.Errorf("listing them took %v", took)
			}
			if got := strings.Join(notes, "; "); got != c.note {
				t.Errorf("notes %q", got)
			}
			ends := 0
			for _, m := range mutants {
				if strings.HasPrefix(m.Change, "the end of a range") {
					ends++
				}
			}
			if name == "ranges" && (ends == 0 || ends > 2*256) {
				t.Errorf("%d mutants of ends", ends)
			}
			for _, m := range []Mutant{mutants[1], mutants[len(mutants)-1]} {
				if _, err := ReplaceIn(t.Context(), s, "copy", "", m.Ruleset()); err != nil {
					t.Errorf("%s: %v", m.Change, err)
				}
			}
		})
	}
}
