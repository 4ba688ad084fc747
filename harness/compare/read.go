package compare

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/history"
	"github.com/loopcheck/loopcheck/harness/report"
)

// Load reads what can be compared: a report.json, the folder of a run, or what
// `loopcheck bench --json` wrote. Its errors are one line and name the file.
func Load(path string) (*report.Report, error) {
	file := path
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		file = filepath.Join(path, folder.JSON)
	}
	document, err := history.ReadFile(file, report.ReadDocument)
	switch {
	case os.IsNotExist(err) || os.IsPermission(err): // which name the file
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	r, err := document.Measured()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}
