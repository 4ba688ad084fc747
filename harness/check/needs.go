package check

// The needs that several suites share. Each How is what a user would do, not
// a description of it.
var (
	PingSocket = Need{
		Name: "ping socket or CAP_NET_RAW",
		How:  "allow ping sockets with `sysctl -w net.ipv4.ping_group_range='0 2147483647'`, or run as root, or give the binary the capability with `setcap cap_net_raw+ep loopcheck`",
	}
	NetRaw = Need{
		Name: "CAP_NET_RAW",
		How:  "run as root, or give the binary the capability with `setcap cap_net_raw+ep loopcheck`",
	}
	IPv6 = Need{
		Name: "IPv6 loopback",
		How: "have the kernel started without ipv6.disable=1; give lo its ::1 again with `sysctl -w net.ipv6.conf.lo.disable_ipv6=0`; " +
			"where its MTU is below 1,280, raise it with `ip link set dev lo mtu 65536` and then `ip address add ::1/128 dev lo`",
	}
	BindToDevice = Need{
		Name: "SO_BINDTODEVICE",
		How:  "run it on Linux 5.7 or later, or as root, or give the binary the capability with `setcap cap_net_raw+ep loopcheck`",
	}
	OpenFiles = Need{
		Name: "open files",
		How:  "raise the limit with `ulimit -n 4096`, or LimitNOFILE= in a systemd unit",
	}
	Sandbox = Need{
		Name: "private namespaces",
		How:  "allow them with `sysctl -w user.max_user_namespaces=10000`, `sysctl -w kernel.unprivileged_userns_clone=1` or `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or run as root",
	}
	OwnSettings = Need{
		Name: "settings of private namespaces",
		How:  "run it where /proc/sys can be written: outside of the container, or in one started with `--security-opt systempaths=unconfined` (Docker) or `--security-opt unmask=ALL` (Podman)",
	}
	Kernel = Need{
		Name: "another kernel",
		How:  "run it on a kernel of the versions that the check is about",
	}
	Linux = Need{
		Name: "Linux",
		How:  "run it on Linux: the behaviour asked for, or the way to see it, is Linux's own",
	}
)
