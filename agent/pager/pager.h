/* SPDX-License-Identifier: MIT */
/*
 * A pager puts pages into the address spaces of programs and takes them away
 * again. There are two: kmod.c (dsm.ko over generic netlink and ioctl) and
 * uffd.c (userfaultfd over a memfd). Everything above this file is the same
 * code for both.
 *
 * Threading: every function is called from the agent's loop thread only.
 * Nothing here blocks for the network or for a program; a call may block for
 * the kernel (page locks, TLB shootdowns).
 *
 * Errors: functions return 0 or a negative errno. -EBUSY from a revoking call
 * (take, drop, downgrade) means the page is pinned for I/O now: nothing was
 * changed, and the caller tries again later.
 */
#ifndef DSM_PAGER_H
#define DSM_PAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGER_PAGE_SIZE 4096u

/* What a page allows the programs of this node. */
enum pager_prot {
	PAGER_NONE = 0,	 /* nothing: an access faults to the agent */
	PAGER_READ = 1,	 /* shared: loads; a store faults to the agent */
	PAGER_WRITE = 2, /* modified: loads and stores */
};

struct pager;

/* Calls out of a pager; all of them only ever from inside pager functions. */
struct pager_host {
	void *ctx;
	/*
	 * Programs wait for @count pages from @page on. @prefetch: nobody
	 * waits, an madvise or prefetch call asked. Answered by install,
	 * upgrade or fail; a prefetch need not be answered. The same page may
	 * be reported again while it is pending.
	 */
	void (*fault)(void *ctx, uint16_t region, uint64_t page, uint32_t count, bool write,
		      bool prefetch);
	/* Watch @fd for input and call pager_ops.ready(fd) then; and stop. */
	int (*watch)(void *ctx, int fd);
	void (*unwatch)(void *ctx, int fd);
	/* The pager cannot go on (module unloaded, descriptor broken). */
	void (*broken)(void *ctx, int err);
};

/*
 * What a restarted agent must know to take its node's place again. The kmod
 * pager keeps it in the module beside the pages; uffd forgets it.
 */
struct pager_identity {
	uint64_t cluster; /* cluster id, 0: none yet */
	uint64_t uid;	  /* the node's unique number at its start */
	uint32_t epoch;	  /* last view installed */
	uint16_t nid;	  /* node id, 0: none yet */
	uint16_t reserved;
};

struct pager_config {
	uint16_t port;		       /* the agent's TCP port: names the node on this kernel */
	uint32_t recovery_ms;	       /* how long faults wait for a dead agent, kmod only */
	const struct pager_host *host; /* must outlive the pager */
};

struct pager_ops {
	const char *name; /* "kmod" or "uffd" */

	/* True where this pager can work here; else says why in @why. */
	bool (*usable)(char *why, size_t len);
	int (*open)(const struct pager_config *cfg, struct pager **ret);
	/*
	 * @keep: leave pages and waiting programs as they are, for the agent
	 * that comes after this one (kmod). Else programs get SIGBUS from now
	 * on wherever the page is not present.
	 */
	void (*close)(struct pager *p, bool keep);

	/* @fd became readable: reads all faults that wait and reports them. */
	void (*ready)(struct pager *p, int fd);

	/*
	 * Regions. @region is the cluster's number for it (0: the default
	 * region), @size in bytes, a multiple of the page size.
	 */
	int (*region_add)(struct pager *p, uint16_t region, const char *name, uint64_t size);
	int (*region_del)(struct pager *p, uint16_t region);

	/*
	 * Publish @count pages with their bytes and wake who waits for them.
	 * @data NULL: zeroes. @data may be what landing() returned: then the
	 * bytes are in place already. A page that is present is replaced.
	 */
	int (*install)(struct pager *p, uint16_t region, uint64_t page, uint32_t count,
		       const void *data, enum pager_prot prot);
	/*
	 * Where bytes for @count pages that are NOT present may be received to
	 * before install() publishes them without a copy; NULL: nowhere. Until
	 * install() no program sees a byte of it. May be called again for the
	 * same pages when a transfer was cut off.
	 */
	void *(*landing)(struct pager *p, uint16_t region, uint64_t page, uint32_t count);
	/* READ to WRITE without data, and wake. */
	int (*upgrade)(struct pager *p, uint16_t region, uint64_t page, uint32_t count);
	/* WRITE to READ: after it returns no store can happen any more. */
	int (*downgrade)(struct pager *p, uint16_t region, uint64_t page, uint32_t count);
	/* To NONE; the bytes are gone. */
	int (*drop)(struct pager *p, uint16_t region, uint64_t page, uint32_t count);
	/*
	 * To NONE, and @buf (one page) gets the last bytes: every store that
	 * happened is in them, and no access happens after.
	 */
	int (*take)(struct pager *p, uint16_t region, uint64_t page, void *buf);
	/* Copy out @count pages that are present (READ or WRITE). */
	int (*read)(struct pager *p, uint16_t region, uint64_t page, uint32_t count, void *buf);
	/*
	 * Optional. Sends @len bytes at @head and behind them @count pages that
	 * are present to the stream socket @sock, as much as it takes without
	 * waiting. Returns the bytes that it took; or a negative errno, when none
	 * of them went, and the caller may do the same by read().
	 */
	ssize_t (*send)(struct pager *p, uint16_t region, uint64_t page, uint32_t count, int sock,
			const void *head, size_t len);
	/*
	 * Who waits for the page gets SIGBUS; a later access faults again.
	 * @err 0: nobody does; who waits looks again, and faults again where
	 * the page does not allow it.
	 */
	int (*fail)(struct pager *p, uint16_t region, uint64_t page, uint32_t count, int err);

	/*
	 * uffd only (NULL in kmod): the descriptor a program maps, and taking
	 * over the userfaultfd @uffd of process @pid, which maps @region at
	 * @base. @cookie names the attachment. attach owns @uffd on success.
	 */
	int (*region_fd)(struct pager *p, uint16_t region);
	int (*attach)(struct pager *p, uint16_t region, int uffd, uint64_t base, pid_t pid,
		      uint64_t cookie);
	void (*detach)(struct pager *p, uint64_t cookie);

	/*
	 * kmod only (NULL in uffd): what the module kept. identity_get gives
	 * -ENOENT when there is nothing; pages calls @fn for each run of equal
	 * pages that is present.
	 */
	int (*identity_get)(struct pager *p, struct pager_identity *ret);
	int (*identity_set)(struct pager *p, const struct pager_identity *id);
	int (*regions)(struct pager *p,
		       void (*fn)(void *ctx, uint16_t region, const char *name, uint64_t size),
		       void *ctx);
	int (*pages)(struct pager *p,
		     void (*fn)(void *ctx, uint16_t region, uint64_t page, uint32_t count,
				enum pager_prot prot),
		     void *ctx);
};

extern const struct pager_ops pager_kmod;
extern const struct pager_ops pager_uffd;

#endif
