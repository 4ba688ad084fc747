package services

// The defaults below are those of each project's own documentation, and the
// files are where its packages for Debian or for Linux put them.

var databases = []Service{
	{
		Name: "PostgreSQL", Kind: Database, Ports: tcp(5432), Processes: []string{"postgres", "postmaster"},
		Reason:       "Whoever may log in reads and changes the databases, and a superuser runs programs as the server's user (COPY TO PROGRAM).",
		Bind:         "listen_addresses = 'localhost' in /etc/postgresql/VERSION/main/postgresql.conf",
		Authenticate: "scram-sha-256 in place of trust on the host lines of /etc/postgresql/VERSION/main/pg_hba.conf",
		ask:          askPostgreSQL,
	},
	{
		Name: "PgBouncer", Kind: Database, Ports: tcp(6432), Processes: []string{"pgbouncer"},
		Reason:       "Whoever reaches it is let through to the PostgreSQL servers behind it, as far as its own authentication allows.",
		Bind:         "listen_addr = 127.0.0.1 in /etc/pgbouncer/pgbouncer.ini",
		Authenticate: "auth_type = scram-sha-256 in /etc/pgbouncer/pgbouncer.ini",
	},
	{
		Name: "MySQL/MariaDB", Kind: Database, Ports: tcp(3306, 33060), Processes: []string{"mysqld", "mariadbd"},
		Reason:       "Whoever may log in reads and changes the databases, and with the FILE privilege files of the server's user.",
		Bind:         "bind-address = 127.0.0.1 under [mysqld] in /etc/mysql/mariadb.conf.d/50-server.cnf (MySQL: /etc/mysql/mysql.conf.d/mysqld.cnf, mysqlx-bind-address too)",
		Authenticate: "a password of root (ALTER USER 'root'@'localhost' IDENTIFIED BY '...'), and no skip-grant-tables in /etc/mysql",
		ask:          askMySQL,
	},
	{
		Name: "MongoDB", Kind: Database, Ports: tcp(27017, 27018, 27019), Processes: []string{"mongod", "mongos"},
		Reason:       "Without authorization, which is the default, whoever reaches it reads, changes and drops every database.",
		Bind:         "net.bindIp: 127.0.0.1 in /etc/mongod.conf",
		Authenticate: "security.authorization: enabled in /etc/mongod.conf",
		ask:          askMongoDB,
	},
	{
		Name: "Elasticsearch/OpenSearch", Kind: Database, Ports: tcp(9200, 9300),
		Reason:       "Without its security features whoever reaches it reads, changes and deletes every index.",
		Bind:         "network.host: 127.0.0.1 in /etc/elasticsearch/elasticsearch.yml (OpenSearch: /etc/opensearch/opensearch.yml)",
		Authenticate: "xpack.security.enabled: true in /etc/elasticsearch/elasticsearch.yml (OpenSearch: no plugins.security.disabled)",
		ask:          askElasticsearch,
	},
	{
		Name: "Solr", Kind: Database, Ports: tcp(8983),
		Reason:       "Without an authentication plugin whoever reaches it reads and changes every collection and its configuration.",
		Bind:         `SOLR_JETTY_HOST="127.0.0.1" in /etc/default/solr.in.sh`,
		Authenticate: "solr.BasicAuthPlugin in security.json (bin/solr auth enable)",
	},
	{
		Name: "Cassandra/ScyllaDB", Kind: Database, Ports: tcp(9042, 9160), Processes: []string{"scylla"},
		Reason:       "With AllowAllAuthenticator, which is the default, whoever reaches it reads and changes every keyspace.",
		Bind:         "rpc_address: 127.0.0.1 and listen_address: 127.0.0.1 in /etc/cassandra/cassandra.yaml (ScyllaDB: /etc/scylla/scylla.yaml)",
		Authenticate: "authenticator: PasswordAuthenticator in /etc/cassandra/cassandra.yaml (ScyllaDB: /etc/scylla/scylla.yaml)",
	},
	{
		Name: "CouchDB", Kind: Database, Ports: tcp(5984, 6984),
		Reason:       "Whoever reaches it reads and changes the databases that are open to all, and before version 3 may be administrator where none was named.",
		Bind:         "bind_address = 127.0.0.1 under [chttpd] in /opt/couchdb/etc/local.ini",
		Authenticate: "require_valid_user = true under [chttpd] in /opt/couchdb/etc/local.ini",
	},
	{
		Name: "InfluxDB", Kind: Database, Ports: tcp(8086), Processes: []string{"influxd"},
		Reason:       "Version 1 has authentication off by default, so that whoever reaches it reads, writes and drops every database.",
		Bind:         `bind-address = "127.0.0.1:8086" under [http] in /etc/influxdb/influxdb.conf (version 2: http-bind-address in /etc/influxdb/config.toml)`,
		Authenticate: "auth-enabled = true under [http] in /etc/influxdb/influxdb.conf (version 2 always asks for a token)",
	},
	{
		Name: "ClickHouse", Kind: Database, Ports: tcp(8123, 9004, 9005, 9009), Processes: []string{"clickhouse-serv"},
		Reason:       "The user default has no password unless one was given, and whoever logs in reads and changes every table.",
		Bind:         "<listen_host>127.0.0.1</listen_host> in /etc/clickhouse-server/config.d/listen.xml",
		Authenticate: "<password_sha256_hex> of the user default in /etc/clickhouse-server/users.d/default-password.xml",
	},
	{
		Name: "Neo4j", Kind: Database, Ports: tcp(7474, 7473, 7687),
		Reason:       "Whoever logs in reads and changes the graph, and with authentication off so does everybody.",
		Bind:         "server.default_listen_address=127.0.0.1 in /etc/neo4j/neo4j.conf (before version 5: dbms.default_listen_address)",
		Authenticate: "dbms.security.auth_enabled=true in /etc/neo4j/neo4j.conf",
	},
	{
		Name: "RethinkDB", Kind: Database, Ports: tcp(28015, 29015), Processes: []string{"rethinkdb"},
		Reason:       "The user admin has no password unless one was given, and whoever logs in reads and changes every table.",
		Bind:         "bind=127.0.0.1 in /etc/rethinkdb/instances.d/NAME.conf",
		Authenticate: "a password of admin: initial-password=... in /etc/rethinkdb/instances.d/NAME.conf before the first start",
	},
	{
		Name: "CockroachDB", Kind: Database, Ports: tcp(26257), Processes: []string{"cockroach"},
		Reason:       "Started with --insecure it takes everybody for whom they say they are, root included.",
		Bind:         "--listen-addr=127.0.0.1:26257 --http-addr=127.0.0.1:8080 of cockroach start",
		Authenticate: "--certs-dir=DIR in place of --insecure of cockroach start",
	},
	{
		Name: "ArangoDB", Kind: Database, Ports: tcp(8529), Processes: []string{"arangod"},
		Reason:       "With authentication off whoever reaches it reads and changes every database and runs JavaScript in the server.",
		Bind:         "endpoint = tcp://127.0.0.1:8529 under [server] in /etc/arangodb3/arangod.conf",
		Authenticate: "authentication = true under [server] in /etc/arangodb3/arangod.conf",
	},
	{
		Name: "Microsoft SQL Server", Kind: Database, Ports: map[string][]uint16{"tcp": {1433}, "udp": {1434}}, Processes: []string{"sqlservr"},
		Reason:       "Passwords of sa can be tried from everywhere, and sa reads and changes every database.",
		Bind:         "ipaddress = 127.0.0.1 under [network] in /var/opt/mssql/mssql.conf (mssql-conf set network.ipaddress 127.0.0.1)",
		Authenticate: "it always asks; a strong password of sa is set by /opt/mssql/bin/mssql-conf set-sa-password",
	},
	{
		Name: "Oracle Database listener", Kind: Database, Ports: tcp(1521), Processes: []string{"tnslsnr"},
		Reason:       "Whoever reaches it learns the databases behind it and can try the passwords of their users.",
		Bind:         "HOST=127.0.0.1 in the ADDRESS of $ORACLE_HOME/network/admin/listener.ora",
		Authenticate: "the databases always ask; accounts that keep a default password are in the view DBA_USERS_WITH_DEFPWD",
	},
	{
		Name: "Firebird", Kind: Database, Ports: tcp(3050), Processes: []string{"firebird"},
		Reason:       "Whoever reaches it can try the passwords of SYSDBA, who reads and changes every database.",
		Bind:         "RemoteBindAddress = 127.0.0.1 in firebird.conf (Debian: /etc/firebird/VERSION/firebird.conf)",
		Authenticate: "it always asks; the password of SYSDBA is changed in isql-fb (ALTER USER SYSDBA PASSWORD '...')",
	},
	{
		Name: "Qdrant", Kind: Database, Ports: tcp(6333, 6334), Processes: []string{"qdrant"},
		Reason:       "Without an API key, which is the default, whoever reaches it reads, changes and deletes every collection.",
		Bind:         "service.host: 127.0.0.1 in config/config.yaml (or QDRANT__SERVICE__HOST)",
		Authenticate: "service.api_key in config/config.yaml (or QDRANT__SERVICE__API_KEY)",
	},
	{
		Name: "Meilisearch", Kind: Database, Ports: tcp(7700), Processes: []string{"meilisearch"},
		Reason:       "Without a master key whoever reaches it reads, changes and deletes every index.",
		Bind:         "--http-addr 127.0.0.1:7700 (or MEILI_HTTP_ADDR)",
		Authenticate: "--master-key KEY (or MEILI_MASTER_KEY)",
	},
	{
		Name: "HDFS NameNode", Kind: Database, Ports: tcp(9870, 50070),
		Reason:       "Without Kerberos it believes whatever user name it is told, so that whoever reaches it reads and changes every file.",
		Bind:         "dfs.namenode.http-address of 127.0.0.1:9870 in etc/hadoop/hdfs-site.xml",
		Authenticate: "hadoop.security.authentication of kerberos in etc/hadoop/core-site.xml",
	},
}

var caches = []Service{
	{
		Name: "Redis", Kind: Cache, Ports: tcp(6379), Processes: []string{"redis-server", "valkey-server", "keydb-server"},
		Reason:       "Without a password whoever reaches it reads and deletes every key, and before version 7 can have files written as the server's user (CONFIG SET dir).",
		Bind:         "bind 127.0.0.1 -::1 in /etc/redis/redis.conf (Valkey: /etc/valkey/valkey.conf, KeyDB: /etc/keydb/keydb.conf)",
		Authenticate: "requirepass PASSWORD, or users of an ACL, in /etc/redis/redis.conf",
		ask:          askRedis,
	},
	{
		Name: "Redis Sentinel", Kind: Cache, Ports: tcp(26379), Processes: []string{"redis-sentinel", "valkey-sentinel"},
		Reason:       "Whoever reaches it can make it watch servers of their own and fail over the ones it watches.",
		Bind:         "bind 127.0.0.1 -::1 in /etc/redis/sentinel.conf",
		Authenticate: "requirepass PASSWORD in /etc/redis/sentinel.conf",
		ask:          askRedis,
	},
	{
		Name: "memcached", Kind: Cache, Ports: both(11211), Processes: []string{"memcached"},
		Reason:       "Whoever reaches it reads and replaces what is cached, and over UDP it amplifies attacks on others.",
		Bind:         "-l 127.0.0.1 (and -U 0, no UDP) in /etc/memcached.conf",
		Authenticate: "-S (SASL, with the binary protocol) or -Y FILE (with the text protocol) in /etc/memcached.conf",
		ask:          askMemcached,
	},
	{
		Name: "Varnish administration", Kind: Cache, Ports: tcp(6082),
		Reason:       "Whoever has its secret replaces the configuration, and so decides what visitors are sent.",
		Bind:         "-T localhost:6082 in the ExecStart of varnish.service",
		Authenticate: "-S /etc/varnish/secret in the ExecStart of varnish.service",
	},
}

var queues = []Service{
	{
		Name: "Kafka", Kind: Queue, Ports: tcp(9092),
		Reason:       "A PLAINTEXT listener asks for nothing, so that whoever reaches it reads, writes and deletes every topic.",
		Bind:         "listeners=PLAINTEXT://127.0.0.1:9092 in config/server.properties",
		Authenticate: "a SASL_SSL listener and sasl.enabled.mechanisms in config/server.properties",
	},
	{
		Name: "RabbitMQ", Kind: Queue, Ports: tcp(5672, 5671),
		Reason:       "Whoever knows a user's password reads and writes queues; that of guest is guest.",
		Bind:         "listeners.tcp.local = 127.0.0.1:5672 in /etc/rabbitmq/rabbitmq.conf",
		Authenticate: "it always asks; loopback_users.guest = true in /etc/rabbitmq/rabbitmq.conf keeps guest local",
	},
	{
		Name: "RabbitMQ management", Kind: Queue, Ports: tcp(15672),
		Reason:       "Whoever knows a management user's password changes users, queues and policies; that of guest is guest.",
		Bind:         "management.tcp.ip = 127.0.0.1 in /etc/rabbitmq/rabbitmq.conf",
		Authenticate: "it always asks; loopback_users.guest = true in /etc/rabbitmq/rabbitmq.conf keeps guest local",
	},
	{
		Name: "NATS", Kind: Queue, Ports: tcp(4222, 8222), Processes: []string{"nats-server"},
		Reason:       "Without authorization, which is the default, whoever reaches it hears and publishes every subject.",
		Bind:         `listen: "127.0.0.1:4222" and http: "127.0.0.1:8222" in /etc/nats-server.conf`,
		Authenticate: "authorization { user: ..., password: ... } in /etc/nats-server.conf",
		peers:        tcp(6222, 7422, 7522),
	},
	{
		Name: "ActiveMQ", Kind: Queue, Ports: tcp(61616, 8161),
		Reason:       "Whoever reaches the OpenWire port talks to a broker that has been made to run commands (CVE-2023-46604).",
		Bind:         "tcp://127.0.0.1:61616 as the transportConnector's uri in conf/activemq.xml, and 127.0.0.1 as jetty's host in conf/jetty.xml",
		Authenticate: "simpleAuthenticationPlugin or jaasAuthenticationPlugin in conf/activemq.xml",
	},
	{
		Name: "MQTT (Mosquitto)", Kind: Queue, Ports: tcp(1883), Processes: []string{"mosquitto"},
		Reason:       "Where anonymous clients are allowed, whoever reaches it hears and publishes every topic.",
		Bind:         "listener 1883 127.0.0.1 in /etc/mosquitto/mosquitto.conf",
		Authenticate: "allow_anonymous false and password_file in /etc/mosquitto/mosquitto.conf",
	},
	{
		Name: "beanstalkd", Kind: Queue, Ports: tcp(11300), Processes: []string{"beanstalkd"},
		Reason: "Whoever reaches it reads, puts and deletes every job.",
		Bind:   "BEANSTALKD_LISTEN_ADDR=127.0.0.1 in /etc/default/beanstalkd",
	},
	{
		Name: "Gearman", Kind: Queue, Ports: tcp(4730), Processes: []string{"gearmand"},
		Reason: "Whoever reaches it takes and submits jobs, which the workers carry out.",
		Bind:   "--listen=127.0.0.1 in PARAMS of /etc/default/gearman-job-server",
	},
}
