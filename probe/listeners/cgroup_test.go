package listeners

import (
	"strings"
	"testing"
)

const (
	id    = "3f4e1a2b9c0d5e6f7a8b9c0d1e2f3a4b5c6d7e8f9a0b1c2d3e4f5a6b7c8d9e0f"
	other = "a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90"
	short = "3f4e1a2b9c0d"
	pod   = "podf3c0bd5d_6c3e_4b6e_9d3e_0f6f8b1f1d11"
)

var cgroups = []struct{ path, unit, container string }{
	{"", "", ""},
	{"/", "", ""},
	{"/init.scope", "init.scope", ""},
	{"/system.slice/ssh.service", "ssh.service", ""},
	{"/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service", ""},
	{"/system.slice/system-postgresql.slice/postgresql@15-main.service", "postgresql@15-main.service", ""},
	{`/system.slice/system-serial\x2dgetty.slice/serial-getty@ttyS0.service`, "serial-getty@ttyS0.service", ""},
	{`/system.slice/srv-media\x2dstore.mount`, `srv-media\x2dstore.mount`, ""},
	{"/system.slice/_cpu.service", "cpu.service", ""},
	{"/system.slice", "system.slice", ""},
	{"/system.slice/docker.service", "docker.service", ""},
	{"/system.slice/systemd-udevd.service/udev", "systemd-udevd.service", ""},
	{"/user.slice/user-1000.slice/session-3.scope", "session-3.scope", ""},
	{"/user.slice/user-1000.slice/user@1000.service/init.scope", "init.scope", ""},
	{"/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service", "foo.service", ""},
	{"/user.slice/user-1000.slice/user@1000.service/app.slice", "user@1000.service", ""},
	{`/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-org.gnome.Terminal\x2d4711.scope`, `app-gnome-org.gnome.Terminal\x2d4711.scope`, ""},
	{"/../../system.slice/cron.service", "cron.service", ""},

	{"/docker/" + id, "", "docker " + short},
	{"/docker/" + id + "/system.slice/nginx.service", "nginx.service", "docker " + short},
	{"/docker/" + other + "/docker/" + id, "", "docker " + short},
	{"/system.slice/docker-" + id + ".scope", "docker-" + id + ".scope", "docker " + short},
	{"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + id + ".scope", "docker-" + id + ".scope", "docker " + short},
	{"/actions_job/" + id, "", "container " + short},
	{"/ecs/production/8d3e2b/" + id, "", "container " + short},

	{"/machine.slice/libpod-" + id + ".scope", "libpod-" + id + ".scope", "podman " + short},
	{"/machine.slice/libpod-" + id + ".scope/container", "libpod-" + id + ".scope", "podman " + short},
	{"/libpod_parent/libpod-" + id, "", "podman " + short},
	{"/libpod_parent/" + id, "", "podman " + short},
	{"/machine.slice/libpod-conmon-" + id + ".scope", "libpod-conmon-" + id + ".scope", ""},
	{"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id + ".scope/container", "libpod-" + id + ".scope", "podman " + short},

	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-" + pod + ".slice/cri-containerd-" + id + ".scope", "cri-containerd-" + id + ".scope", "containerd " + short},
	{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-" + pod + ".slice/crio-" + id + ".scope/container", "crio-" + id + ".scope", "cri-o " + short},
	{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-" + pod + ".slice/crio-conmon-" + id + ".scope", "crio-conmon-" + id + ".scope", ""},
	{"/kubepods/burstable/" + pod + "/" + id, "", "kubernetes " + short},
	{"/system.slice/containerd.service/kubepods-burstable-" + pod + ".slice:cri-containerd:" + id, "containerd.service", "containerd " + short},
	{"/docker/" + other + "/kubelet.slice/kubelet-kubepods.slice/cri-containerd-" + id + ".scope", "cri-containerd-" + id + ".scope", "containerd " + short},
	{"/system.slice/nerdctl-" + id + ".scope", "nerdctl-" + id + ".scope", "containerd " + short},
	{"/default/" + id, "", "container " + short},

	{"/lxc/web", "", "lxc web"},
	{"/lxc/101/ns/system.slice/nginx.service", "nginx.service", "lxc 101"},
	{"/lxc.payload.web-1/system.slice/ssh.service", "ssh.service", "lxc web-1"},
	{"/lxc.payload/web", "", "lxc web"},
	{"/lxc.monitor.web", "", ""},
	{`/machine.slice/machine-web\x2d1.scope/payload/system.slice/ssh.service`, "ssh.service", "machine web-1"},
	{"/machine.slice/systemd-nspawn@web.service/payload/init.scope", "init.scope", "nspawn web"},
	{`/machine.slice/machine-qemu\x2d1\x2ddebian12.scope/libvirt/emulator`, `machine-qemu\x2d1\x2ddebian12.scope`, ""},

	{"/docker/" + id[:40], "", ""},
	{"/system.slice/docker-abc.scope", "docker-abc.scope", ""},
	{"/notes/docker-" + strings.ToUpper(id) + ".scope", "docker-" + strings.ToUpper(id) + ".scope", ""},
	{"/.service/.scope", "", ""},
}

func TestCgroupTellsUnitAndContainer(t *testing.T) {
	for _, c := range cgroups {
		if got := unitOf(c.path); got != c.unit {
			t.Errorf("unit of %s is %q, want %q", c.path, got, c.unit)
		}
		if got := containerOf(c.path); got != c.container {
			t.Errorf("container of %s is %q, want %q", c.path, got, c.container)
		}
	}
}

func TestUnescapeUndoesWhatSystemdDoes(t *testing.T) {
	for name, want := range map[string]string{
		`web\x2d1`: "web-1", `a\x2d\x2db`: "a--b", `caf\xc3\xa9`: "café",
		`\x`: `\x`, `\xg1`: `\xg1`, `a\x2`: `a\x2`, `\x5cx2d`: `\x2d`, "": "",
	} {
		if got := unescape(name); got != want {
			t.Errorf("%s became %q, want %q", name, got, want)
		}
	}
}

// FuzzCgroup holds that whatever a path is, a unit is one of its components
// with a kind of its own, and a container's ID is shown as it stands there.
func FuzzCgroup(f *testing.F) {
	for _, c := range cgroups {
		f.Add(c.path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if unit := unitOf(path); unit != "" {
			_, kind, found := cutLast(unit, '.')
			if !found || strings.Contains(unit, "/") || !strings.Contains(path, unit) {
				t.Errorf("%q has the unit %q of kind %q", path, unit, kind)
			}
		}
		container := containerOf(path)
		if container == "" {
			return
		}
		engine, name, found := strings.Cut(container, " ")
		if !found || engine == "" || name == "" {
			t.Fatalf("%q has the container %q", path, container)
		}
		switch engine {
		case "machine", "nspawn": // unescaped
		default:
			if !strings.Contains(path, name) {
				t.Errorf("%q has the container %q", path, container)
			}
		}
		// What stands above a container does not change which it is.
		if again := containerOf("/docker/" + other + path); strings.HasPrefix(path, "/") && again != container {
			t.Errorf("%q has the container %q, and below another %q", path, container, again)
		}
	})
}
