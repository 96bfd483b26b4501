// SPDX-License-Identifier: MIT
/*
 * A page that cannot be had: who waits for it gets SIGBUS.
 *
 * UFFDIO_POISON would do it too, but it stays: every later access of the
 * program would fail although the page may be there again. So the waiting
 * thread gets the signal itself; that ends its wait, and an access after that
 * faults anew. As with a fault the kernel resolves by SIGBUS, a thread that
 * blocks or ignores the signal takes its process down.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/pager/uffd.h"

/*
 * The kernel lets nobody send BUS_ADRERR. A negative code passes the rest of
 * siginfo through untouched, so that a handler finds si_addr in its place.
 */
static int send_sigbus(pid_t pid, pid_t tid, uint64_t address)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = SIGBUS;
	info.si_code = SI_QUEUE;
	info.si_addr = (void *)(uintptr_t)address;
	return syscall(SYS_rt_tgsigqueueinfo, pid, tid, SIGBUS, &info) ? -errno : 0;
}

/* True: SIGBUS sent to the thread would not end its wait. */
static bool deaf_to_sigbus(pid_t pid, pid_t tid)
{
	const unsigned long long bit = 1ull << (SIGBUS - 1);
	char path[64], line[128];
	bool deaf = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)pid, (int)tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "SigBlk:", 7) || !strncmp(line, "SigIgn:", 7))
			deaf |= (strtoull(line + 7, NULL, 16) & bit) != 0;
	}
	fclose(f);
	return deaf;
}

void uffd_program_fail(struct uffd_program *g, uint64_t page, uint32_t count)
{
	for (uint32_t i = 0; i < g->nwaiters; i++) {
		const struct uffd_waiter *w = &g->waiters[i];

		if (w->page - page >= count)
			continue;
		if (deaf_to_sigbus(g->pid, w->tid)) {
			(void)kill(g->pid, SIGKILL);
			continue;
		}
		/* Another pid namespace numbers threads differently: the process then. */
		if (send_sigbus(g->pid, w->tid, w->address) == -ESRCH)
			(void)kill(g->pid, SIGBUS);
	}
	uffd_waiter_forget(g, page, count);
}
