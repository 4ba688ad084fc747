// Package userfile reads YAML files that people write: every error is one line
// that names the file, the line and what to write, unknown keys and keys that
// stand twice are errors, and nothing is read that could not be such a file.
package userfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxBytes is far above what a person writes.
const maxBytes = 1 << 20

// Error is a mistake in a file.
type Error struct {
	Path string
	// Line is counted from 1; 0 where it is about the file as a whole.
	Line    int
	Message string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.Path, e.Message)
	}
	return fmt.Sprintf("%s:%d: %s", e.Path, e.Line, e.Message)
}

// Read reads a file; what says what it ought to be, such as "an allow-list".
func Read(path, what string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return ReadFrom(f, path, what)
}

// ReadFrom is Read of what is open already; path stands in the errors.
func ReadFrom(source io.Reader, path, what string) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(source, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxBytes {
		return nil, &Error{Path: path, Message: fmt.Sprintf("larger than %d bytes: is it %s?", maxBytes, what)}
	}
	return content, nil
}

// Parse reads the one document of a file. Where the file is empty the error says
// what to begin with.
func Parse(path string, content []byte, begin string) (Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document yaml.Node
	err := decoder.Decode(&document)
	switch {
	case errors.Is(err, io.EOF):
		return Node{}, &Error{Path: path, Message: "it is empty: " + begin}
	case err != nil:
		return Node{}, syntaxError(path, content, err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Node{}, &Error{Path: path, Message: "holds more than one document: write one"}
	}
	return Node{path, document.Content[0]}, nil
}

// syntaxError says where a file is no YAML. Where yaml names no line, it is the last of
// the fewest lines that have the same error.
func syntaxError(path string, content []byte, err error) error {
	e := &Error{Path: path, Message: oneLine(strings.TrimPrefix(err.Error(), "yaml: "))}
	if strings.HasPrefix(e.Message, "line ") {
		return e
	}
	lines := bytes.SplitAfter(content, []byte("\n"))
	e.Line = 1 + sort.Search(len(lines)-1, func(i int) bool {
		again := yaml.Unmarshal(bytes.Join(lines[:i+1], nil), new(yaml.Node))
		return again != nil && again.Error() == err.Error()
	})
	return e
}

// oneLine keeps what stands in the file from breaking the line of an error.
func oneLine(text string) string { return strings.ReplaceAll(text, "\n", " ") }

// Node is a value in a file.
type Node struct {
	path string
	node *yaml.Node
}

// Line is where the value stands.
func (n Node) Line() int { return n.node.Line }

// Fault is an error about the value.
func (n Node) Fault(format string, args ...any) error {
	return &Error{Path: n.path, Line: n.node.Line, Message: oneLine(fmt.Sprintf(format, args...))}
}

// IsText says that it is one value, and not a list or more keys.
func (n Node) IsText() bool {
	return n.node.Kind == yaml.ScalarNode && n.node.Tag != "!!null" && n.node.Value != ""
}

// IsList says that it is a list.
func (n Node) IsList() bool { return n.node.Kind == yaml.SequenceNode }

// IsMapping says that it is `key: value` lines.
func (n Node) IsMapping() bool { return n.node.Kind == yaml.MappingNode }

// Plain is one value as JSON knows it: a string, a json.Number, an int64 or float64
// where JSON writes the number otherwise, a bool or nil. What only YAML has, such as a
// date, is a string.
func (n Node) Plain(key string) (any, error) {
	if n.node.Kind == yaml.AliasNode {
		return nil, n.Fault("%s: write the value itself, not an alias", key)
	}
	isNumber := n.node.Tag == "!!int" || n.node.Tag == "!!float"
	if isNumber && json.Valid([]byte(n.node.Value)) {
		return json.Number(n.node.Value), nil
	}
	var value any
	switch n.node.Tag {
	case "!!null":
		return nil, nil
	case "!!int":
		value = new(int64)
	case "!!float":
		value = new(float64)
	case "!!bool":
		value = new(bool)
	default:
		return n.node.Value, nil
	}
	if err := n.node.Decode(value); err != nil {
		return nil, n.Fault("%s: %q is too large: write it in quotes", key, n.node.Value)
	}
	switch value := value.(type) {
	case *int64:
		return *value, nil
	case *float64:
		if math.IsInf(*value, 0) || math.IsNaN(*value) {
			return nil, n.Fault("%s: JSON has no %s: write it in quotes", key, n.node.Value)
		}
		return *value, nil
	}
	return *value.(*bool), nil
}

// Text is one value; the error is about the key that it belongs to.
func (n Node) Text(key string) (string, error) {
	if !n.IsText() {
		return "", n.Fault("%s: write one value", key)
	}
	return n.node.Value, nil
}

// List are the values of a list, or the one that stands in its place.
func (n Node) List(key string) ([]Node, error) {
	if n.IsText() {
		return []Node{n}, nil
	}
	if !n.IsList() {
		return nil, n.Fault("%s: write a value or a list", key)
	}
	return n.Items(), nil
}

// Items are the values of a list.
func (n Node) Items() []Node {
	var items []Node
	for _, item := range n.node.Content {
		items = append(items, Node{n.path, item})
	}
	return items
}

// Texts are the values of a list of plain values, or the one that stands in its
// place.
func (n Node) Texts(key string) ([]string, error) {
	items, err := n.List(key)
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, item := range items {
		text, err := item.Text(key)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// Mapping are the values of a mapping whose keys have to be known.
func (n Node) Mapping(what string, known ...string) (map[string]Node, error) {
	fields := map[string]Node{}
	pairs, err := n.Pairs(what, "with "+strings.Join(known, ", "))
	if err != nil {
		return nil, err
	}
	for _, p := range pairs {
		if !slices.Contains(known, p.Key) {
			return nil, p.At.Fault("unknown key %q: write one of %s", p.Key, strings.Join(known, ", "))
		}
		if p.Value.node.Kind == yaml.AliasNode {
			return nil, p.Value.Fault("%s: write the value itself, not an alias", p.Key)
		}
		fields[p.Key] = p.Value
	}
	return fields, nil
}

// Pair is one line of a mapping.
type Pair struct {
	Key string
	// At is where the key stands.
	At, Value Node
}

// Pairs are the lines of a mapping, in order. No key stands twice.
func (n Node) Pairs(what, hint string) ([]Pair, error) {
	if n.node.Kind != yaml.MappingNode {
		return nil, n.Fault("expected %s as `key: value` lines %s", what, hint)
	}
	var pairs []Pair
	for i := 0; i+1 < len(n.node.Content); i += 2 {
		key, value := Node{n.path, n.node.Content[i]}, Node{n.path, n.node.Content[i+1]}
		if slices.ContainsFunc(pairs, func(p Pair) bool { return p.Key == key.node.Value }) {
			return nil, key.Fault("%q is set twice", key.node.Value)
		}
		pairs = append(pairs, Pair{key.node.Value, key, value})
	}
	return pairs, nil
}
