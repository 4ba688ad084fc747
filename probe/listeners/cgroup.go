package listeners

import (
	"slices"
	"strconv"
	"strings"
)

// idDigits is how much of a container's ID is shown, as docker ps and crictl do.
const idDigits = 12

// unitOf is the systemd unit that a cgroup belongs to, "" for none: the last
// component of the path that is named as a unit which can hold processes, so
// that of a user's own service it is the service and not user@1000.service
// above it. Slices only group units (systemd.slice(5)), so that one is the
// answer only where nothing else is.
func unitOf(cgroup string) string {
	slice := ""
	for _, name := range components(cgroup) {
		// systemd puts a _ before what the kernel would take for a file of its own.
		name = strings.TrimPrefix(name, "_")
		base, kind, _ := cutLast(name, '.')
		switch {
		case base == "":
		case kind == "service", kind == "scope", kind == "socket", kind == "mount", kind == "swap":
			return name
		case kind == "slice" && slice == "":
			slice = name
		}
	}
	return slice
}

// containerOf names the innermost container that a cgroup belongs to, such as
// "docker 3f4e1a2b9c0d", "" for none. The paths are those that container
// engines make with either of their cgroup drivers. Helpers of an engine that
// run beside a container (conmon, lxc.monitor) are not in it.
func containerOf(cgroup string) string {
	path := components(cgroup)
	for i, name := range path {
		engine, id := inScope(name)
		if engine == "" {
			engine, id = inFolder(name, path[i+1:])
		}
		if engine != "" && id != "" {
			return engine + " " + id
		}
	}
	return ""
}

// components are those of a path, the last first.
func components(path string) []string {
	all := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	slices.Reverse(all)
	return all
}

// scoped are the prefixes of the scopes that engines ask systemd for, and of
// the folders that podman makes itself.
var scoped = []struct{ prefix, engine string }{
	{"docker-", "docker"},
	{"libpod-", "podman"},
	{"cri-containerd-", "containerd"},
	{"nerdctl-", "containerd"},
	{"crio-", "cri-o"},
}

// inScope reads a component that names a container by itself.
func inScope(name string) (engine, id string) {
	bare := strings.TrimSuffix(name, ".scope")
	for _, s := range scoped {
		if rest, found := strings.CutPrefix(bare, s.prefix); found {
			return s.engine, shortID(rest)
		}
	}
	// containerd given a folder where systemd wants slice:prefix:name.
	if parts := strings.Split(bare, ":"); len(parts) == 3 {
		for _, s := range scoped {
			if parts[1] == strings.TrimSuffix(s.prefix, "-") {
				return s.engine, shortID(parts[2])
			}
		}
	}
	if rest, found := strings.CutPrefix(name, "lxc.payload."); found {
		return "lxc", rest
	}
	if rest, found := strings.CutPrefix(name, "systemd-nspawn@"); found {
		return "nspawn", unescape(strings.TrimSuffix(rest, ".service"))
	}
	if rest, found := strings.CutPrefix(name, "machine-"); found && bare != name {
		machine := unescape(strings.TrimSuffix(rest, ".scope"))
		// libvirt's virtual machines are machines too, but QEMU runs outside.
		if !strings.HasPrefix(machine, "qemu-") {
			return "machine", machine
		}
	}
	return "", ""
}

// inFolder reads a component that is a container's because of a folder above
// it, of which the nearest is the first.
func inFolder(name string, above []string) (engine, id string) {
	if len(above) > 0 && (above[0] == "lxc" || above[0] == "lxc.payload") {
		return "lxc", name
	}
	if !isID(name) {
		return "", ""
	}
	engine = "container"
	for i, folder := range above {
		switch {
		case isID(folder): // another container, which this one is nested in
			return engine, shortID(name)
		case i == 0 && folder == "docker":
			engine = "docker"
		case i == 0 && folder == "libpod_parent":
			engine = "podman"
		case strings.HasPrefix(folder, "kubepods"):
			engine = "kubernetes"
		}
	}
	return engine, shortID(name)
}

// isID says whether a component is the ID of a container and nothing else.
func isID(name string) bool { return len(name) == 64 && isHex(name) }

// shortID is an ID of hexadecimal digits as it is shown, "" where it is none.
func shortID(id string) string {
	if len(id) < idDigits || !isHex(id) {
		return ""
	}
	return id[:idDigits]
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// unescape undoes what systemd does to a name within a unit's: \x and two
// hexadecimal digits stand for a byte (systemd-escape(1)).
func unescape(name string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(name, `\x`)
		out.WriteString(before)
		if !found {
			return out.String()
		}
		b, err := strconv.ParseUint(after[:min(2, len(after))], 16, 8)
		if err != nil || len(after) < 2 {
			out.WriteString(`\x`)
			name = after
			continue
		}
		out.WriteByte(byte(b))
		name = after[2:]
	}
}

// cutLast cuts around the last separator.
func cutLast(s string, separator byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
