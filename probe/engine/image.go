package engine

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
)

// program is where the binary lies in the image.
const program = "/loopcheck"

// InterpreterError says that a binary needs files that an image of the binary alone
// does not have.
type InterpreterError struct{ Path string }

func (e *InterpreterError) Error() string {
	return fmt.Sprintf("%s is linked dynamically, and a container has nothing but it: use a loopcheck that was built with CGO_ENABLED=0", e.Path)
}

// Static returns an *InterpreterError for a binary that names an interpreter
// (PT_INTERP, elf(5)), and other errors for what is no ELF binary.
func Static(path string) error {
	binary, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("read loopcheck's own binary: %w", err)
	}
	defer binary.Close()
	if slices.ContainsFunc(binary.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return &InterpreterError{path}
	}
	return nil
}

// writeImage writes an image of one layer that holds the binary alone, as `docker
// save` writes one and `docker load` and `podman load` read it (the image
// specification v1.2 of Docker). The same arguments give the same bytes.
func writeImage(w io.Writer, tag string, labels map[string]string, binary []byte) error {
	var layer bytes.Buffer
	if err := writeTar(&layer, file{name: program[1:], mode: 0o755, content: binary}); err != nil {
		return fmt.Errorf("make the layer of an image: %w", err)
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": []string{program}, "Labels": labels},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer.Bytes()))}},
	})
	if err != nil {
		return fmt.Errorf("make the configuration of an image: %w", err)
	}
	const layerName = "layer.tar"
	configName := fmt.Sprintf("%x.json", sha256.Sum256(config))
	manifest, err := json.Marshal([]map[string]any{{"Config": configName, "RepoTags": []string{tag}, "Layers": []string{layerName}}})
	if err != nil {
		return fmt.Errorf("make the manifest of an image: %w", err)
	}
	err = writeTar(w,
		file{name: configName, mode: 0o644, content: config},
		file{name: layerName, mode: 0o644, content: layer.Bytes()},
		file{name: "manifest.json", mode: 0o644, content: manifest})
	if err != nil {
		return fmt.Errorf("write an image: %w", err)
	}
	return nil
}

type file struct {
	name    string
	mode    int64
	content []byte
}

func writeTar(w io.Writer, files ...file) error {
	archive := tar.NewWriter(w)
	for _, f := range files {
		if err := archive.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Format: tar.FormatPAX}); err != nil {
			return err
		}
		if _, err := archive.Write(f.content); err != nil {
			return err
		}
	}
	return archive.Close()
}
