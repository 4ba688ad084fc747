package leftovers

import (
	"os"
	"slices"
	"testing"
)

func TestSocketsWithoutOwner(t *testing.T) {
	bound := socket{proto: "udp", inode: "7", text: "127.0.0.1:9", uid: os.Geteuid(), bound: true}
	connected := socket{proto: "tcp", inode: "7", text: "ESTABLISHED 127.0.0.1:9"}
	others := bound
	others.uid++
	theirs := map[string][]*process{"socket:[7]": {{}}}
	left := []string{"socket left: udp 127.0.0.1:9, held by no process in sight"}
	for name, test := range map[string]struct {
		socket  socket
		closed  bool // by the second look
		owners  map[string][]*process
		hidden  int
		reports []string
	}{
		"bound and still there":               {socket: bound, reports: left},
		"closed while owners were looked for": {socket: bound, closed: true},
		"of another process":                  {socket: bound, owners: theirs},
		"not bound":                           {socket: connected},
		"of another user who is hidden":       {socket: others, hidden: 1},
		"of another user, none hidden":        {socket: others, reports: left},
	} {
		t.Run(name, func(t *testing.T) {
			list := socketList{sockets: []socket{test.socket}}
			again := list
			if test.closed {
				again = socketList{}
			}
			after := list.area(&census{sockets: test.owners, hidden: test.hidden}, again)
			got := lines(Compare(snapshotOf(Socket, newArea()), snapshotOf(Socket, after)))
			if !slices.Equal(got, test.reports) {
				t.Errorf("got %q, want %q", got, test.reports)
			}
		})
	}
}
