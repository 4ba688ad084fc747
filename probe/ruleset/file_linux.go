package ruleset

import (
	"context"
	"errors"
	"os/exec"
	"strings"
)

// LoadFile loads a file's rules into the calling thread's network namespace
// with the programs that belong to them: nft, iptables-restore or
// ip6tables-restore. It is meant for namespaces of sandboxes.
//
// Where the file is wrong, or does not fit this kernel, the error is a
// *FileError; where a program is not installed, a *MissingProgramError. With
// either, an earlier part of the file may have been loaded.
func LoadFile(ctx context.Context, f File) error {
	parts, err := f.Parts()
	if err != nil {
		return err
	}
	for _, p := range parts {
		if err := f.loadPart(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (f File) loadPart(ctx context.Context, p Part) error {
	var args []string
	switch p.Format {
	case NftScript:
		args = []string{"-f", "-"}
		if f.Dir != "" {
			args = append([]string{"-I", f.Dir}, args...)
		}
	case NftJSON:
		args = []string{"-j", "-f", "-"}
	}
	programs := p.programs()
	program := programs[0]
	for _, candidate := range programs {
		if _, err := lookPath(candidate, ""); err == nil {
			program = candidate
			break
		}
	}
	_, err := run(ctx, "load "+f.described(), f.Dir, p.Text, program, args...)
	failed, exited := new(programError), new(exec.ExitError)
	if !errors.As(err, &failed) || !errors.As(err, &exited) || ctx.Err() != nil {
		return err
	}
	if strings.Contains(failed.said, tooLong) {
		if pieces, several := p.pieces(); several {
			return f.loadPieces(ctx, p, pieces, program, args)
		}
	}
	return f.fileError(p, failed)
}

// loadPieces loads a part that is too large for one transaction.
func (f File) loadPieces(ctx context.Context, p Part, pieces []piece, program string, args []string) error {
	for _, one := range pieces {
		its := args
		if one.more && (p.Format == IPTablesSave || p.Format == IP6TablesSave) {
			its = []string{"--noflush"}
		}
		_, err := run(ctx, "load "+f.described(), f.Dir, one.text, program, its...)
		failed, exited := new(programError), new(exec.ExitError)
		if errors.As(err, &failed) && errors.As(err, &exited) && ctx.Err() == nil {
			return f.fileError(p, failed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f File) described() string {
	if f.Name == "" {
		return "rules"
	}
	return f.Name
}
