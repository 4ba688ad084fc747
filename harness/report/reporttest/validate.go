// Package reporttest lets the tests of any package hold a report against
// docs/report.schema.json.
package reporttest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
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
func Check(document []byte) error {
	schema, err := compiled()
	if err != nil {
		return err
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return fmt.Errorf("parse the report: %w", err)
	}
	if err := schema.Validate(instance); err != nil {
		return fmt.Errorf("the report does not follow its schema: %w", err)
	}
	return nil
}

var compiled = sync.OnceValues(func() (*jsonschema.Schema, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile(filepath.Join(root, "docs", "report.schema.json"))
	if err != nil {
		return nil, fmt.Errorf("compile the report's schema: %w", err)
	}
	return schema, nil
})

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
