// The least that a program in C does for a round trip over loopback: the floor
// that the benchmarks of this package are held against.
//
//	cc -O2 -pthread -o floor floor.c
//	floor rr  tcp|udp SIZE MILLISECONDS CLIENT_CPU SERVER_CPU
//	floor crr tcp     SIZE MILLISECONDS CLIENT_CPU SERVER_CPU
//
// rr sends SIZE bytes and waits for as many, over one connection. crr connects,
// sends, receives, and closes with a reset (SO_LINGER of zero), over and over.
// Both ends block, each on a thread that stays on its processor; a processor of -1
// leaves it to the scheduler. A tenth of the time goes before, unmeasured. What is
// printed is one line of JSON; times are nanoseconds.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_SAMPLES = 1 << 22 };

static int again, datagrams, payload, serving;
static struct sockaddr_in address;

static void give_up(const char *what) {
	perror(what);
	exit(1);
}

static void stay_on(int cpu) {
	cpu_set_t one;
	if (cpu < 0)
		return;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof one, &one))
		give_up("sched_setaffinity");
}

static int open_socket(void) {
	int yes = 1, fd = socket(AF_INET, datagrams ? SOCK_DGRAM : SOCK_STREAM, 0);
	if (fd < 0)
		give_up("socket");
	if (!datagrams)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	return fd;
}

static void bind_to_loopback(int fd, struct sockaddr_in *at) {
	socklen_t length = sizeof *at;
	memset(at, 0, sizeof *at);
	at->sin_family = AF_INET;
	at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)at, length) || getsockname(fd, (struct sockaddr *)at, &length))
		give_up("bind");
}

// Returns 0 when the other end is gone.
static int exchange(int fd, char *buffer, int answering) {
	if (!answering && send(fd, buffer, payload, MSG_NOSIGNAL) != payload)
		return 0;
	for (int there = 0; there < payload;) {
		ssize_t n = recv(fd, buffer + there, payload - there, 0);
		if (n <= 0)
			return 0;
		there += n;
	}
	return !answering || send(fd, buffer, payload, MSG_NOSIGNAL) == payload;
}

static void *serve(void *cpu) {
	char *buffer = calloc(1, payload);
	stay_on(*(int *)cpu);
	if (datagrams) {
		while (exchange(serving, buffer, 1))
			;
		return NULL;
	}
	for (;;) {
		int yes = 1, fd = accept(serving, NULL, NULL);
		if (fd < 0)
			return NULL;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
		while (exchange(fd, buffer, 1) && !again)
			;
		close(fd);
	}
}

static int64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int connect_there(void) {
	int fd = open_socket();
	if (datagrams) {
		struct sockaddr_in here;
		bind_to_loopback(fd, &here);
		if (connect(serving, (struct sockaddr *)&here, sizeof here))
			give_up("connect the server");
	}
	if (connect(fd, (struct sockaddr *)&address, sizeof address))
		give_up("connect");
	return fd;
}

static void close_by_reset(int fd) {
	struct linger none = {1, 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
	close(fd);
}

static int by_size(const void *a, const void *b) {
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv) {
	if (argc == 7) {
		again = !strcmp(argv[1], "crr");
		datagrams = !strcmp(argv[2], "udp");
	}
	if (argc != 7 || (!again && strcmp(argv[1], "rr")) || (!datagrams && strcmp(argv[2], "tcp"))) {
		fprintf(stderr, "usage: floor rr|crr tcp|udp SIZE MILLISECONDS CLIENT_CPU SERVER_CPU\n");
		return 2;
	}
	payload = atoi(argv[3]);
	int64_t lasts = atoll(argv[4]) * 1000000;
	int client_cpu = atoi(argv[5]), server_cpu = atoi(argv[6]);
	if (payload < 1 || lasts < 1 || (again && datagrams)) {
		fprintf(stderr, "floor: nothing to measure\n");
		return 2;
	}
	serving = open_socket();
	bind_to_loopback(serving, &address);
	if (!datagrams && listen(serving, 128))
		give_up("listen");
	int fd = again ? -1 : connect_there();
	pthread_t thread;
	if (pthread_create(&thread, NULL, serve, &server_cpu))
		give_up("pthread_create");
	stay_on(client_cpu);

	char *buffer = calloc(1, payload);
	uint32_t *took = malloc(MOST_SAMPLES * sizeof *took);
	memset(took, 1, MOST_SAMPLES * sizeof *took);
	int64_t begins = now() + lasts / 10, ends = begins + lasts, end = 0;
	size_t count = 0;
	// A machine that stood still for all of the time gives one sample at least.
	while ((end < ends || !count) && count < MOST_SAMPLES) {
		int64_t start = now();
		if (again)
			fd = connect_there();
		if (!exchange(fd, buffer, 0))
			give_up("round trip");
		if (again)
			close_by_reset(fd);
		end = now();
		if (start >= begins)
			took[count++] = end - start < UINT32_MAX ? end - start : UINT32_MAX;
	}
	qsort(took, count, sizeof *took, by_size);
	printf("{\"op\":\"%s\",\"transport\":\"%s\",\"size\":%d,\"count\":%zu,\"rate_per_s\":%.3f,\"p50_ns\":%u,\"p90_ns\":%u,\"p99_ns\":%u}\n",
	       argv[1], argv[2], payload, count, count * 1e9 / (end - begins), took[count / 2], took[count * 9 / 10], took[count * 99 / 100]);
	return 0;
}
