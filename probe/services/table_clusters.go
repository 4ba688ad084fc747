package services

var coordination = []Service{
	{
		Name: "etcd", Kind: Coordination, Ports: tcp(2379, 2380), Processes: []string{"etcd"},
		Reason:       "Without authentication, which is the default, whoever reaches it reads and changes every key, the secrets of a Kubernetes cluster among them.",
		Bind:         `ETCD_LISTEN_CLIENT_URLS="http://127.0.0.1:2379" and ETCD_LISTEN_PEER_URLS="http://127.0.0.1:2380" in /etc/default/etcd`,
		Authenticate: "etcdctl auth enable, after etcdctl user add root; or ETCD_CLIENT_CERT_AUTH=true in /etc/default/etcd",
		ask:          askEtcd,
	},
	{
		Name: "ZooKeeper", Kind: Coordination, Ports: tcp(2181),
		Reason:       "Whoever reaches it reads and changes every node that has no ACL.",
		Bind:         "clientPortAddress=127.0.0.1 in /etc/zookeeper/conf/zoo.cfg",
		Authenticate: "sessionRequireClientSASLAuth=true (version 3.6 and later) in /etc/zookeeper/conf/zoo.cfg",
	},
	{
		Name: "Consul", Kind: Coordination, Ports: tcp(8500, 8501), Processes: []string{"consul"},
		Reason:       "Without ACLs, which is the default, whoever reaches it reads and changes keys and registers services with checks of their own.",
		Bind:         `client_addr = "127.0.0.1" in /etc/consul.d/consul.hcl`,
		Authenticate: `acl { enabled = true, default_policy = "deny" } in /etc/consul.d/consul.hcl`,
		peers:        both(8300, 8301, 8302, 8502, 8503, 8600),
	},
	{
		Name: "Vault", Kind: Coordination, Ports: tcp(8200), Processes: []string{"vault"},
		Reason:       "Whoever has a token reads the secrets that it opens, and a -dev server keeps its root token on the command line or in its log.",
		Bind:         `address = "127.0.0.1:8200" of listener "tcp" in /etc/vault.d/vault.hcl`,
		Authenticate: "it always asks; a server with storage in /etc/vault.d/vault.hcl in place of -dev",
		peers:        tcp(8201),
	},
	{
		Name: "Nomad", Kind: Coordination, Ports: tcp(4646), Processes: []string{"nomad"},
		Reason:       "Without ACLs, which is the default, whoever reaches it runs jobs on the machines of the cluster.",
		Bind:         `bind_addr = "127.0.0.1" in /etc/nomad.d/nomad.hcl`,
		Authenticate: "acl { enabled = true } in /etc/nomad.d/nomad.hcl",
		peers:        both(4647, 4648),
	},
	{
		Name: "Erlang port mapper (epmd)", Kind: Coordination, Ports: tcp(4369), Processes: []string{"epmd"},
		Reason: "Whoever reaches it learns the names and ports of the Erlang nodes here, such as RabbitMQ's.",
		Bind:   "ERL_EPMD_ADDRESS=127.0.0.1 in its environment, or -address 127.0.0.1 of epmd",
	},
	{
		Name: "rpcbind", Kind: Coordination, Ports: both(111), Processes: []string{"rpcbind"},
		Reason: "Whoever reaches it learns which RPC services run here and on what ports, and over UDP it amplifies attacks on others.",
		Bind:   "empty ListenStream= and ListenDatagram=, then 127.0.0.1:111 for both, under [Socket] in /etc/systemd/system/rpcbind.socket.d/local.conf",
	},
	{
		Name: "YARN ResourceManager", Kind: Coordination, Ports: tcp(8088, 8032),
		Reason:       "Without Kerberos whoever reaches it submits applications, which run commands on the nodes.",
		Bind:         "yarn.resourcemanager.bind-host of 127.0.0.1 in etc/hadoop/yarn-site.xml",
		Authenticate: "hadoop.security.authentication of kerberos in etc/hadoop/core-site.xml",
	},
}

var containers = []Service{
	{
		Name: "Docker API", Kind: Containers, Ports: tcp(2375, 2376), Processes: []string{"dockerd"},
		Reason:       "Whoever reaches it without TLS starts a container that mounts the host's files, and so is root.",
		Bind:         `"hosts": ["unix:///var/run/docker.sock"] in /etc/docker/daemon.json, where TCP has to be "tcp://127.0.0.1:2375"`,
		Authenticate: `"tlsverify": true with "tlscacert", "tlscert" and "tlskey" in /etc/docker/daemon.json`,
		peers:        both(2377, 7946),
		ask:          askDocker,
	},
	{
		Name: "kubelet", Kind: Containers, Ports: tcp(10250, 10255), Processes: []string{"kubelet"},
		Reason:       "Where anonymous requests are allowed, whoever reaches it runs commands in every pod; the read-only port tells of the pods to all.",
		Bind:         "address: 127.0.0.1 in /var/lib/kubelet/config.yaml, where no other machine holds the control plane",
		Authenticate: "authentication.anonymous.enabled: false, authorization.mode: Webhook and readOnlyPort: 0 in /var/lib/kubelet/config.yaml",
	},
}
