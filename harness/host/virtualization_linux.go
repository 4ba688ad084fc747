package host

import (
	"cmp"
	"slices"
	"strings"
)

// signatures names hypervisors by what CPUID leaf 0x40000000 returns.
//
// Source: Documentation/virt/kvm/x86/cpuid.rst for the leaf, each hypervisor's
// own documents for its signature.
var signatures = map[string]string{
	"KVMKVMKVM":    "kvm",
	"Linux KVM Hv": "kvm",
	"Microsoft Hv": "hyperv",
	"VMwareVMware": "vmware",
	"XenVMMXenVMM": "xen",
	"TCGTCGTCGTCG": "qemu",
	"VBoxVBoxVBox": "virtualbox",
	"bhyve bhyve":  "bhyve",
	"ACRNACRNACRN": "acrn",
	"QNXQVMBSQG":   "qnx",
}

// virtualization names the hypervisor from its CPUID signature, what the
// kernel found out and what the firmware says it is.
func (r root) virtualization(blocks []map[string]string, signature string) string {
	kernel := r.text("sys/hypervisor/type")
	flags, isX86 := "", false
	if len(blocks) > 0 {
		flags, isX86 = blocks[0]["flags"]
		if blocks[0]["vendor_id"] == "User Mode Linux" {
			return "uml"
		}
	}
	// CPUs of x86 say whether they are virtual; paravirtual Xen hides that.
	virtual := slices.Contains(strings.Fields(flags), "hypervisor")
	if isX86 && !virtual {
		return cmp.Or(kernel, "none")
	}

	firmware := r.firmware()
	switch firmware {
	case "virtualbox", "vmware", "parallels":
		// These can show the signature of another, which their guests know better.
		return firmware
	}
	named := cmp.Or(
		signatures[strings.TrimRight(signature, "\x00 ")],
		kernel,
		r.deviceTree(),
		firmware,
	)
	if named == "" && virtual {
		return "other"
	}
	return named
}

// firmware tells by the DMI strings: of a hypervisor, "none" for a machine
// rented whole, empty where they do not tell.
func (r root) firmware() string {
	vendor := r.text("sys/class/dmi/id/sys_vendor")
	product := r.text("sys/class/dmi/id/product_name")
	switch {
	case strings.HasPrefix(vendor, "VMware"):
		return "vmware"
	case strings.HasPrefix(vendor, "innotek"), product == "VirtualBox":
		return "virtualbox"
	case strings.HasPrefix(vendor, "Parallels"):
		return "parallels"
	case vendor == "Microsoft Corporation" && product == "Virtual Machine":
		return "hyperv"
	case vendor == "Xen":
		return "xen"
	case vendor == "BHYVE":
		return "bhyve"
	case strings.HasPrefix(product, "Apple Virtualization"):
		return "apple"
	case vendor == "Amazon EC2" && strings.Contains(product, ".metal"):
		return "none"
	case vendor == "Amazon EC2", product == "Google Compute Engine", product == "KVM":
		return "kvm"
	case vendor == "QEMU":
		return "qemu"
	}
	return ""
}

// deviceTree tells by the tree that boards are described with. A board that is
// described so and has no hypervisor node is bare.
func (r root) deviceTree() string {
	switch compatible := r.text("proc/device-tree/hypervisor/compatible"); {
	case strings.HasPrefix(compatible, "linux,kvm"):
		return "kvm"
	case strings.HasPrefix(compatible, "xen"):
		return "xen"
	case compatible != "":
		return "other"
	}
	// Strings in a device tree end with a zero byte.
	switch strings.TrimRight(r.text("proc/device-tree/model"), "\x00") {
	case "":
		return ""
	case "linux,dummy-virt":
		return "qemu"
	}
	return "none"
}
