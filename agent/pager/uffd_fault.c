// SPDX-License-Identifier: MIT
/* From userfaultfd events to faults: most are answered here, the rest go up. */
#include <errno.h>
#include <unistd.h>

#include "agent/pager/uffd.h"

#define FAULT_BATCH 32

static void fault_handle(struct pager *p, struct uffd_program *g, const struct uffd_msg *m)
{
	bool write = m->arg.pagefault.flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	uint64_t address = m->arg.pagefault.address;
	uint64_t page = (address - g->base) / PAGER_PAGE_SIZE;
	struct uffd_region *r = g->region;
	enum pager_prot prot;

	/* A mapping other than the one announced: nothing of ours. */
	if (address < g->base || page >= r->state.pages)
		return;
	r->recent = g;
	prot = uffd_state_get(&r->state, page);
	if (prot == PAGER_WRITE || (prot == PAGER_READ && !write)) {
		if (m->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP)
			(void)uffd_program_protect(g, page, 1, false);
		else
			uffd_region_show(r, g, page);
		return;
	}
	uffd_waiter_add(g, address, (pid_t)m->arg.pagefault.feat.ptid);
	p->host->fault(p->host->ctx, r->number, page, 1, write, false);
}

void uffd_ready(struct pager *p, int fd)
{
	struct uffd_program *g = (uint32_t)fd < p->nfds ? p->by_fd[fd] : NULL;
	struct uffd_msg msgs[FAULT_BATCH];
	uint64_t serial = g ? g->serial : 0;
	ssize_t n;

	do {
		if (!g)
			return;
		n = read(fd, msgs, sizeof(msgs));
		for (ssize_t i = 0; i < n / (ssize_t)sizeof(msgs[0]); i++) {
			if (msgs[i].event != UFFD_EVENT_PAGEFAULT)
				continue;
			/* The host may have detached the program from inside fault(). */
			g = (uint32_t)fd < p->nfds ? p->by_fd[fd] : NULL;
			if (!g || g->serial != serial)
				return;
			fault_handle(p, g, &msgs[i]);
		}
		g = (uint32_t)fd < p->nfds ? p->by_fd[fd] : NULL;
		if (g && g->serial != serial)
			return;
	} while (n == (ssize_t)sizeof(msgs));
}
