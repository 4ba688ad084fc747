package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// floorBuild is the floor as a program, twice: the second is the first's copy.
type floorBuild struct {
	path, copied string
	compiler     string // and its version
	err          error  // why it is not there
}

func newFloor(folder string) *floorBuild {
	return &floorBuild{path: filepath.Join(folder, "floor"), copied: filepath.Join(folder, "floor-copy"), err: errors.New("the floor was not built")}
}

// errNoCompiler says how to get one.
var errNoCompiler = errors.New("the floor in C takes a C compiler, and there is no cc, gcc or clang on PATH (Debian: apt-get install gcc libc6-dev)")

// build compiles the floor.
func (f *floorBuild) build(ctx context.Context, source string) error {
	f.err = f.compile(ctx, source)
	return f.err
}

// findCompiler looks for a C compiler: the one that CC names, or a usual one.
func findCompiler() (string, error) {
	for _, name := range []string{os.Getenv("CC"), "cc", "gcc", "clang"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errNoCompiler
}

func (f *floorBuild) compile(ctx context.Context, source string) error {
	compiler, err := findCompiler()
	if err != nil {
		return err
	}
	if _, err := os.Stat(source); err != nil {
		return fmt.Errorf("the floor's source: %w: run this at the top of the repository, or write --floor FILE", err)
	}
	args := []string{"-O2", "-pthread", "-o", f.path, source}
	if out, err := exec.CommandContext(ctx, compiler, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", compiler, strings.Join(args, " "), err, out)
	}
	content, err := os.ReadFile(f.path)
	if err == nil {
		err = os.WriteFile(f.copied, content, 0o755)
	}
	if err != nil {
		return err
	}
	out, _ := exec.CommandContext(ctx, compiler, "--version").Output()
	line, _, _ := strings.Cut(string(out), "\n")
	f.compiler = strings.TrimSpace(line + ", -O2")
	return nil
}
