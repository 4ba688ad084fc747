package spec

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"github.com/onsi/gomega/format"
)

// A failure's message stands in a report that is read by people who know
// networks, not Go, and compared with the report before. Gomega's own messages
// hold types, fields and addresses in memory; here they hold what was expected
// and what was seen.
func init() {
	format.RegisterCustomFormatter(formatValue)
	// Gomega points at where two long strings differ, by a column that counts
	// the type before them; whole, they are short enough here.
	format.TruncatedDiff = false
}

// useFailHandler makes the messages of Gomega's assertions plain. Each spec asks
// for it anew, so that it holds whoever runs the specs and whatever handler was
// registered before.
func useFailHandler() {
	gomega.RegisterFailHandler(func(message string, callerSkip ...int) {
		skip := 1
		for _, frames := range callerSkip {
			skip += frames
		}
		ginkgo.Fail(hide(plain(message)), skip)
	})
}

// shownBytes is how much of a payload a message shows.
const shownBytes = 64

// formatValue prints a value as its own text, where it has one.
func formatValue(value any) (string, bool) {
	switch v := value.(type) {
	case error:
		return v.Error(), true
	case time.Time:
		// Its String has the monotonic clock in it, Gomega's form has not.
		return "", false
	case fmt.Stringer:
		return v.String(), true
	case []byte:
		if len(v) > shownBytes {
			return fmt.Sprintf("%q… (%d bytes)", v[:shownBytes], len(v)), true
		}
		return fmt.Sprintf("%q (%d bytes)", v, len(v)), true
	case string:
		// Nothing at all would look like a line that was forgotten.
		return `""`, v == ""
	}
	return "", false
}

// typeName is what Gomega puts before every value, on the value's line or, of
// an error, on a line of its own; pointer is what it holds of those inside.
var (
	typeName = regexp.MustCompile(`^( {4,})<[^>]+>: ?`)
	pointer  = regexp.MustCompile(` \| 0x[0-9a-f]+>`)
)

// plain takes out of a Gomega message what only Go's type system knows. No
// formatter can: Gomega writes it around what formatters return.
func plain(message string) string {
	var kept []string
	lines := strings.Split(message, "\n")
	for i := 0; i < len(lines); i++ {
		bare := typeName.ReplaceAllString(lines[i], "$1")
		if bare != lines[i] && strings.TrimSpace(bare) == "" {
			// An error: its text follows, and then the formatter's, the same.
			once := doubled(lines[i+1:])
			kept = appendError(kept, lines[i+1:i+1+once])
			i += 2 * once
			continue
		}
		kept = append(kept, pointer.ReplaceAllString(bare, ">"))
	}
	text := strings.Join(kept, "\n")
	if strings.Contains(text, unexpected+"\n") {
		text = strings.TrimSuffix(text, "\noccurred")
	}
	return text
}

// unexpected begins what Gomega says of an error that was not to be.
const unexpected = "Unexpected error:"

// appendError adds the lines of an error, unless they stand there already: of
// the error that comes with a value, Gomega says all of it once more.
func appendError(kept, text []string) []string {
	if len(text) > 0 && len(text) <= len(kept) {
		last := kept[len(kept)-len(text):]
		first, found := strings.CutPrefix(last[0], unexpected+" ")
		if found && sameLines(append([]string{first}, last[1:]...), text) {
			kept = append(kept[:len(kept)-len(text)], unexpected)
		}
	}
	return append(kept, text...)
}

// doubled counts the lines that the beginning of the text says twice, whatever
// their indentation.
func doubled(lines []string) int {
	for n := len(lines) / 2; n > 0; n-- {
		if sameLines(lines[:n], lines[n:2*n]) {
			return n
		}
	}
	return 0
}

func sameLines(a, b []string) bool {
	return slices.EqualFunc(a, b, func(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) })
}
