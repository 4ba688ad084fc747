package sock

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// FreeDescriptors is how many more descriptors this process may open:
// RLIMIT_NOFILE (getrlimit(2)) less those that are open. The Go runtime has
// raised the soft limit to the hard one when the process began.
func FreeDescriptors() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read RLIMIT_NOFILE: %w", err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, fmt.Errorf("count the open descriptors: %w", err)
	}
	return int(min(limit.Cur, math.MaxInt32)) - len(open), nil
}
