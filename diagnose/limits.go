package diagnose

import (
	"context"
	"fmt"
	"strings"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/process"
)

// wantedFiles is what the remedy raises the limit to: more than any check
// opens.
const wantedFiles = 4096

// openFiles finds a limit of open files that was in the way: of this process
// (RLIMIT_NOFILE, getrlimit(2)), or of the whole machine (fs.file-max,
// proc_sys_fs(5)).
func openFiles(ctx context.Context, s Symptom) Diagnosis {
	switch {
	case s.Check == inheritedFilesCheck:
		return inheritedFiles(ctx)
	case strings.Contains(s.Message, syscall.ENFILE.Error()):
		return machineFiles()
	case s.Missing == "open files", strings.Contains(s.Message, syscall.EMFILE.Error()):
		return processFiles()
	}
	return Diagnosis{}
}

// inheritedFilesCheck asks for the limit that a service would be started with:
// where it failed, that is too low.
const inheritedFilesCheck = "LIM-015"

// readInherited is a variable so that tests can show processes that this one is
// not.
var readInherited = process.InheritedFiles

// inheritedFiles finds a low limit of the shell or unit that started this
// process, which has raised its own.
func inheritedFiles(ctx context.Context) Diagnosis {
	limit, err := readInherited(ctx)
	if err != nil {
		return Diagnosis{Unseen: []Unseen{{What: "the limit of open files", Why: err.Error()}}}
	}
	return found(fileLimitFinding(fileLimit{soft: limit.Soft, hard: limit.Hard},
		fmt.Sprintf("RLIMIT_NOFILE as inherited: soft %d, hard %d", limit.Soft, limit.Hard)))
}

func processFiles() Diagnosis {
	limit, err := readFileLimit()
	if err != nil || limit.soft >= wantedFiles && limit.open < limit.soft/2 {
		return Diagnosis{}
	}
	return found(fileLimitFinding(limit, fmt.Sprintf("RLIMIT_NOFILE: soft %d, hard %d; open now: %d", limit.soft, limit.hard, limit.open)))
}

func fileLimitFinding(limit fileLimit, evidence string) Finding {
	const id = "open-file-limit"
	remedy := Remedy{Command: fmt.Sprintf("ulimit -n %d", wantedFiles), Cause: id}
	switch {
	case limit.soft >= limit.hard:
		remedy.Note = "the hard limit is as low, so that it takes root; in a systemd unit it is LimitNOFILE="
	case limit.hard < wantedFiles || limit.soft >= wantedFiles:
		remedy.Command = fmt.Sprintf("ulimit -n %d", limit.hard)
	}
	return Finding{
		Cause: Cause{
			ID:       id,
			Summary:  fmt.Sprintf("A process may open %d files here.", limit.soft),
			Evidence: []string{evidence},
		},
		Remedies: []Remedy{remedy},
	}
}

func machineFiles() Diagnosis {
	const id = "machine-file-limit"
	counts, err := readSetting("fs.file-nr")
	fields := strings.Fields(counts)
	if err != nil || len(fields) != 3 {
		return Diagnosis{}
	}
	return found(Finding{
		Cause: Cause{
			ID:       id,
			Summary:  "The machine has no room for more open files.",
			Evidence: []string{fmt.Sprintf("fs.file-nr: %s open of at most %s (fs.file-max)", fields[0], fields[2])},
		},
		Remedies: []Remedy{{Command: "sysctl -w fs.file-max=9223372036854775807", Cause: id, Note: "this is the default of kernels since Linux 5.2; look first for the process that leaks: `lsof | awk '{print $1}' | sort | uniq -c | sort -n | tail`"}},
	})
}

// fileLimit is a process's limit of open files, and how many are open.
type fileLimit struct{ soft, hard, open uint64 }
