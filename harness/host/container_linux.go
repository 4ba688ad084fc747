package host

import (
	"io/fs"
	"strings"
	"unicode"
)

// container names the container runtime by the marks that runtimes leave: the
// variable "container" of the first process and the files below are agreed on
// (systemd's Container Interface), a cgroup's path gives away the rest.
func (r root) container() string {
	for variable := range strings.SplitSeq(r.text("proc/1/environ"), "\x00") {
		if value, ok := strings.CutPrefix(variable, "container="); ok && isName(value) {
			return value
		}
	}
	if name := r.text("run/systemd/container"); isName(name) {
		return name
	}
	// A machine whose image was made from a container's files keeps the file
	// that marks one.
	if !r.inFirstNamespaces() {
		if r.exists(".dockerenv") {
			return "docker"
		}
		if r.exists("run/.containerenv") {
			return "podman"
		}
	}
	for _, path := range []string{"proc/self/cgroup", "proc/1/cgroup"} {
		if name := containerOfCgroup(r.text(path)); name != "" {
			return name
		}
	}
	return ""
}

// firstNamespaces are the links in /proc/self/ns of a process outside of every
// container: the kernel gives its first namespaces fixed inode numbers
// (include/linux/proc_ns.h, PROC_*_INIT_INO).
var firstNamespaces = map[string]string{
	"cgroup": "cgroup:[4026531835]",
	"pid":    "pid:[4026531836]",
	"uts":    "uts:[4026531838]",
	"ipc":    "ipc:[4026531839]",
}

// inFirstNamespaces tells a machine from a container by what no runtime shares
// with its host altogether. Links that cannot be read tell of nothing.
func (r root) inFirstNamespaces() bool {
	for name, first := range firstNamespaces {
		if link, err := fs.ReadLink(r.files, "proc/self/ns/"+name); err != nil || link != first {
			return false
		}
	}
	return true
}

// containerOfCgroup looks at the paths in /proc/PID/cgroup, cgroups(7). With a
// cgroup namespace the path is "/" and tells nothing.
func containerOfCgroup(text string) string {
	for line := range strings.Lines(text) {
		// hierarchy-ID:controller-list:cgroup-path
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		path := parts[2]
		switch {
		case strings.Contains(path, "kubepods"):
			return "kubernetes"
		case strings.Contains(path, "libpod"):
			return "podman"
		case strings.Contains(path, "/docker/"), strings.Contains(path, "/docker-"):
			return "docker"
		case strings.Contains(path, "/lxc/"), strings.Contains(path, "/lxc.payload"):
			return "lxc"
		}
	}
	return ""
}

// isName tells a runtime's name from an empty or damaged value.
func isName(s string) bool {
	return s != "" && len(s) <= 64 && strings.IndexFunc(s, func(c rune) bool {
		return !unicode.IsPrint(c) || c == unicode.ReplacementChar
	}) < 0
}
