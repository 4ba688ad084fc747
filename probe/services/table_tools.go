package services

var debuggers = []Service{
	{
		Name: "Node.js inspector", Kind: Debugger, Ports: tcp(9229),
		Reason: "Whoever reaches it runs JavaScript in the program, as its user.",
		Bind:   "--inspect=127.0.0.1:9229 of node",
	},
	{
		Name: "Java debugger (JDWP)", Kind: Debugger, Ports: tcp(5005),
		Reason: "Whoever reaches it runs code in the Java program, as its user.",
		Bind:   "address=127.0.0.1:5005 in -agentlib:jdwp=transport=dt_socket,server=y of java",
	},
	{
		Name: "JMX over RMI", Kind: Debugger, Ports: tcp(1099),
		Reason:       "Without authentication whoever reaches it manages the Java program and can have it load code.",
		Bind:         "-Dcom.sun.management.jmxremote.host=127.0.0.1 and -Djava.rmi.server.hostname=127.0.0.1 of java",
		Authenticate: "-Dcom.sun.management.jmxremote.authenticate=true and -Dcom.sun.management.jmxremote.password.file=FILE of java",
	},
	{
		Name: "debugpy", Kind: Debugger, Ports: tcp(5678),
		Reason: "Whoever reaches it runs Python in the program, as its user.",
		Bind:   "--listen 127.0.0.1:5678 of python -m debugpy",
	},
	{
		Name: "Delve", Kind: Debugger, Ports: tcp(2345), Processes: []string{"dlv"},
		Reason:       "Whoever reaches it controls the Go program and can start others, as its user.",
		Bind:         "--listen=127.0.0.1:2345 of dlv",
		Authenticate: "--only-same-user=true of dlv, its default, which counts for connections of this machine alone",
	},
	{
		Name: "gdbserver", Kind: Debugger, Ports: tcp(), Processes: []string{"gdbserver"},
		Reason: "Whoever reaches it runs programs and reads files, as its user.",
		Bind:   "gdbserver - PROGRAM behind ssh (target remote | ssh HOST gdbserver - PROGRAM in gdb); of HOST:PORT on its command line the host is ignored",
	},
	{
		Name: "Chrome DevTools", Kind: Debugger, Ports: tcp(9222),
		Reason: "Whoever reaches it drives the browser, with its cookies and the files it may read.",
		Bind:   "no --remote-debugging-address of chrome, which then takes 127.0.0.1",
	},
	{
		Name: "Android Debug Bridge server", Kind: Debugger, Ports: tcp(5037), Processes: []string{"adb"},
		Reason: "Whoever reaches it commands every Android device that is attached.",
		Bind:   "adb without -a, or -L tcp:localhost:5037, of adb start-server",
	},
	{
		Name: "Go pprof", Kind: Debugger, Ports: tcp(6060),
		Reason: "Whoever reaches it reads the program's stacks, heap and command line, and slows it down by profiling.",
		Bind:   `http.ListenAndServe("localhost:6060", nil) in the program's source, such as main.go`,
	},
}

var metrics = []Service{
	{
		Name: "Prometheus", Kind: Metrics, Ports: tcp(9090), Processes: []string{"prometheus"},
		Reason:       "Whoever reaches it reads every metric and the addresses of everything that is watched.",
		Bind:         "--web.listen-address=127.0.0.1:9090 in ARGS of /etc/default/prometheus",
		Authenticate: "basic_auth_users in the file named by --web.config.file in ARGS of /etc/default/prometheus",
	},
	{
		Name: "Prometheus node exporter", Kind: Metrics, Ports: tcp(9100), Processes: []string{"node_exporter", "prometheus-node"},
		Reason:       "Whoever reaches it reads the machine's kernel version, mounts, interfaces and load.",
		Bind:         "--web.listen-address=127.0.0.1:9100 in ARGS of /etc/default/prometheus-node-exporter",
		Authenticate: "basic_auth_users in the file named by --web.config.file in ARGS of /etc/default/prometheus-node-exporter",
	},
	{
		Name: "Prometheus Alertmanager", Kind: Metrics, Ports: tcp(9093), Processes: []string{"alertmanager", "prometheus-aler"},
		Reason:       "Whoever reaches it silences alerts and raises false ones.",
		Bind:         "--web.listen-address=127.0.0.1:9093 in ARGS of /etc/default/prometheus-alertmanager",
		Authenticate: "basic_auth_users in the file named by --web.config.file in ARGS of /etc/default/prometheus-alertmanager",
		peers:        both(9094),
	},
	{
		Name: "Prometheus Pushgateway", Kind: Metrics, Ports: tcp(9091), Processes: []string{"pushgateway", "prometheus-push"},
		Reason:       "Whoever reaches it writes and deletes metrics.",
		Bind:         "--web.listen-address=127.0.0.1:9091 in ARGS of /etc/default/prometheus-pushgateway",
		Authenticate: "basic_auth_users in the file named by --web.config.file in ARGS of /etc/default/prometheus-pushgateway",
	},
	{
		Name: "VictoriaMetrics", Kind: Metrics, Ports: tcp(8428), Processes: []string{"victoria-metric"},
		Reason:       "Whoever reaches it reads, writes and deletes metrics.",
		Bind:         "-httpListenAddr=127.0.0.1:8428 of victoria-metrics",
		Authenticate: "-httpAuth.username and -httpAuth.password of victoria-metrics",
	},
	{
		Name: "Netdata", Kind: Metrics, Ports: tcp(19999), Processes: []string{"netdata"},
		Reason:       "Whoever reaches it reads the machine's processes, users and load.",
		Bind:         "bind to = localhost under [web] in /etc/netdata/netdata.conf",
		Authenticate: "bearer token protection = yes under [web] in /etc/netdata/netdata.conf",
	},
	{
		Name: "Graphite Carbon", Kind: Metrics, Ports: tcp(2003, 2004),
		Reason: "Whoever reaches it writes metrics, and so forges or fills up what Graphite keeps.",
		Bind:   "LINE_RECEIVER_INTERFACE = 127.0.0.1 and PICKLE_RECEIVER_INTERFACE = 127.0.0.1 in /etc/carbon/carbon.conf",
	},
	{
		Name: "Loki", Kind: Metrics, Ports: tcp(3100), Processes: []string{"loki"},
		Reason: "Whoever reaches it reads and writes every log line it keeps.",
		Bind:   "server.http_listen_address: 127.0.0.1 in /etc/loki/config.yml (and server.grpc_listen_address)",
	},
	{
		Name: "Jaeger", Kind: Metrics, Ports: tcp(16686, 14268), Processes: []string{"jaeger", "jaeger-all-in-o", "jaeger-query"},
		Reason: "Whoever reaches it reads every trace, with the addresses and parameters in it.",
		Bind:   "--query.http-server.host-port=127.0.0.1:16686 of jaeger-all-in-one (version 2: extensions.jaeger_query.http.endpoint in the file of --config)",
	},
	{
		Name: "OpenTelemetry Collector", Kind: Metrics, Ports: tcp(4317, 4318), Processes: []string{"otelcol", "otelcol-contrib"},
		Reason:       "Whoever reaches it sends traces, metrics and logs that are taken for true.",
		Bind:         "endpoint: 127.0.0.1:4317 under receivers.otlp.protocols.grpc, and 127.0.0.1:4318 under http, in /etc/otelcol/config.yaml",
		Authenticate: "auth.authenticator: basicauth/server under receivers.otlp.protocols.grpc and http in /etc/otelcol/config.yaml",
	},
	{
		Name: "Logstash API", Kind: Metrics, Ports: tcp(9600),
		Reason:       "Whoever reaches it reads the pipelines' state and changes what is logged.",
		Bind:         "api.http.host: 127.0.0.1 in /etc/logstash/logstash.yml",
		Authenticate: "api.auth.type: basic in /etc/logstash/logstash.yml",
	},
	{
		Name: "SNMP agent", Kind: Metrics, Ports: udp(161), Processes: []string{"snmpd"},
		Reason:       "Whoever knows the community, often public, reads the machine's processes, interfaces and software, and over UDP it amplifies attacks on others.",
		Bind:         "agentaddress 127.0.0.1,[::1] in /etc/snmp/snmpd.conf",
		Authenticate: "createUser and rouser NAME priv in place of rocommunity in /etc/snmp/snmpd.conf",
	},
}

var consoles = []Service{
	{
		Name: "Kibana", Kind: AdminConsole, Ports: tcp(5601),
		Reason:       "Without Elasticsearch's security features whoever reaches it works with every index.",
		Bind:         `server.host: "localhost" in /etc/kibana/kibana.yml`,
		Authenticate: "xpack.security.enabled: true in /etc/elasticsearch/elasticsearch.yml",
	},
	{
		Name: "Supervisor", Kind: AdminConsole, Ports: tcp(9001), Processes: []string{"supervisord"},
		Reason:       "Whoever reaches it starts and stops the programs it looks after and reads their logs.",
		Bind:         "port=127.0.0.1:9001 under [inet_http_server] in /etc/supervisor/supervisord.conf",
		Authenticate: "username and password under [inet_http_server] in /etc/supervisor/supervisord.conf",
	},
	{
		Name: "CUPS", Kind: Printing, Ports: tcp(631), Processes: []string{"cupsd"},
		Reason:       "Whoever reaches it prints, reads the queues and can try passwords of its administrators.",
		Bind:         "Listen localhost:631 in /etc/cups/cupsd.conf",
		Authenticate: "AuthType Default and Require user @SYSTEM in <Location /admin> of /etc/cups/cupsd.conf",
	},
}

var notebooks = []Service{
	{
		Name: "Jupyter", Kind: Notebook, Ports: tcp(8888), Processes: []string{"jupyter-lab", "jupyter-noteboo", "jupyter-server"},
		Reason:       "Without its token whoever reaches it runs programs as its user.",
		Bind:         `c.ServerApp.ip = "127.0.0.1" in ~/.jupyter/jupyter_server_config.py`,
		Authenticate: "no empty token or password in ~/.jupyter/jupyter_server_config.py (jupyter server password sets one)",
		ask:          askJupyter,
	},
	{
		Name: "RStudio Server", Kind: Notebook, Ports: tcp(8787), Processes: []string{"rserver"},
		Reason:       "Passwords of this machine's users can be tried, and whoever logs in runs programs.",
		Bind:         "www-address=127.0.0.1 in /etc/rstudio/rserver.conf",
		Authenticate: "no auth-none=1 in /etc/rstudio/rserver.conf",
	},
	{
		Name: "TensorBoard", Kind: Notebook, Ports: tcp(6006), Processes: []string{"tensorboard"},
		Reason: "Whoever reaches it reads the experiments in its log directory.",
		Bind:   "--host localhost, and no --bind_all, of tensorboard",
	},
	{
		Name: "Ollama", Kind: Models, Ports: tcp(11434), Processes: []string{"ollama"},
		Reason: "Whoever reaches it uses, replaces and deletes models.",
		Bind:   `Environment="OLLAMA_HOST=127.0.0.1:11434" under [Service] in /etc/systemd/system/ollama.service.d/override.conf`,
	},
}

var desktops = []Service{
	{
		Name: "VNC", Kind: Desktop, Ports: tcp(5900, 5901, 5902, 5903), Processes: []string{"Xvnc", "Xtigervnc", "Xtightvnc", "x11vnc", "x0vncserver", "vino-server", "wayvnc"},
		Reason:       "Whoever gets in sees the screen and types on it, and its classic password counts 8 characters.",
		Bind:         "-localhost of Xvnc or x11vnc",
		Authenticate: "-rfbauth FILE of Xvnc or x11vnc",
	},
}

var backends = []Service{
	{
		Name: "PHP-FPM", Kind: Backend, Ports: tcp(9000),
		Processes: []string{
			"php-fpm", "php-fpm7.4", "php-fpm8.0", "php-fpm8.1", "php-fpm8.2", "php-fpm8.3", "php-fpm8.4", "php-fpm8.5",
		},
		Reason: "Whoever reaches it chooses the script and its PHP settings, and so runs code as the pool's user.",
		Bind:   "listen = 127.0.0.1:9000, or a path, in /etc/php/VERSION/fpm/pool.d/www.conf",
	},
	{
		Name: "Tomcat AJP connector", Kind: Backend, Ports: tcp(8009),
		Reason:       "Whoever reaches it is taken for the web server in front, and before version 9.0.31 reads the application's files (CVE-2020-1938).",
		Bind:         `address="127.0.0.1" of the AJP/1.3 Connector in conf/server.xml`,
		Authenticate: `secret="..." and secretRequired="true" of the AJP/1.3 Connector in conf/server.xml`,
	},
}
