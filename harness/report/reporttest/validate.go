// Package reporttest lets the tests of any package hold a report against
// docs/report.schema.json, and what commands print against the schemas beside it.
package reporttest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
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
func Check(document []byte) error { return follows(document, reportSchema) }

// CheckBench is Check for what `loopcheck bench --json` prints.
func CheckBench(document []byte) error { return follows(document, benchSchema) }

// CheckLadders is Check for what `loopcheck bench ladder --json` prints.
func CheckLadders(document []byte) error { return follows(document, ladderSchema) }

// CheckComparisons is Check for what `loopcheck compare --json` prints.
func CheckComparisons(document []byte) error { return follows(document, compareSchema) }

// CheckHTTP is Check for what `loopcheck http --json` prints.
func CheckHTTP(document []byte) error { return follows(document, httpSchema) }

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
	reportSchema  = sync.OnceValues(func() (*jsonschema.Schema, error) { return compile("report.schema.json") })
	benchSchema   = sync.OnceValues(func() (*jsonschema.Schema, error) { return compile("bench.schema.json") })
	ladderSchema  = sync.OnceValues(func() (*jsonschema.Schema, error) { return compile("bench_ladder.schema.json") })
	compareSchema = sync.OnceValues(func() (*jsonschema.Schema, error) { return compile("compare.schema.json") })
	httpSchema    = sync.OnceValues(func() (*jsonschema.Schema, error) { return compile("http.schema.json") })
)

// compile compiles a schema of docs. What it refers to is looked for beside it,
// and nowhere else.
func compile(name string) (*jsonschema.Schema, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	docs := filepath.Join(root, "docs")
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	compiler.UseLoader(jsonschema.SchemeURLLoader{"file": jsonschema.FileLoader{}, "https": beside(docs)})
	schema, err := compiler.Compile(filepath.Join(docs, name))
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", name, err)
	}
	return schema, nil
}

// beside loads what has a published address from a folder.
type beside string

func (dir beside) Load(address string) (any, error) {
	return jsonschema.FileLoader{}.Load("file://" + filepath.Join(string(dir), path.Base(address)))
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
