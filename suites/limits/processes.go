package limits

import (
	"fmt"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/process"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var procLimits = check.Need{Name: "/proc/self/limits", How: "mount what hides it away: `mount -t proc proc /proc`"}

var _ = suite.It("leaves room for the processes and threads of a small service", check.Check{
	ID: "LIM-017", Grade: check.GradeAdvice, OS: "linux",
	Source: "getrlimit(2), RLIMIT_NPROC; Documentation/admin-guide/cgroup-v2.rst, pids.max; clone(2), EAGAIN",
	Asks:   fmt.Sprintf("Reads how many processes and threads this user may have (RLIMIT_NPROC, which does not hold for root) and the control groups around this process may hold (pids.max), and how many there are. There must be room for %d more.", process.UsualRoom),
	Why:    "Threads count as processes. At the limit clone fails with EAGAIN: a Java service ends with OutOfMemoryError (unable to create native thread), a Go program with a crash, and a shell cannot even start ps to look why.",
	Causes: []string{
		"limits.conf(5), the systemd unit (LimitNPROC=, TasksMax=) or the container's runtime (--pids-limit) sets a low one",
		"something leaks threads or leaves dead processes behind",
	},
	Remedies: []string{
		"for a shell and what it starts: `ulimit -u 4096`",
		"for a systemd unit: TasksMax=512 and LimitNPROC=4096 below [Service], with `systemctl edit UNIT`",
		"for a container: `docker run --pids-limit 512 …`",
		"see who has how many threads: `ps -eLo user= | sort | uniq -c`",
	},
}, func(SpecContext) {
	limits, err := process.ReadLimits()
	if err != nil {
		spec.Skip(procLimits, err.Error())
	}
	rights, err := process.Read()
	Expect(err).NotTo(HaveOccurred())
	rooms := process.Rooms(os.DirFS("/"), rights, limits)
	if len(rooms) == 0 {
		spec.Evidence("processes", "no limit holds for this process")
	}
	for _, room := range rooms {
		spec.Evidence(placeOf(room), "%d, of which %d are taken", room.Soft, room.Running)
	}
	narrow := narrowRooms(rooms)
	Expect(len(narrow) == 0).To(BeTrueBecause("%s", strings.Join(narrow, "; ")))
})

func placeOf(room process.Room) string {
	if room.Group != "" {
		return "/" + room.Group + "/pids.max"
	}
	return fmt.Sprintf("RLIMIT_NPROC of user %d", room.UID)
}

// narrowRooms are the limits that leave too little, in words.
func narrowRooms(rooms []process.Room) []string {
	var narrow []string
	for _, room := range rooms {
		if room.Left() < process.UsualRoom {
			narrow = append(narrow, fmt.Sprintf("%s allows %d processes and threads, of which %d are taken", placeOf(room), room.Soft, room.Running))
		}
	}
	return narrow
}
