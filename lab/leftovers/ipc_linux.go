package leftovers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// sysvIPC lists the System V objects of the IPC namespace; see sysvipc(7) and
// the heads of the tables in /proc/sysvipc. Message queues of POSIX are files in
// /dev/mqueue, where that is mounted.
func sysvIPC(c *census) area {
	a := newArea()
	for _, kind := range []string{"shm", "sem", "msg"} {
		content, err := os.ReadFile("/proc/sysvipc/" + kind)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without System V IPC
		}
		if err != nil {
			a.note("%v", err)
			continue
		}
		lines := strings.Split(string(content), "\n")
		for _, line := range lines[1:] {
			fields := strings.Fields(line)
			if len(fields) < 5 {
				continue
			}
			key, id := fields[0], fields[1]
			e := entry{name: fmt.Sprintf("%s id %s key %s", kind, id, key)}
			if kind == "shm" {
				// Of shared memory alone the creator is known.
				creator, err := strconv.Atoi(fields[4])
				e.name += fmt.Sprintf(", made by pid %d", creator)
				p, alive := c.processes[creator]
				e.foreign = err == nil && alive && !p.ours
			}
			a.add(kind+" "+id+" "+key, e)
		}
	}
	return a
}
