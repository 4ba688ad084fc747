package tcp

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// settingText is a setting of the kernel as it stands. It skips the spec where
// there is none, as in network namespaces of older kernels.
func settingText(name string) string {
	GinkgoHelper()
	text, err := sysctl.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		spec.Skip(check.Need{Name: name, How: "run it outside of a container, or on a later Linux, where the setting can be read"}, err.Error())
	}
	Expect(err).NotTo(HaveOccurred())
	return text
}

// setting is a setting of the kernel that is one number.
func setting(name string) int {
	GinkgoHelper()
	n, err := strconv.Atoi(settingText(name))
	Expect(err).NotTo(HaveOccurred(), name)
	return n
}

// settings is a setting of the kernel that is several numbers.
func settings(name string) []int {
	GinkgoHelper()
	var numbers []int
	for _, field := range strings.Fields(settingText(name)) {
		n, err := strconv.Atoi(field)
		Expect(err).NotTo(HaveOccurred(), name)
		numbers = append(numbers, n)
	}
	return numbers
}

// optInfo is what the kernel says of each end of a connection.
func optInfo(ends ...*sock.Socket) []sock.TCPInfo {
	GinkgoHelper()
	var told []sock.TCPInfo
	for _, end := range ends {
		info, err := end.TCPInfo()
		Expect(err).NotTo(HaveOccurred())
		told = append(told, info)
	}
	return told
}
