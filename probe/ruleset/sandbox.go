package ruleset

import (
	"context"
	"errors"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// outcome is a result on its way out of a sandbox, with the errors that callers
// decide on, of which a sandbox otherwise keeps the text alone.
type outcome struct {
	Ruleset *Ruleset             `json:"ruleset,omitempty"`
	Copy    *Copy                `json:"copy,omitempty"`
	Refused *RefusedError        `json:"refused,omitempty"`
	Missing *MissingProgramError `json:"missing,omitempty"`
	File    *FileError           `json:"file,omitempty"`
}

// keep puts an error into the outcome, or gives it back where it has no place
// there.
func (o *outcome) keep(err error) error {
	switch {
	case errors.As(err, &o.Refused), errors.As(err, &o.Missing), errors.As(err, &o.File):
		return nil
	}
	return err
}

func (o *outcome) err() error {
	switch {
	case o.Refused != nil:
		return o.Refused
	case o.Missing != nil:
		return o.Missing
	case o.File != nil:
		return o.File
	}
	return nil
}

var (
	readInside = sandbox.Register("ruleset/read", func(ctx context.Context, _ *sandbox.Inside, _ struct{}) (o outcome, err error) {
		o.Ruleset, err = Read(ctx)
		return o, o.keep(err)
	})
	loadInside = sandbox.Register("ruleset/load", func(ctx context.Context, _ *sandbox.Inside, r *Ruleset) (o outcome, err error) {
		o.Copy, err = Load(ctx, r)
		return o, o.keep(err)
	})
	replaceInside = sandbox.Register("ruleset/replace", func(ctx context.Context, in *sandbox.Inside, r replacement) (o outcome, err error) {
		o.Copy, err = replaceRules(ctx, in.Zone(), r)
		return o, o.keep(err)
	})
	loadFileInside = sandbox.Register("ruleset/load-file", func(ctx context.Context, _ *sandbox.Inside, f File) (o outcome, err error) {
		return o, o.keep(LoadFile(ctx, f))
	})
)

// ReadFrom is Read in a zone of a sandbox.
func ReadFrom(ctx context.Context, s *sandbox.Sandbox, zone string) (*Ruleset, error) {
	o, err := readInside.Call(ctx, s, zone, struct{}{})
	return o.Ruleset, errors.Join(err, o.err())
}

// LoadInto is Load in a zone of a sandbox.
func LoadInto(ctx context.Context, s *sandbox.Sandbox, zone string, r *Ruleset) (*Copy, error) {
	o, err := loadInside.Call(ctx, s, zone, r)
	return o.Copy, errors.Join(err, o.err())
}

// LoadFileInto is LoadFile in a zone of a sandbox.
func LoadFileInto(ctx context.Context, s *sandbox.Sandbox, zone string, f File) error {
	o, err := loadFileInside.Call(ctx, s, zone, f)
	return errors.Join(err, o.err())
}

// ReplaceIn is Load in a zone of a sandbox, in the place of every table of
// nf_tables that is there but for those of a name, which may be "". Where the
// kernel refuses rules that fit into one transaction, those that were there stay.
// Of more, the first transaction removes them: when a later one is refused, none
// are left. When tables of iptables-legacy cannot be loaded, those of nf_tables
// have been replaced.
func ReplaceIn(ctx context.Context, s *sandbox.Sandbox, zone, keep string, r *Ruleset) (*Copy, error) {
	o, err := replaceInside.Call(ctx, s, zone, replacement{keep, r})
	return o.Copy, errors.Join(err, o.err())
}

type replacement struct {
	Keep    string   `json:"keep"`
	Ruleset *Ruleset `json:"ruleset"`
}
