package mock

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// text is what stands in a file with places for what a request holds, such as
// "user ${path.id}".
type text []piece

// piece is literal, or one value of the request.
type piece struct {
	literal string
	value   func(input) string // nil for a literal
	// number says that in JSON the value is a number where it reads as one.
	number bool
}

// input is what a request holds.
type input struct {
	request *http.Request
	body    []byte
	count   int
}

const places = "path.NAME, query.NAME, header.NAME, method, body, count"

// parseText reads the places of a text. Pattern is that of the route, and says
// which names the path has.
func parseText(s, pattern string) (text, error) {
	var t text
	for s != "" {
		before, rest, found := strings.Cut(s, "${")
		if !found {
			return append(t, piece{literal: s}), nil
		}
		if literal, escaped := strings.CutSuffix(before, "$"); escaped {
			t, s = append(t, piece{literal: literal + "${"}), rest
			continue
		}
		inner, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, errors.New("`${` without `}`: close it, or write `$${` for the characters themselves")
		}
		p, err := parsePlace(inner, pattern)
		if err != nil {
			return nil, err
		}
		if before != "" {
			t = append(t, piece{literal: before})
		}
		t, s = append(t, p), after
	}
	return t, nil
}

func parsePlace(inner, pattern string) (piece, error) {
	what, number := strings.CutSuffix(inner, ":number")
	kind, name, named := strings.Cut(what, ".")
	p := piece{number: number}
	switch {
	case kind == "path" && named:
		if !hasWildcard(pattern, name) {
			return p, fmt.Errorf("${%s}: the route has no {%s}: name one of its own", inner, name)
		}
		p.value = func(in input) string { return in.request.PathValue(name) }
	case kind == "query" && name != "":
		p.value = func(in input) string { return in.request.URL.Query().Get(name) }
	case kind == "header" && name != "":
		p.value = func(in input) string { return in.request.Header.Get(name) }
	case what == "method":
		p.value = func(in input) string { return in.request.Method }
	case what == "body":
		p.value = func(in input) string { return string(in.body) }
	case what == "count":
		p.value = func(in input) string { return strconv.Itoa(in.count) }
	default:
		return p, fmt.Errorf("${%s}: write one of %s, or `$${` for the characters themselves", inner, places)
	}
	return p, nil
}

// wildcard is one of a pattern of http.ServeMux.
var wildcard = regexp.MustCompile(`\{([^}]*?)(?:\.\.\.)?\}`)

func hasWildcard(pattern, name string) bool {
	for _, match := range wildcard.FindAllStringSubmatch(pattern, -1) {
		if match[1] == name && name != "$" && name != "" {
			return true
		}
	}
	return false
}

func (t text) of(in input) string {
	if len(t) == 1 && t[0].value == nil {
		return t[0].literal
	}
	var b strings.Builder
	for _, p := range t {
		if p.value == nil {
			b.WriteString(p.literal)
		} else {
			b.WriteString(p.value(in))
		}
	}
	return b.String()
}

// jsonOf is the text as a value of JSON: a string, or a number where the text is one
// place that is to be one.
func (t text) jsonOf(in input) []byte {
	s := t.of(in)
	if len(t) == 1 && t[0].number && isNumber(s) {
		return []byte(s)
	}
	return quoted(s)
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil && json.Valid([]byte(s))
}
