package report

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// What Read takes of lists: a document of a few MiB could otherwise hold millions of
// empty checks, each of which is some hundred bytes in memory. A run with every check
// has some two thousand elements in lists.
const (
	// maxElements bounds the elements of all lists together, but for restarts.
	maxElements = 100_000
	// maxRestarts bounds those of all benchmarks together: a thousand of 500 each.
	maxRestarts = 500_000
)

// bounded says whether the lists of a document are too long to be read. What is
// otherwise wrong with it is for others to say.
func bounded(document []byte) error {
	if bytes.Count(document, []byte(",")) < maxElements {
		return nil // no list is as long
	}
	type level struct {
		name        string // of the list, or of the value that is next in the object
		list, named bool
	}
	var stack []level
	elements, restarts := 0, 0
	for tokens := json.NewDecoder(bytes.NewReader(document)); ; {
		token, err := tokens.Token()
		if err != nil {
			return nil
		}
		delimiter, _ := token.(json.Delim)
		if delimiter == ']' || delimiter == '}' {
			stack = stack[:len(stack)-1]
			continue
		}
		name := ""
		if len(stack) > 0 {
			top := &stack[len(stack)-1]
			if !top.list && !top.named {
				top.name, _ = token.(string)
				top.named = true
				continue
			}
			name, top.named = top.name, false
			switch {
			case !top.list:
			case name == "restarts":
				restarts++
			default:
				elements++
			}
		}
		switch {
		case elements > maxElements:
			return fmt.Errorf("its lists have more than %d elements, which no run writes", maxElements)
		case restarts > maxRestarts:
			return fmt.Errorf("it has more than %d restarts", maxRestarts)
		}
		if delimiter != 0 {
			stack = append(stack, level{name: name, list: delimiter == '['})
		}
	}
}
