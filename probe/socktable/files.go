package socktable

import "context"

// ReadFiles lists sockets as Read does, but from /proc/thread-self/net alone
// (proc_pid_net(5)), for the comparison with what sock_diag tells: without
// interface, cookie, shutdown, V6Only and cgroup. It knows no owners, and of
// Unix nothing.
func ReadFiles(ctx context.Context, o Options) ([]Socket, error) { return readFiles(ctx, o) }
