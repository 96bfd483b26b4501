// SPDX-License-Identifier: MIT
/*
 * The second opinion on a heart that does not beat: the kernel's. A thread that
 * could run and is not let is starved, not stuck; one that is stopped is stuck.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/channel/channel.h"

uint64_t opinion_pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) ? 0 : (uint64_t)st.st_ino;
}

/* The letter after the name in proc_pid_stat(5); 0: nobody can tell. */
static char thread_state(uint32_t pid, uint32_t tid)
{
	char path[64], text[256];
	const char *end;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%u/task/%u/stat", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* The name may hold anything, parentheses too. */
	end = strrchr(text, ')');
	return end && end[1] == ' ' ? end[2] : 0;
}

bool opinion_starved(const struct channel_seat *seat)
{
	uint64_t ours = opinion_pid_namespace();

#ifdef DSM_MUTANT_CHANNEL_STARVED_STALE
	ours = 0;
#endif
	if (!ours || atomic_load(&seat->pid_namespace) != ours)
		return false;
	return thread_state(atomic_load(&seat->pid), atomic_load(&seat->tid)) == 'R';
}
