package host

import (
	"cmp"
	"fmt"

	"github.com/loopcheck/loopcheck/probe/topology"
)

// cpus describes the allowed processors, or all that are known of where the
// allowed ones cannot be told.
func (r root) cpus(allowed []int) []CPU {
	processors := topology.Of(r.files, allowed).CPUs
	found := make([]CPU, 0, len(processors))
	for _, p := range processors {
		found = append(found, CPU{Number: p.Number, Model: model(p.Info), Core: p.Core, Socket: p.Socket, LLC: p.LLC})
	}
	return found
}

// model names a processor by what its architecture writes into /proc/cpuinfo.
func model(block map[string]string) string {
	named := cmp.Or(
		block["model name"], // x86, and arm64 in a 32-bit personality
		block["cpu model"],  // mips
		block["cpu"],        // powerpc
		block["uarch"],      // riscv
	)
	if named != "" {
		return named
	}
	implementer, part := block["CPU implementer"], block["CPU part"]
	if implementer == "" || part == "" {
		return ""
	}
	if name, known := armCores[implementer+" "+part]; known {
		return name
	}
	return fmt.Sprintf("Arm implementer %s part %s", implementer, part)
}

// armCores names the 64-bit Arm cores that servers and developers' boards have
// by the implementer and part number of MIDR_EL1, from the technical reference
// manual of each.
var armCores = map[string]string{
	"0x41 0xd03": "Cortex-A53",
	"0x41 0xd05": "Cortex-A55",
	"0x41 0xd08": "Cortex-A72",
	"0x41 0xd0b": "Cortex-A76",
	"0x41 0xd0c": "Neoverse-N1",
	"0x41 0xd40": "Neoverse-V1",
	"0x41 0xd49": "Neoverse-N2",
	"0x41 0xd4f": "Neoverse-V2",
	"0x41 0xd8e": "Neoverse-N3",
	"0x41 0xd84": "Neoverse-V3",
	"0xc0 0xac3": "Ampere-1",
	"0xc0 0xac4": "Ampere-1A",
}
