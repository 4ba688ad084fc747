package spec

import (
	"context"
	"time"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// reportTime is how long is waited for the report that a segment came twice, where one
// was sent again.
const reportTime = 500 * time.Millisecond

// LostSegments counts the segments that the ends of a connection sent again and that
// the other had not had already: where a machine stands still for a moment, a timer of
// the sender may run out before the acknowledgement is seen. The reports of what came
// twice (RFC 2883) are under way when what was sent again counts already, and have
// half a second to come.
func LostSegments(ctx context.Context, ends ...*sock.Socket) (lost int, err error) {
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	for {
		lost = 0
		for _, end := range ends {
			info, err := end.TCPInfo()
			if err != nil {
				return lost, err
			}
			lost += max(0, int(info.Retransmissions)-int(info.DuplicatesReported))
		}
		if lost == 0 || ctx.Err() != nil {
			return lost, nil
		}
		time.Sleep(time.Millisecond) // nothing tells of a counter
	}
}
