package faults

import "syscall"

// Variants are machines that are in order. None of the checks may say otherwise.
func Variants() []Variant { return healthy }

const ids = 1001 // user 1000 has to exist

var healthy = []Variant{
	{Name: "plain", About: "lo and nothing else"},
	{Name: "ipv6-off", About: "IPv6 switched off by sysctl, and localhost without it", World: []string{
		"for i in all default lo; do sysctl -qw net.ipv6.conf.$i.disable_ipv6=1; done", "printf '127.0.0.1 localhost\\n' > /etc/hosts",
	}},
	{Name: "large-buffers", About: "TCP buffers of up to 64 MiB", World: []string{
		"sysctl -qw net.ipv4.tcp_rmem='4096 262144 67108864' net.ipv4.tcp_wmem='4096 262144 67108864' net.core.optmem_max=1048576",
	}},
	{Name: "bbr", About: "congestion control bbr", World: one("sysctl -qw net.ipv4.tcp_congestion_control=bbr")},
	{Name: "reno", About: "congestion control reno", World: one("sysctl -qw net.ipv4.tcp_congestion_control=reno")},
	{Name: "time-wait-reuse", About: "tcp_tw_reuse=1 and tcp_fin_timeout=15", World: one("sysctl -qw net.ipv4.tcp_tw_reuse=1 net.ipv4.tcp_fin_timeout=15")},
	{Name: "long-backlogs", About: "somaxconn and tcp_max_syn_backlog 65535", World: one("sysctl -qw net.core.somaxconn=65535 net.ipv4.tcp_max_syn_backlog=65535")},
	{Name: "wide-port-range", About: "ip_local_port_range 1024 65535", World: one("sysctl -qw net.ipv4.ip_local_port_range='1024 65535'")},
	{Name: "tuned-server", About: "all that guides for busy servers advise, at once", World: one(
		"sysctl -qw net.ipv4.ip_local_port_range='1024 65535' net.core.somaxconn=65535 net.ipv4.tcp_max_syn_backlog=65535 net.ipv4.tcp_tw_reuse=1 net.ipv4.tcp_fin_timeout=10 net.ipv4.tcp_slow_start_after_idle=0 net.ipv4.tcp_mtu_probing=1 net.ipv4.tcp_fastopen=3 net.ipv4.tcp_notsent_lowat=131072 net.ipv4.tcp_keepalive_time=300 net.ipv4.tcp_keepalive_intvl=30 net.ipv4.tcp_keepalive_probes=5 net.ipv4.tcp_max_tw_buckets=1440000 net.ipv4.tcp_congestion_control=bbr net.ipv4.tcp_rmem='4096 87380 33554432' net.ipv4.tcp_wmem='4096 65536 33554432'",
	)},
	{Name: "hardened", About: "what hardening guides advise: rp_filter, no redirects, rfc1337", World: one(
		"sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1 net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.all.accept_source_route=0 net.ipv4.conf.all.log_martians=1 net.ipv4.tcp_rfc1337=1 net.ipv6.conf.all.accept_ra=0 net.ipv4.icmp_echo_ignore_broadcasts=1",
	)},
	{Name: "router", About: "forwarding on, ECN requested, low ports for everybody", World: one(
		"sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.tcp_ecn=1 net.ipv4.ip_unprivileged_port_start=0",
	)},
	{Name: "nft-accepts-lo", About: "an nftables firewall that drops all but lo, what is established and SSH", World: []string{wire, `nft -f - <<'END'
table inet filter {
	chain input { type filter hook input priority 0; policy drop
		iif lo accept
		ct state established,related accept
		ct state invalid drop
		tcp dport 22 accept
		icmp type echo-request limit rate 5/second accept
	}
	chain forward { type filter hook forward priority 0; policy drop; }
	chain output { type filter hook output priority 0; policy accept; }
}
END`}},
	{Name: "nft-drops-martians", About: "a firewall that drops 127/8 from other interfaces, and counts lo", World: []string{wire, `nft -f - <<'END'
table inet guard {
	chain pre { type filter hook prerouting priority -300
		iifname != "lo" ip daddr 127.0.0.0/8 drop
		iifname != "lo" ip6 daddr ::1 drop
		iifname "lo" counter
	}
}
END`}},
	{Name: "iptables-accepts-lo", About: "the same with iptables-nft", World: one(
		"iptables-nft -A INPUT -i lo -j ACCEPT && iptables-nft -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT && iptables-nft -A INPUT -p tcp --dport 22 -j ACCEPT && iptables-nft -P INPUT DROP && iptables-nft -P FORWARD DROP",
	), Needs: one("iptables-nft")},
	{Name: "iptables-legacy-accepts-lo", About: "the same with iptables-legacy", World: one(
		"iptables-legacy -A INPUT -i lo -j ACCEPT && iptables-legacy -A INPUT -p tcp --dport 22 -j ACCEPT && iptables-legacy -P INPUT DROP && iptables-legacy -P FORWARD DROP",
	), Needs: one("iptables-legacy")},
	{Name: "docker", About: "a Docker host: bridge, a container's veth, chains of nat and filter, a published port", World: one(`set -e
ip link add docker0 type bridge
ip address add 172.17.0.1/16 dev docker0
ip link set docker0 up
ip link add veth1a type veth peer name eth1
ip link set veth1a master docker0 up
ip link set eth1 up
sysctl -qw net.ipv4.ip_forward=1
iptables-nft -t nat -N DOCKER
iptables-nft -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables-nft -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
iptables-nft -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
iptables-nft -t nat -A DOCKER -i docker0 -j RETURN
iptables-nft -t nat -A DOCKER ! -i docker0 -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
iptables-nft -N DOCKER
iptables-nft -N DOCKER-USER
iptables-nft -P FORWARD DROP
iptables-nft -A FORWARD -j DOCKER-USER
iptables-nft -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables-nft -A FORWARD -o docker0 -j DOCKER
iptables-nft -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT`), Needs: one("iptables-nft")},
	{Name: "kubernetes", About: "a Kubernetes node: cni0, kube-proxy's chains, a cluster IP, marks and masquerading", World: one(`set -e
ip link add cni0 type bridge
ip address add 10.244.0.1/24 dev cni0
ip link set cni0 mtu 1450 up
ip link add vetha type veth peer name vethb
ip link set vetha master cni0 up
ip link set vethb up
sysctl -qw net.ipv4.ip_forward=1
for c in KUBE-SERVICES KUBE-POSTROUTING KUBE-MARK-MASQ KUBE-SVC-A KUBE-SEP-A KUBE-NODEPORTS; do iptables-nft -t nat -N $c; done
iptables-nft -t nat -A PREROUTING -j KUBE-SERVICES
iptables-nft -t nat -A OUTPUT -j KUBE-SERVICES
iptables-nft -t nat -A POSTROUTING -j KUBE-POSTROUTING
iptables-nft -t nat -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
iptables-nft -t nat -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
iptables-nft -t nat -A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
iptables-nft -t nat -A KUBE-POSTROUTING -j MASQUERADE
iptables-nft -t nat -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp --dport 443 -j KUBE-SVC-A
iptables-nft -t nat -A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
iptables-nft -t nat -A KUBE-NODEPORTS -d 127.0.0.0/8 -j RETURN
iptables-nft -t nat -A KUBE-NODEPORTS -p tcp --dport 30080 -j KUBE-SVC-A
iptables-nft -t nat -A KUBE-SVC-A ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ
iptables-nft -t nat -A KUBE-SVC-A -j KUBE-SEP-A
iptables-nft -t nat -A KUBE-SEP-A -p tcp -j DNAT --to-destination 10.244.0.7:6443
iptables-nft -N KUBE-FIREWALL
iptables-nft -A INPUT -j KUBE-FIREWALL
iptables-nft -A OUTPUT -j KUBE-FIREWALL
iptables-nft -A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
ip rule add pref 9 fwmark 0x200/0xf00 lookup 2004`), Needs: one("iptables-nft")},
	{Name: "vpn", About: "a policy-routed VPN: a tun device, a mark, a table and rules of its own", World: one(`set -e
ip tuntap add dev wg0 mode tun
ip address add 10.8.0.2/24 dev wg0
ip link set wg0 mtu 1420 up
ip route add default dev wg0 table 51820
ip rule add not fwmark 51820 table 51820
ip rule add table main suppress_prefixlength 0`)},
	{Name: "anycast", About: "service addresses on lo beside 127.0.0.1", World: one("ip address add 10.10.10.10/32 dev lo && ip address add 127.0.0.53/8 dev lo && ip address add 2001:db8::10/128 dev lo nodad")},
	{Name: "jumbo-frames", About: "an Ethernet with MTU 9000", World: []string{wire, "ip link set lab0 mtu 9000"}},
	{Name: "tunnel-mtu", About: "an Ethernet with MTU 1400, as over a tunnel", World: []string{wire, "ip link set lab0 mtu 1400"}},
	{Name: "shaped-ethernet", About: "an Ethernet shaped by htb, lo untouched", World: []string{wire, "tc qdisc add dev lab0 root handle 1: htb default 1", "tc class add dev lab0 parent 1: classid 1:1 htb rate 100mbit"}},
	{Name: "busy-cpus", About: "two busy processes beside it", Process: Process{Hogs: 2}},
	{Name: "one-cpu", About: "on one processor by affinity", Process: Process{Wrap: "taskset -c 0"}, Needs: one("taskset")},
	{Name: "resolved", About: "names as systemd-resolved sets them up: stub 127.0.0.53, nss-resolve first", World: []string{
		"printf 'nameserver 127.0.0.53\\noptions edns0 trust-ad\\nsearch .\\n' > /etc/resolv.conf",
		"sed -i '/^hosts:/d' /etc/nsswitch.conf 2>/dev/null; echo 'hosts: files myhostname resolve [!UNAVAIL=return] dns' >> /etc/nsswitch.conf",
		"printf '127.0.0.1 localhost\\n127.0.1.1 host.example host\\n::1 localhost ip6-localhost ip6-loopback\\n' > /etc/hosts",
	}},
	{Name: "redhat-hosts", About: "a hosts file with many names for localhost", World: one(
		"printf '127.0.0.1   localhost localhost.localdomain localhost4 localhost4.localdomain4\\n::1         localhost localhost.localdomain localhost6 localhost6.localdomain6\\n' > /etc/hosts",
	)},
	{Name: "ordinary-user", About: "as user 1000, without capabilities", Process: Process{Wrap: anotherUser}, Needs: one("setpriv"), IDs: ids},
	{Name: "ping-group", About: "as user 1000, whose group may ping", World: one("sysctl -qw net.ipv4.ping_group_range='0 1000'"), Process: Process{Wrap: anotherUser}, Needs: one("setpriv"), IDs: ids},
	{Name: "read-only-root", About: "nothing but /run can be written", World: one("mount -o remount,bind,ro /etc && mount --bind /tmp /tmp && mount -o remount,bind,ro /tmp")},
	{Name: "no-user-namespaces", About: "user namespaces refused, as user 1000", World: one("sysctl -qw user.max_user_namespaces=0"), Process: Process{Wrap: anotherUser}, Needs: one("setpriv"), IDs: ids},
	{Name: "no-proc-sys", About: "/proc/sys is empty", World: one("mount -t tmpfs -o ro none /proc/sys")},
	{Name: "read-only-sys", About: "/sys and /proc/sys can only be read", World: one(
		"mount -o remount,bind,ro /sys && mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys",
	)},
	{Name: "container", About: "as a container runtime leaves root: no capabilities, no namespaces, no mounts, /proc/sys and /sys read-only", World: one(
		"sysctl -qw user.max_user_namespaces=0; mount -o remount,bind,ro /sys && mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && mount --bind /dev/null /proc/keys",
	), Process: Process{Wrap: "setpriv --bounding-set=-all --inh-caps=-all", Refuse: []string{"unshare", "mount", "bpf", "ptrace", "perf_event_open"}}, Needs: one("setpriv")},
	{Name: "no-raw-sockets-by-seccomp", About: "a seccomp filter refuses raw sockets", Process: Process{Type: "raw"}},
	{Name: "no-packet-sockets", About: "a seccomp filter refuses packet sockets", Process: Process{Family: "packet"}},
	{Name: "no-namespaces-by-seccomp", About: "a seccomp filter refuses namespaces to root", World: one("sysctl -qw user.max_user_namespaces=0"), Process: Process{Refuse: one("unshare")}},
	{Name: "no-ipv6-sockets", About: "the kernel has no IPv6 sockets", World: []string{
		"for i in all default lo; do sysctl -qw net.ipv6.conf.$i.disable_ipv6=1; done", "mount -t tmpfs -o ro none /proc/sys/net/ipv6", "printf '127.0.0.1 localhost\n' > /etc/hosts",
	}, Process: Process{Family: "inet6", Answer: syscall.EAFNOSUPPORT}},
	{Name: "older-kernel", About: "a kernel without the system calls that came since 5.1", Process: Process{
		Refuse: []string{"clone3", "close_range", "openat2", "faccessat2", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "mount_setattr", "epoll_pwait2", "io_uring_setup"},
		Answer: syscall.ENOSYS,
	}},
	{Name: "proxy", About: "a load balancer: addresses that are not there may be bound, no early demultiplexing, short timeouts", World: one(
		"sysctl -qw net.ipv4.ip_nonlocal_bind=1 net.ipv4.tcp_early_demux=0 net.ipv4.udp_early_demux=0 net.ipv4.tcp_fin_timeout=10 net.ipv4.tcp_keepalive_time=60 net.ipv4.tcp_keepalive_intvl=10 net.ipv4.tcp_keepalive_probes=3 net.ipv4.tcp_notsent_lowat=16384 net.ipv4.tcp_orphan_retries=1 net.ipv4.tcp_autocorking=0 net.ipv4.tcp_ecn=1 net.ipv4.tcp_syn_retries=3 net.ipv4.tcp_synack_retries=3 net.ipv4.tcp_retries2=8",
	)},
	{Name: "open-files-1024", About: "at most 1,024 open files, the usual soft limit", Process: Process{Wrap: "prlimit --nofile=1024:"}, Needs: one("prlimit")},
}
