// Package reporttest lets the tests of any package hold a report against
// docs/report.schema.json.
package reporttest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Validate ends the test unless the document is one JSON value that follows
// the schema.
func Validate(t testing.TB, document []byte) {
	t.Helper()
	if err := Check(document); err != nil {
		t.Fatal(err)
	}
}

// Check returns what of the document does not follow the schema, or nil.
func Check(document []byte) error { return follows(document, compiled) }

// CheckLadders does so for docs/bench_ladder.schema.json.
func CheckLadders(document []byte) error { return follows(document, compiledLadders) }

func follows(document []byte, compiled func() (*jsonschema.Schema, error)) error {
	schema, err := compiled()
	if err != nil {
		return err
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return fmt.Errorf("parse the document: %w", err)
	}
	if err := schema.Validate(instance); err != nil {
		return fmt.Errorf("the document does not follow its schema: %w", err)
	}
	return nil
}

var (
	compiled        = sync.OnceValues(func() (*jsonschema.Schema, error) { return compile("report.schema.json") })
	compiledLadders = sync.OnceValues(func() (*jsonschema.Schema, error) { return compile("bench_ladder.schema.json") })
)

// schemas are where those of docs say that they are: they refer to each other by it.
const schemas = "https://github.com/loopcheck/loopcheck/docs/"

// compile reads a schema of docs. It may refer to that of the report.
func compile(name string) (*jsonschema.Schema, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	for _, part := range slices.Compact([]string{"report.schema.json", name}) {
		text, err := os.ReadFile(filepath.Join(root, "docs", part))
		if err != nil {
			return nil, fmt.Errorf("read a schema: %w", err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", part, err)
		}
		if err := compiler.AddResource(schemas+part, document); err != nil {
			return nil, fmt.Errorf("take up %s: %w", part, err)
		}
	}
	schema, err := compiler.Compile(schemas + name)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", name, err)
	}
	return schema, nil
}

// startedIn is the folder of the package under test, read before a test can
// change folder. The source path in the binary is no help: -trimpath removes it.
var startedIn, errStartedIn = os.Getwd()

func moduleRoot() (string, error) {
	if errStartedIn != nil {
		return "", fmt.Errorf("find the schema: %w", errStartedIn)
	}
	for dir := startedIn; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find the schema: no go.mod above " + startedIn)
		}
	}
}
