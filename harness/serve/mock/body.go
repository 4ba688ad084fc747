package mock

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/loopcheck/loopcheck/harness/serve/files"
	"github.com/loopcheck/loopcheck/probe/userfile"
)

// body is what an answer carries.
type body interface {
	// open returns the content and its size in bytes. What is returned is closed
	// by the caller.
	open(in input, folder *os.Root) (content io.ReadCloser, size int64, err error)
	// kind is its media type, where the headers do not say.
	kind() string
}

type textBody struct{ text }

func (b textBody) open(in input, _ *os.Root) (io.ReadCloser, int64, error) {
	s := b.of(in)
	return io.NopCloser(strings.NewReader(s)), int64(len(s)), nil
}

func (textBody) kind() string { return "text/plain; charset=utf-8" }

// fileBody is read anew for each request, from the folder of the routes.
type fileBody struct{ name, mediaType string }

func (b fileBody) open(_ input, folder *os.Root) (io.ReadCloser, int64, error) {
	f, info, err := files.Open(folder, b.name)
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func (b fileBody) kind() string { return b.mediaType }

// jsonBody is a value whose strings are texts with places.
type jsonBody struct{ value jsonValue }

func (b jsonBody) open(in input, _ *os.Root) (io.ReadCloser, int64, error) {
	var out bytes.Buffer
	b.value.write(&out, in)
	out.WriteByte('\n')
	return io.NopCloser(&out), int64(out.Len()), nil
}

func (jsonBody) kind() string { return "application/json" }

// jsonValue is a value of JSON that keeps the order of its keys.
type jsonValue struct {
	literal []byte // a number, true, false or null
	text    text   // a string
	keys    [][]byte
	parts   []jsonValue // of an object, one a key, or of a list
	open    byte        // '{', '[', or 0 for neither
}

func (v jsonValue) write(out *bytes.Buffer, in input) {
	switch v.open {
	case 0:
		if v.literal != nil {
			out.Write(v.literal)
			return
		}
		out.Write(v.text.jsonOf(in))
		return
	case '{':
		defer out.WriteByte('}')
	case '[':
		defer out.WriteByte(']')
	}
	out.WriteByte(v.open)
	for i, part := range v.parts {
		if i > 0 {
			out.WriteByte(',')
		}
		if v.open == '{' {
			out.Write(v.keys[i])
			out.WriteByte(':')
		}
		part.write(out, in)
	}
}

// parseJSON reads a value as YAML writes it.
func parseJSON(node userfile.Node, pattern string) (jsonValue, error) {
	switch {
	case node.IsMapping():
		v := jsonValue{open: '{'}
		pairs, err := node.Pairs("json", "")
		if err != nil {
			return v, err
		}
		for _, p := range pairs {
			part, err := parseJSON(p.Value, pattern)
			if err != nil {
				return v, err
			}
			v.keys, v.parts = append(v.keys, quoted(p.Key)), append(v.parts, part)
		}
		return v, nil
	case node.IsList():
		v := jsonValue{open: '['}
		for _, item := range node.Items() {
			part, err := parseJSON(item, pattern)
			if err != nil {
				return v, err
			}
			v.parts = append(v.parts, part)
		}
		return v, nil
	}
	plain, err := node.Plain("json")
	if err != nil {
		return jsonValue{}, err
	}
	if s, isText := plain.(string); isText {
		t, err := parseText(s, pattern)
		if err != nil {
			return jsonValue{}, node.Fault("json: %v", err)
		}
		return jsonValue{text: t}, nil
	}
	literal, err := json.Marshal(plain)
	if err != nil {
		return jsonValue{}, fmt.Errorf("write %v as JSON: %w", plain, err)
	}
	return jsonValue{literal: literal}, nil
}

// quoted is a string of JSON in which <, > and & stand as they are.
func quoted(s string) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // to memory, of a string: it has no way to fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
