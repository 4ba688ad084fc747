package faults

const anotherUser = "setpriv --reuid=1000 --regid=1000 --clear-groups"

var limits = family("limits of the process", []Fault{
	{
		Name: "open-files-64", Hurts: "a server has no descriptor for its 60th client", Unaskable: true, RealRoot: true,
		Beyond:  "The remedy raises a hard limit, which takes CAP_SYS_RESOURCE; the root of the machine that the table was made on does not have it.",
		Process: Process{Wrap: "prlimit --nofile=64:64"}, Flagged: one("TCP-029"), Causes: one("open-file-limit"), Ask: one("TCP-029"), Needs: one("prlimit"),
	},
	{
		Name: "open-files-64-soft", Hurts: "a server has no descriptor for its 60th client", Unaskable: true,
		Process: Process{Wrap: "prlimit --nofile=64:4096"}, Flagged: one("LIM-015"), Causes: one("open-file-limit"), Ask: one("limits"), Needs: one("prlimit"),
	},
	{
		Name: "locked-memory-0", Hurts: "sending without copying fails with ENOBUFS",
		Beyond:  "The hard limit is as low, so that the remedy takes root; it is run as the user that is asked about.",
		Process: Process{Wrap: anotherUser + " prlimit --memlock=0:0"}, Flagged: one("TCP-041"), Causes: one("memlock|locked memory"), Needs: []string{"prlimit", "setpriv"},
	},
	{
		Name: "processes-40", Hurts: "a service cannot start threads and helpers", Unaskable: true,
		Beyond:  "The hard limit is as low, so that the remedy takes root; it is run as the user that is asked about.",
		Process: Process{Wrap: anotherUser + " prlimit --nproc=40:40"}, Flagged: one("LIM-*"), Causes: one("nproc|RLIMIT_NPROC"), Needs: []string{"prlimit", "setpriv"},
	},
})

const filterStays = "a seccomp filter cannot be taken off a process (seccomp(2))"

var rights = family("capabilities and seccomp", []Fault{
	{
		Name: "no-raw-sockets", Hurts: "ping and health checks by ICMP are not permitted", Unaskable: true, RealRoot: true,
		Process: Process{Wrap: "setpriv --bounding-set=-net_raw --inh-caps=-net_raw"}, Flagged: one("PING-001"), Causes: one("ping-not-permitted|CAP_NET_RAW"), Ask: one("PING-001"), Needs: one("setpriv"),
	},
	{
		Name: "seccomp-connect", Hurts: "connect fails with EPERM", NoRemedy: filterStays,
		Process: Process{Refuse: one("connect")}, Flagged: one("TCP-031"), Causes: one("seccomp"), Ask: one("TCP-031"),
	},
	{
		Name: "seccomp-bind", Hurts: "no server can be started", NoRemedy: filterStays,
		Process: Process{Refuse: one("bind")}, Flagged: one("TCP-031"), Causes: one("seccomp"), Ask: one("TCP-031"),
	},
	{
		Name: "seccomp-listen", Hurts: "no TCP server can be started", NoRemedy: filterStays,
		Process: Process{Refuse: one("listen")}, Flagged: one("TCP-031"), Causes: one("seccomp"), Ask: one("TCP-031"),
	},
	{
		Name: "seccomp-ipv6", Hurts: "no IPv6 socket can be made", NoRemedy: filterStays, Unaskable: true,
		Process: Process{Family: "inet6"}, Flagged: one("ADDR-004"), Causes: one("seccomp"), Ask: one("ADDR-004"),
	},
	{
		Name: "seccomp-netlink", Hurts: "interfaces, addresses and sockets cannot be listed", NoRemedy: filterStays, Unaskable: true,
		Process: Process{Family: "netlink"}, Flagged: one("PORT-014"), Causes: one("seccomp"), Ask: one("PORT-014"),
	},
})

var cgroups = family("control group programs", []Fault{
	cgroup("bind4", "no server can be started on IPv4", "TCP-031"),
	cgroup("connect4", "connect fails with EPERM", "TCP-031"),
	cgroup("sendmsg4", "datagrams cannot be sent", "UDP-010"),
	cgroup("egress", "nothing that is sent arrives", "UDP-001"),
})

func cgroup(attach, hurts, flagged string) Fault {
	return Fault{
		Name: "cgroup-" + attach, Hurts: hurts, RealRoot: true,
		Machine: Machine{Cgroup: &Cgroup{Attach: attach}}, Flagged: one(flagged), Causes: one("cgroup"), Ask: one(flagged),
	}
}
