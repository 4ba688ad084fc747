package check

import (
	"cmp"
	"fmt"
)

// Kernels is a span of kernel versions, such as "5.14". Either end may be
// empty. It is for behaviour that changed and that nothing but its outcome
// tells: whether a kernel has a feature is asked of the kernel.
type Kernels struct {
	First string `json:"first,omitempty"`
	Last  string `json:"last,omitempty"`
}

// Outside says why a kernel of that release, as uname(2) gives it, is not among
// them, or "" where it is, or where the release cannot be read.
func (k Kernels) Outside(release string) string {
	version, ok := parseVersion(release)
	if !ok {
		return ""
	}
	if first, bounded := parseVersion(k.First); bounded && version.before(first) {
		return fmt.Sprintf("this is Linux %d.%d, and it behaves so from %s on", version[0], version[1], k.First)
	}
	if last, bounded := parseVersion(k.Last); bounded && last.before(version) {
		return fmt.Sprintf("this is Linux %d.%d, and it behaved so up to %s", version[0], version[1], k.Last)
	}
	return ""
}

// version is its first two numbers: the third is for corrections.
type version [2]int

func parseVersion(text string) (v version, ok bool) {
	n, err := fmt.Sscanf(text, "%d.%d", &v[0], &v[1])
	return v, n == 2 && err == nil
}

func (v version) before(other version) bool {
	return cmp.Or(cmp.Compare(v[0], other[0]), cmp.Compare(v[1], other[1])) < 0
}
