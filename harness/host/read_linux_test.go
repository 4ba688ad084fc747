package host

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/topology"
)

func TestVirtualization(t *testing.T) {
	const sysVendor, product = "sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name"
	type files = map[string]string
	x86 := func(flags string, more files) files {
		tree := files{"proc/cpuinfo": "processor : 0\nflags : fpu " + flags + "\n"}
		for path, content := range more {
			tree[path] = content
		}
		return tree
	}
	const arm = "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd0c\n"
	for _, tc := range []struct {
		name      string
		tree      files
		signature string
		want      string
	}{
		{"Firecracker, without DMI", x86("hypervisor", nil), "KVMKVMKVM\x00\x00\x00", "kvm"},
		{"Hyper-V", x86("hypervisor", nil), "Microsoft Hv", "hyperv"},
		{"bhyve pads its signature", x86("hypervisor", nil), "bhyve bhyve ", "bhyve"},
		{"VirtualBox that shows KVM's signature", x86("hypervisor", files{sysVendor: "innotek GmbH", product: "VirtualBox"}), "KVMKVMKVM", "virtualbox"},
		{"EC2, Nitro, signature not asked", x86("hypervisor", files{sysVendor: "Amazon EC2", product: "m5.large"}), "", "kvm"},
		{"a hypervisor without a name", x86("hypervisor", nil), "", "other"},
		{"a hypervisor of an unknown name", x86("hypervisor", nil), "Nobody Knows", "other"},
		{"bare metal", x86("", files{sysVendor: "Supermicro"}), "", "none"},
		{"EC2, rented whole", x86("", files{sysVendor: "Amazon EC2", product: "m5.metal"}), "", "none"},
		{"Xen dom0", x86("", files{"sys/hypervisor/type": "xen\n"}), "", "xen"},
		{"user mode Linux", files{"proc/cpuinfo": "processor : 0\nvendor_id : User Mode Linux\n"}, "", "uml"},
		{"arm64 on EC2", files{"proc/cpuinfo": arm, sysVendor: "Amazon EC2", product: "c7g.large"}, "", "kvm"},
		{"arm64 on EC2, rented whole", files{"proc/cpuinfo": arm, sysVendor: "Amazon EC2", product: "c7g.metal"}, "", "none"},
		{"arm64 under QEMU's device tree", files{"proc/cpuinfo": arm, "proc/device-tree/model": "linux,dummy-virt\x00"}, "", "qemu"},
		{"arm64 whose device tree names KVM", files{"proc/cpuinfo": arm, "proc/device-tree/hypervisor/compatible": "linux,kvm\x00"}, "", "kvm"},
		{"arm64 of an unknown vendor", files{"proc/cpuinfo": arm, sysVendor: "Ampere"}, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := tree(tc.tree)
			expect(t, "virtualization", r.virtualization(topology.ParseCPUInfo(r.text("proc/cpuinfo")), tc.signature), tc.want)
		})
	}
}

func TestContainer(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"none", map[string]string{"proc/1/cgroup": "0::/init.scope\n", "proc/self/cgroup": "0::/user.slice\n"}, ""},
		{"Docker", map[string]string{".dockerenv": ""}, "docker"},
		{"Podman", map[string]string{"run/.containerenv": ""}, "podman"},
		{"systemd-nspawn, by its file", map[string]string{"run/systemd/container": "systemd-nspawn\n"}, "systemd-nspawn"},
		{"LXC, by the first process", map[string]string{"proc/1/environ": "TERM=linux\x00container=lxc\x00"}, "lxc"},
		{"an empty variable", map[string]string{"proc/1/environ": "container=\x00"}, ""},
		{"a damaged variable", map[string]string{"proc/1/environ": "container=\x1b[31m\x00"}, ""},
		{"Docker with cgroup v1", map[string]string{"proc/self/cgroup": "4:memory:/docker/0123abcd\n"}, "docker"},
		{"Docker with systemd's cgroups", map[string]string{"proc/1/cgroup": "0::/system.slice/docker-0123.scope\n"}, "docker"},
		{"the Docker daemon's own cgroup", map[string]string{"proc/self/cgroup": "0::/system.slice/docker.service\n"}, ""},
		{"Podman with cgroup v1", map[string]string{"proc/self/cgroup": "1:cpu:/machine.slice/libpod-0123.scope\n"}, "podman"},
		{"LXC with cgroup v2", map[string]string{"proc/self/cgroup": "0::/lxc.payload.web/init.scope\n"}, "lxc"},
		{"LXC's monitor on the host", map[string]string{"proc/self/cgroup": "0::/lxc.monitor.web\n"}, ""},
		{"Kubernetes", map[string]string{"proc/self/cgroup": "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-2.scope\n"}, "kubernetes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			expect(t, "container", tree(tc.files).container(), tc.want)
		})
	}
}

func tree(files map[string]string) root {
	m := fstest.MapFS{}
	for path, content := range files {
		m[path] = &fstest.MapFile{Data: []byte(content)}
	}
	return root{m}
}

// A virtual machine may run from files that were once a container's.
func TestAFileThatMarksAContainerIsNotEnough(t *testing.T) {
	m := fstest.MapFS{".dockerenv": &fstest.MapFile{}}
	for name, link := range firstNamespaces {
		m["proc/self/ns/"+name] = &fstest.MapFile{Data: []byte(link), Mode: fs.ModeSymlink}
	}
	expect(t, "container", root{m}.container(), "")

	m["proc/self/ns/cgroup"] = &fstest.MapFile{Data: []byte("cgroup:[4026532301]"), Mode: fs.ModeSymlink}
	expect(t, "container with a cgroup namespace of its own", root{m}.container(), "docker")
}

func TestOSName(t *testing.T) {
	for content, want := range map[string]string{
		`PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"`: "Debian GNU/Linux 12 (bookworm)",
		`PRETTY_NAME='Alpine Linux'`:                   "Alpine Linux",
		`PRETTY_NAME=Void`:                             "Void",
		`PRETTY_NAME="The \"Quoted\" \$5 \\ OS"`:       `The "Quoted" $5 \ OS`,
		`PRETTY_NAME="`:                                `"`,
		`PRETTY_NAME=`:                                 "",
		`NAME="no pretty one"`:                         "",
	} {
		got := tree(map[string]string{"etc/os-release": "ID=x\n" + content + "\n"}).osName()
		expect(t, content, got, want)
	}
}

func TestSettingsAreListedOnce(t *testing.T) {
	sorted := slices.Sorted(slices.Values(settings))
	if unique := slices.Compact(slices.Clone(sorted)); len(unique) != len(sorted) {
		t.Errorf("%d settings, only %d of them different", len(sorted), len(unique))
	}
}

// The kernel hands out a number under /proc/sys in one piece or not at all.
func TestSettingsOfThisMachineAreWhole(t *testing.T) {
	values := thisMachine.sysctls()
	if len(values) == 0 {
		t.Skip("/proc/sys is not to be read here")
	}
	for name, got := range values {
		if name == "net.netfilter.nf_conntrack_count" {
			continue // moves all the time
		}
		content, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		if err != nil {
			t.Fatal(err)
		}
		expect(t, name, got, strings.Join(strings.Fields(string(content)), " "))
	}
}

func TestLimitValue(t *testing.T) {
	expect(t, "RLIM_INFINITY", limitValue(unix.RLIM_INFINITY), -1)
	expect(t, "1024", limitValue(1024), 1024)
}

func TestLimitsOfThisProcess(t *testing.T) {
	var want unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &want); err != nil {
		t.Fatal(err)
	}
	expect(t, "limit of open files", limits()["nofile"], Limit{Soft: limitValue(want.Cur), Hard: limitValue(want.Max)})
}
