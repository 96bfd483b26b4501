// SPDX-License-Identifier: MIT
/*
 * What a miss costs at least: no protocol, no directory, only the parts that
 * cannot be left out.
 *
 *   floor_remote local CPU_A,CPU_B [COUNT]      both sides on this machine
 *   floor_remote server ADDRESS PORT
 *   floor_remote client ADDRESS PORT [COUNT]
 *
 * remote_fault_limit  a read of a missing page: userfaultfd, handler thread,
 *                     16-byte request over TCP, 4096 bytes back, UFFDIO_COPY
 * tcp_round_trip      16 bytes there, 16 bytes back
 * tcp_round_trip_4k   16 bytes there, 4096 bytes back
 * wp_fault            a write to a write-protected page, undone by a thread
 */
#include <fcntl.h>
#include <stdbool.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/floor_net.h"
#include "tests/bench/measure.h"

#define SERVED_PAGES 4096u

struct request {
	uint64_t page;
	uint64_t length; /* of the reply */
};

struct handler {
	int uffd, sock, cpu;
	char *region;
	size_t faults; /* to resolve, then end */
};

static char page_buffer[BENCH_PAGE] __attribute__((aligned(4096)));

static void serve(int listener, int cpu)
{
	size_t size = SERVED_PAGES * BENCH_PAGE;
	char *home = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	int fd = net_accept(listener);

	if (home == MAP_FAILED)
		die("mmap");
	pin(cpu);
	memset(home, 1, size);
	for (;;) {
		struct request r;

		net_receive(fd, &r, sizeof(r));
		net_send(fd, home + r.page % SERVED_PAGES * BENCH_PAGE,
			 r.length <= BENCH_PAGE ? r.length : BENCH_PAGE);
	}
}

static void ask(int fd, uint64_t page, uint64_t length)
{
	struct request r = { page, length };

	net_send(fd, &r, sizeof(r));
	net_receive(fd, page_buffer, length);
}

static void round_trips(const char *name, int fd, uint64_t length, size_t count)
{
	uint64_t *v = calloc(count, sizeof(*v));

	for (size_t i = 0; i < count / 10; i++)
		ask(fd, i, length);
	for (size_t i = 0; i < count; i++) {
		uint64_t start = now_ns();

		ask(fd, i, length);
		v[i] = now_ns() - start;
	}
	put_latency(name, v, count);
	free(v);
}

/* A private mapping of @count pages, registered for @mode. */
static char *watched_region(size_t count, uint64_t mode, uint64_t features, int *ret_uffd)
{
	char *p = mmap(NULL, count * BENCH_PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = { .range = { (uintptr_t)p, count * BENCH_PAGE },
				       .mode = mode };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (p == MAP_FAILED)
		die("mmap");
	madvise(p, count * BENCH_PAGE, MADV_NOHUGEPAGE);
	if (mode & UFFDIO_REGISTER_MODE_WP)
		memset(p, 1, count * BENCH_PAGE);
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		die("userfaultfd");
	*ret_uffd = fd;
	return p;
}

static void protect(int uffd, uint64_t start, uint64_t length, uint64_t mode)
{
	struct uffdio_writeprotect wp = { .range = { start, length }, .mode = mode };

	if (ioctl(uffd, UFFDIO_WRITEPROTECT, &wp))
		die("UFFDIO_WRITEPROTECT");
}

static void *handle(void *arg)
{
	struct handler *h = arg;

	pin(h->cpu);
	for (size_t i = 0; i < h->faults; i++) {
		struct uffd_msg m;
		uint64_t at;

		if (read(h->uffd, &m, sizeof(m)) != sizeof(m))
			die("read from userfaultfd");
		at = m.arg.pagefault.address & ~(BENCH_PAGE - 1);
		if (m.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
			protect(h->uffd, at, BENCH_PAGE, 0);
		} else {
			struct uffdio_copy copy = { .dst = at,
						    .src = (uintptr_t)page_buffer,
						    .len = BENCH_PAGE };

			ask(h->sock, (at - (uintptr_t)h->region) / BENCH_PAGE, BENCH_PAGE);
			if (ioctl(h->uffd, UFFDIO_COPY, &copy))
				die("UFFDIO_COPY");
		}
	}
	return NULL;
}

/* Touches every page once while a thread handles the faults; NULL name: warm-up. */
static void faults(const char *name, int sock, int cpu, size_t count, bool write)
{
	struct handler h = { .sock = sock, .cpu = cpu, .faults = count };
	uint64_t *v = calloc(count, sizeof(*v));
	pthread_t thread;

	memset(v, 0, count * sizeof(*v));
	h.region = watched_region(count,
				  write ? UFFDIO_REGISTER_MODE_WP : UFFDIO_REGISTER_MODE_MISSING,
				  write ? UFFD_FEATURE_PAGEFAULT_FLAG_WP : 0, &h.uffd);
	if (write)
		protect(h.uffd, (uintptr_t)h.region, count * BENCH_PAGE,
			UFFDIO_WRITEPROTECT_MODE_WP);
	if (pthread_create(&thread, NULL, handle, &h))
		die("pthread_create");
	for (size_t i = 0; i < count; i++) {
		volatile char *byte = h.region + i * BENCH_PAGE + 8;
		uint64_t start = now_ns();

		if (write)
			*byte = 2;
		else
			(void)*byte;
		v[i] = now_ns() - start;
	}
	pthread_join(thread, NULL);
	if (name)
		put_latency(name, v, count);
	close(h.uffd);
	munmap(h.region, count * BENCH_PAGE);
	free(v);
}

static void measure(int fd, int cpu, size_t count)
{
	pin(cpu);
	/* A host that takes free memory back makes the first touches dear: a pass before. */
	faults(NULL, fd, cpu, count, false);
	faults("remote_fault_limit", fd, cpu, count, false);
	round_trips("tcp_round_trip", fd, 16, count);
	round_trips("tcp_round_trip_4k", fd, BENCH_PAGE, count);
	faults("wp_fault", fd, cpu, count, true);
}

static int local(const char *cpus, size_t count)
{
	uint16_t port = 0;
	int a = -1, b = -1, status, listener = net_listen("127.0.0.1", &port);
	pid_t child;

	sscanf(cpus, "%d,%d", &a, &b);
	child = fork();
	if (!child)
		serve(listener, b);
	close(listener);
	int fd = net_connect("127.0.0.1", port);

	measure(fd, a, count);
	close(fd);
	waitpid(child, &status, 0);
	return status != 0;
}

int main(int argc, char **argv)
{
	if (argc >= 3 && !strcmp(argv[1], "local"))
		return local(argv[2], argc > 3 ? strtoul(argv[3], NULL, 0) : 8192);
	if (argc >= 4) {
		uint16_t port = (uint16_t)atoi(argv[3]);

		if (!strcmp(argv[1], "server"))
			serve(net_listen(argv[2], &port), -1);
		if (!strcmp(argv[1], "client")) {
			measure(net_connect(argv[2], port), -1,
				argc > 4 ? strtoul(argv[4], NULL, 0) : 8192);
			return 0;
		}
	}
	fprintf(stderr,
		"usage: floor_remote local A,B [N] | server ADDR PORT | client ADDR PORT [N]\n");
	return 2;
}
