package host

import "strings"

// settings are the sysctls that change how loopback behaves or how fast it is.
//
// Source: Documentation/networking/ip-sysctl.rst, nf_conntrack-sysctl.rst and
// Documentation/admin-guide/sysctl/net.rst.
var settings = []string{
	// Buffers and their autotuning.
	"net.core.rmem_default",
	"net.core.rmem_max",
	"net.core.wmem_default",
	"net.core.wmem_max",
	"net.core.optmem_max",
	"net.ipv4.tcp_rmem",
	"net.ipv4.tcp_wmem",
	"net.ipv4.tcp_mem",
	"net.ipv4.tcp_moderate_rcvbuf",
	"net.ipv4.tcp_notsent_lowat",
	"net.ipv4.udp_mem",
	"net.ipv4.udp_rmem_min",
	"net.ipv4.udp_wmem_min",

	// Queues: of a device, of connections to be accepted, of half-open ones.
	"net.core.netdev_max_backlog",
	"net.core.netdev_budget",
	"net.core.default_qdisc",
	"net.core.busy_poll",
	"net.core.busy_read",
	"net.core.somaxconn",
	"net.ipv4.tcp_max_syn_backlog",
	"net.ipv4.tcp_syncookies",
	"net.ipv4.tcp_abort_on_overflow",

	// Ports and their reuse.
	"net.ipv4.ip_local_port_range",
	"net.ipv4.ip_local_reserved_ports",
	"net.ipv4.ip_unprivileged_port_start",
	"net.ipv4.ip_nonlocal_bind",
	"net.ipv4.ip_autobind_reuse",
	"net.ipv4.tcp_tw_reuse",
	"net.ipv4.tcp_max_tw_buckets",
	"net.ipv4.tcp_max_orphans",

	// Timeouts, retries, keepalive.
	"net.ipv4.tcp_fin_timeout",
	"net.ipv4.tcp_syn_retries",
	"net.ipv4.tcp_synack_retries",
	"net.ipv4.tcp_retries1",
	"net.ipv4.tcp_retries2",
	"net.ipv4.tcp_orphan_retries",
	"net.ipv4.tcp_rto_min_us",
	"net.ipv4.tcp_keepalive_time",
	"net.ipv4.tcp_keepalive_intvl",
	"net.ipv4.tcp_keepalive_probes",

	// TCP options and congestion control.
	"net.ipv4.tcp_sack",
	"net.ipv4.tcp_timestamps",
	"net.ipv4.tcp_window_scaling",
	"net.ipv4.tcp_ecn",
	"net.ipv4.tcp_fastopen",
	"net.ipv4.tcp_autocorking",
	"net.ipv4.tcp_mtu_probing",
	"net.ipv4.tcp_rfc1337",
	"net.ipv4.tcp_slow_start_after_idle",
	"net.ipv4.tcp_congestion_control",
	"net.ipv4.tcp_available_congestion_control",

	// ICMP and ping.
	"net.ipv4.icmp_echo_ignore_all",
	"net.ipv4.icmp_echo_ignore_broadcasts",
	"net.ipv4.icmp_ratelimit",
	"net.ipv4.icmp_ratemask",
	"net.ipv4.icmp_msgs_per_sec",
	"net.ipv4.ping_group_range",
	"net.ipv6.icmp.echo_ignore_all",
	"net.ipv6.icmp.ratelimit",

	// Forwarding and local routing.
	"net.ipv4.ip_default_ttl",
	"net.ipv4.ip_forward",
	"net.ipv4.conf.all.rp_filter",
	"net.ipv4.conf.lo.rp_filter",
	"net.ipv4.conf.all.route_localnet",
	"net.ipv4.conf.all.accept_local",
	"net.ipv6.conf.all.forwarding",

	// The connection tracking table.
	"net.netfilter.nf_conntrack_max",
	"net.netfilter.nf_conntrack_count",
	"net.netfilter.nf_conntrack_buckets",
	"net.netfilter.nf_conntrack_tcp_loose",
	"net.netfilter.nf_conntrack_tcp_timeout_established",
	"net.netfilter.nf_conntrack_tcp_timeout_time_wait",
	"net.netfilter.nf_conntrack_udp_timeout",

	// IPv6.
	"net.ipv6.bindv6only",
	"net.ipv6.conf.all.disable_ipv6",
	"net.ipv6.conf.default.disable_ipv6",
	"net.ipv6.conf.lo.disable_ipv6",
}

// sysctls reads the settings; those this kernel or namespace does not have, or
// does not show to this user, are left out.
func (r root) sysctls() map[string]string {
	values := map[string]string{}
	for _, name := range settings {
		text, err := r.read("proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		if err != nil {
			continue
		}
		// Settings of several numbers have tabs between them.
		values[name] = strings.Join(strings.Fields(string(text)), " ")
	}
	return values
}
