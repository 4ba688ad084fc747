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
	r, err := history.ReadFile(file, report.ReadMeasured)
	if err != nil && !os.IsNotExist(err) && !os.IsPermission(err) {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return r, err
}
