package tcp

import (
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// setting is a setting of the kernel that is one number.
func setting(name string) int {
	GinkgoHelper()
	n, err := strconv.Atoi(spec.Setting(name))
	Expect(err).NotTo(HaveOccurred(), name)
	return n
}

// settings is a setting of the kernel that is several numbers.
func settings(name string) []int {
	GinkgoHelper()
	var numbers []int
	for _, field := range strings.Fields(spec.Setting(name)) {
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
