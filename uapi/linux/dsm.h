/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * DSM: shared memory of several machines.
 *
 * Two audiences. A program opens /dev/dsm and maps it, and may use the ioctls
 * of the first part. An agent owns a node: it binds over the generic netlink
 * family "dsm", learns which pages programs wait for, and moves pages with the
 * ioctls of the second part on the descriptor it bound.
 *
 * All structures have a fixed size and layout, the same for 32 and 64 bit
 * callers. They are the kernel's and programs' view on one machine: nothing
 * here goes over a network. Fields called "reserved" and unknown flags must be
 * zero, else the call fails with EINVAL; a later version may give them meaning.
 *
 * Pages are 4096 bytes and are named by their number in the region: byte
 * offset divided by 4096. The byte offset in the default region is the global
 * address.
 */
#ifndef _UAPI_LINUX_DSM_H
#define _UAPI_LINUX_DSM_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define DSM_API_VERSION		1	/* in struct dsm_info */
#define DSM_PAGE_SIZE		4096	/* bytes */
#define DSM_NAME_LEN		64	/* of a region, with the final 0 */
#define DSM_REGION_MAX_SIZE	(1ULL << 46)	/* bytes, of one region */
#define DSM_DEFAULT_SIZE	(1ULL << 40)	/* bytes, of region 0 by custom */
#define DSM_RUNS_MAX		1024	/* runs in one struct dsm_runs */
#define DSM_RUN_PAGES_MAX	65536	/* pages in one run */

/* What a page allows the programs of this node. */
enum dsm_page_state {
	DSM_PAGE_INVALID = 0,	/* not here: an access waits for the agent */
	DSM_PAGE_SHARED = 1,	/* loads; a store waits for the agent */
	DSM_PAGE_MODIFIED = 2,	/* loads and stores */
};

/* ------------------------------------------------------------ programs */

/**
 * struct dsm_info - DSM_IOC_INFO: which region a descriptor stands for
 * @api: DSM_API_VERSION of the module
 * @page_size: bytes in a page, DSM_PAGE_SIZE
 * @size: bytes in the region: offsets from 0 to @size - 1 can be mapped
 * @base: address where programs of all nodes agree to map offset 0; 0: none
 * @port: TCP port of the node's agent, which names the node on this machine
 * @region: number of the region
 * @flags: DSM_INFO_*
 * @name: of the region, ends with a 0 byte
 *
 * Errors: ENODEV, no region is attached (no agent was bound at open).
 */
struct dsm_info {
	__u32 api;
	__u32 page_size;
	__u64 size;
	__u64 base;
	__u16 port;
	__u16 region;
	__u32 flags;
	char name[DSM_NAME_LEN];
};

#define DSM_INFO_AGENT		(1u << 0)	/* an agent is bound now */
#define DSM_INFO_DEAD		(1u << 1)	/* the region was deleted or its node has gone */

/**
 * struct dsm_attach - DSM_IOC_ATTACH: open another region
 * @port: node, 0: the node that bound first
 * @flags: 0
 * @reserved: 0
 * @name: of the region, must end with a 0 byte
 *
 * Returns a new descriptor (close-on-exec) for the region; the one used for
 * the call stays what it was. The new one takes the same calls as /dev/dsm.
 *
 * Errors: ENODEV no such node; ENOENT no such region; EINVAL.
 */
struct dsm_attach {
	__u16 port;
	__u16 flags;
	__u32 reserved;
	char name[DSM_NAME_LEN];
};

/**
 * struct dsm_page - DSM_IOC_PAGE: the state of one page
 * @page: number of the page (in)
 * @state: enum dsm_page_state (out)
 * @flags: DSM_PAGE_F_* (in: 0)
 *
 * Errors: ERANGE beyond the region; ENODEV as DSM_IOC_INFO; EINVAL.
 */
struct dsm_page {
	__u64 page;
	__u32 state;
	__u32 flags;
};

#define DSM_PAGE_F_PENDING	(1u << 0)	/* programs wait for it */
#define DSM_PAGE_F_PENDING_WRITE (1u << 1)	/* at least one wants to store */
#define DSM_PAGE_F_PINNED	(1u << 2)	/* held for I/O: cannot be taken away now */

/**
 * struct dsm_prefetch - DSM_IOC_PREFETCH: ask for pages without waiting
 * @offset: first byte, a multiple of the page size
 * @length: bytes, a multiple of the page size, not 0
 * @flags: DSM_PREFETCH_WRITE
 * @reserved: 0
 *
 * A hint: the pages come when the agent has them. madvise(MADV_WILLNEED) does
 * the same for loads. Errors: ERANGE; ENODEV; EINVAL; ENOMEM.
 */
struct dsm_prefetch {
	__u64 offset;
	__u64 length;
	__u32 flags;
	__u32 reserved;
};

#define DSM_PREFETCH_WRITE	(1u << 0)	/* the program is going to store */

#define DSM_IOC_INFO		_IOR(0xD5, 0x01, struct dsm_info)
#define DSM_IOC_ATTACH		_IOW(0xD5, 0x02, struct dsm_attach)
#define DSM_IOC_PAGE		_IOWR(0xD5, 0x03, struct dsm_page)
#define DSM_IOC_PREFETCH	_IOW(0xD5, 0x04, struct dsm_prefetch)

/* ------------------------------------------------------------ agents */

/**
 * struct dsm_req - what programs wait for
 * @page: first page
 * @count: pages; 1 unless DSM_REQ_PREFETCH
 * @region: number of the region
 * @flags: DSM_REQ_*
 *
 * Read from a bound descriptor (whole structures; poll says when), or carried
 * by netlink. A request stays pending, and in the dump of DSM_CMD_REQS_GET,
 * until its page is installed with enough rights or an error is set; a prefetch
 * is forgotten once it was handed over. A request may be handed over again: when
 * a reader's page is now wanted for a store, and to an agent that binds anew.
 */
struct dsm_req {
	__u64 page;
	__u32 count;
	__u16 region;
	__u16 flags;
};

#define DSM_REQ_WRITE		(1u << 0)	/* a store waits; else only loads */
#define DSM_REQ_PREFETCH	(1u << 1)	/* nobody waits */

/**
 * struct dsm_run - neighbouring pages and what to do with them
 * @page: first page
 * @data: address of the caller's memory for @count pages; 0 where none
 * @count: pages, 1 to DSM_RUN_PAGES_MAX
 * @region: number of the region
 * @mode: meaning depends on the call
 * @result: 0 or a negative errno of the page that failed (out)
 * @done: pages done before that (out)
 *
 * Results of one run: -ENOENT no such region, or the page is not present;
 * -ERANGE beyond the region; -EBUSY pinned for I/O; -EFAULT @data; -ENOMEM;
 * -EINVAL @mode or @count. A page that failed was not changed.
 */
struct dsm_run {
	__u64 page;
	__u64 data;
	__u32 count;
	__u16 region;
	__u16 mode;
	__s32 result;
	__u32 done;
};

/**
 * struct dsm_runs - a batch of runs, in order
 * @runs: address of an array of struct dsm_run
 * @count: runs in it, 1 to DSM_RUNS_MAX
 * @flags: 0
 *
 * The calls return how many runs have a @result other than 0, or fail as a
 * whole: EPERM not a bound descriptor; EINVAL; EFAULT. Runs before one that
 * cannot be read were done.
 */
struct dsm_runs {
	__u64 runs;
	__u32 count;
	__u32 flags;
};

/*
 * DSM_IOC_INSTALL: publish pages with their bytes (@data 0: zeroes) and wake
 * who waits for them. A program sees all of a page or nothing of it. A page
 * that is present is replaced, atomically for programs that use it. @mode:
 * DSM_PAGE_SHARED or DSM_PAGE_MODIFIED.
 */
#define DSM_IOC_INSTALL		_IOW(0xD5, 0x10, struct dsm_runs)

/*
 * DSM_IOC_UPGRADE: shared pages become modified, no bytes move; wakes. @mode
 * and @data: 0.
 */
#define DSM_IOC_UPGRADE		_IOW(0xD5, 0x11, struct dsm_runs)

/*
 * DSM_IOC_REVOKE: after it returns, no access (or with DSM_REVOKE_DOWNGRADE:
 * no store) happens any more, and no store that happened is missed. @mode: one
 * of DSM_REVOKE_*. @data: only DSM_REVOKE_TAKE. Dropping a page that is
 * not present, or downgrading a shared one, succeeds and does nothing.
 */
#define DSM_IOC_REVOKE		_IOW(0xD5, 0x12, struct dsm_runs)

#define DSM_REVOKE_DROP		0	/* to invalid, bytes are thrown away */
#define DSM_REVOKE_DOWNGRADE	1	/* modified to shared */
#define DSM_REVOKE_TAKE		2	/* to invalid, last bytes copied to @data */

/* DSM_IOC_READ: copy pages that are present to @data. @mode: 0. */
#define DSM_IOC_READ		_IOW(0xD5, 0x13, struct dsm_runs)

#define DSM_SEND_PAGES_MAX	16	/* in one struct dsm_send */
#define DSM_SEND_HEAD_MAX	256	/* bytes before them */

/**
 * struct dsm_send - DSM_IOC_SEND: bytes, and then pages, to a socket
 * @head: address of the caller's bytes that go first
 * @page: first page
 * @count: pages, 1 to DSM_SEND_PAGES_MAX; all of them must be present
 * @head_len: bytes at @head, 0 to DSM_SEND_HEAD_MAX
 * @socket: descriptor of a stream socket
 * @region: number of the region
 * @reserved: 0
 * @reserved2: 0
 *
 * The same as DSM_IOC_READ behind a copy of @head, and a send() of it all with
 * MSG_DONTWAIT and MSG_NOSIGNAL, but for the copy. Returns how many bytes
 * the socket took, which may be fewer than there are.
 *
 * Errors, where it took none: EPERM not a bound descriptor; EINVAL; EFAULT; ENOENT no
 * such region, or a page is not present; ERANGE beyond the region; EBADF and
 * ENOTSOCK @socket; EOPNOTSUPP that is no stream, or the machine has high
 * memory; those of send(), EAGAIN and EPIPE among them.
 */
struct dsm_send {
	__u64 head;
	__u64 page;
	__u32 count;
	__u32 head_len;
	__s32 socket;
	__u16 region;
	__u16 reserved;
	__u64 reserved2;
};

#define DSM_IOC_SEND		_IOW(0xD5, 0x14, struct dsm_send)

/* ------------------------------------------------------------ netlink */

#define DSM_GENL_NAME		"dsm"
#define DSM_GENL_VERSION	1

/*
 * Every command needs CAP_NET_ADMIN in the initial user namespace. All but
 * BIND, and dumps that name a DSM_A_PORT, come from the socket that bound:
 * strangers get EPERM, and the extended ack says so.
 */
enum dsm_cmd {
	DSM_CMD_UNSPEC,
	/*
	 * Take a node: PORT, FD (an open /dev/dsm), and optional RECOVERY_MS,
	 * UPCALL. Closing FD's last copy is the agent's death: pages stay,
	 * faults wait RECOVERY_MS for another BIND to the same port. Reply:
	 * ADOPTED, 1 when the node was there already, with its regions, pages,
	 * and requests, which are all handed over again. Errors: EBUSY the port has an agent, or
	 * FD is bound or mapped; EBADF; EINVAL.
	 */
	DSM_CMD_BIND,
	/*
	 * Give the node up for good: who waits, and later accesses to pages
	 * that are not present, get SIGBUS.
	 */
	DSM_CMD_UNBIND,
	/*
	 * REGION, NAME, SIZE, optional BASE. The same region again with the
	 * same name and size succeeds. Errors: EEXIST number or name is taken;
	 * EINVAL; ENOMEM.
	 */
	DSM_CMD_REGION_NEW,
	/* REGION: its pages go, accesses give SIGBUS. Errors: ENOENT. */
	DSM_CMD_REGION_DEL,
	/* Dump: REGION, NAME, SIZE, BASE, RESIDENT, PENDING of each. */
	DSM_CMD_REGION_GET,
	/*
	 * Do: hand over up to MAX requests that were not handed over yet: REQS,
	 * QUEUED (how many are left). Acknowledges all REQS_NTF.
	 * Dump: all requests that are pending, handed over or not; each message has REQS.
	 */
	DSM_CMD_REQS_GET,
	/*
	 * ANSWERS: settle requests without installing; with MAX, the reply
	 * hands over the next batch like REQS_GET. Errors: EINVAL; ENOENT no
	 * such region (the answers before it count).
	 */
	DSM_CMD_REQS_SET,
	/*
	 * To the agent, when BIND asked for DSM_UPCALL_NETLINK: REQS, QUEUED,
	 * BELL. With BELL_LAST no more of these are sent until a REQS_GET or
	 * REQS_SET acknowledges. A full socket buffer
	 * (ENOBUFS) loses only this message: REQS_GET has the requests.
	 */
	DSM_CMD_REQS_NTF,
	/* Dump: REGION; each message has runs of equal state in PAGES. */
	DSM_CMD_PAGES_GET,
	/* IDENTITY that the agent left, for the one after it. Errors: ENOENT. */
	DSM_CMD_IDENTITY_GET,
	/* IDENTITY: up to DSM_IDENTITY_LEN bytes that the module only keeps. */
	DSM_CMD_IDENTITY_SET,
	/* Do: STATS of the node. With PORT from any socket. */
	DSM_CMD_STATS_GET,

	__DSM_CMD_MAX,
	DSM_CMD_MAX = __DSM_CMD_MAX - 1,
};

enum dsm_attr {
	DSM_A_UNSPEC,
	DSM_A_PAD,		/* alignment only */
	DSM_A_PORT,		/* u16, TCP port of the agent, not 0 */
	DSM_A_FD,		/* u32, descriptor of /dev/dsm in the sender */
	DSM_A_RECOVERY_MS,	/* u32, 0 to DSM_RECOVERY_MAX_MS; default DSM_RECOVERY_MS */
	DSM_A_UPCALL,		/* u32, enum dsm_upcall; default DSM_UPCALL_READ */
	DSM_A_ADOPTED,		/* u32, 0 or 1 */
	DSM_A_REGION,		/* u16 */
	DSM_A_NAME,		/* string, 1 to DSM_NAME_LEN - 1 bytes */
	DSM_A_SIZE,		/* u64, bytes, a multiple of the page size, not 0 */
	DSM_A_BASE,		/* u64, address, a multiple of the page size */
	DSM_A_RESIDENT,		/* u64, pages present */
	DSM_A_PENDING,		/* u32, requests pending */
	DSM_A_MAX,		/* u32, requests wanted, 1 to DSM_REQS_MAX */
	DSM_A_REQS,		/* binary, array of struct dsm_req */
	DSM_A_QUEUED,		/* u32, requests not handed over yet */
	DSM_A_BELL,		/* u32, number of a REQS_NTF */
	DSM_A_BELL_LAST,	/* flag, acknowledge before the next one comes */
	DSM_A_ANSWERS,		/* binary, array of struct dsm_answer */
	DSM_A_PAGES,		/* binary, array of struct dsm_page_run */
	DSM_A_IDENTITY,		/* binary, 1 to DSM_IDENTITY_LEN bytes */
	DSM_A_STATS,		/* binary, struct dsm_stats; may grow at its end */

	__DSM_A_MAX,
	DSM_A_MAX_ATTR = __DSM_A_MAX - 1,
};

/* How the agent hears of requests. */
enum dsm_upcall {
	DSM_UPCALL_READ = 0,	/* poll() and read() on the bound descriptor */
	DSM_UPCALL_NETLINK = 1,	/* DSM_CMD_REQS_NTF to the socket that bound */
};

#define DSM_RECOVERY_MS		10000	/* milliseconds */
#define DSM_RECOVERY_MAX_MS	3600000
#define DSM_REQS_MAX		256	/* requests in one message */
#define DSM_IDENTITY_LEN	64	/* bytes */

/**
 * struct dsm_answer - settle the requests for some pages
 * @page: first page
 * @count: pages, 1 to DSM_RUN_PAGES_MAX
 * @region: number of the region
 * @reserved: 0
 * @error: negative errno: who waits gets SIGBUS (a later access asks again);
 *	0: who waits looks again, and asks again where the page is not there
 * @reserved2: 0
 */
struct dsm_answer {
	__u64 page;
	__u32 count;
	__u16 region;
	__u16 reserved;
	__s32 error;
	__u32 reserved2;
};

/**
 * struct dsm_page_run - neighbouring pages of equal state, in a dump
 * @page: first page
 * @count: pages
 * @state: enum dsm_page_state, not DSM_PAGE_INVALID
 * @reserved: 0
 */
struct dsm_page_run {
	__u64 page;
	__u32 count;
	__u16 state;
	__u16 reserved;
};

/* Bucket i of a latency histogram counts waits of less than 2^i microseconds. */
#define DSM_LATENCY_BUCKETS	24

/**
 * struct dsm_stats - counters of a node since its first BIND
 * @faults_read: loads that came to the module
 * @faults_write: stores that came to the module
 * @faults_waited: of both, those that had to wait for the agent
 * @waits_locked: of these, waits that had to keep the mmap lock
 * @requests: requests made (several faults may share one)
 * @prefetches: prefetch requests
 * @handed: requests handed to the agent
 * @bells: DSM_CMD_REQS_NTF sent
 * @bells_lost: of these, refused by a full socket buffer
 * @installs: pages installed
 * @upgrades: pages upgraded
 * @drops: pages dropped
 * @takes: pages taken with their bytes
 * @downgrades: pages downgraded
 * @busy: revokes refused because the page was pinned
 * @failed: requests that ended with an error
 * @sigbus: faults that ended with SIGBUS
 * @killed: waits ended by SIGKILL
 * @resident: pages present now
 * @pending: requests pending now
 * @queued: of these, not handed over yet
 * @regions: regions now
 * @latency: waits of programs, bucket i: less than 2^i microseconds; the last one has the rest
 */
struct dsm_stats {
	__u64 faults_read;
	__u64 faults_write;
	__u64 faults_waited;
	__u64 waits_locked;
	__u64 requests;
	__u64 prefetches;
	__u64 handed;
	__u64 bells;
	__u64 bells_lost;
	__u64 installs;
	__u64 upgrades;
	__u64 drops;
	__u64 takes;
	__u64 downgrades;
	__u64 busy;
	__u64 failed;
	__u64 sigbus;
	__u64 killed;
	__u64 resident;
	__u64 pending;
	__u64 queued;
	__u64 regions;
	__u64 latency[DSM_LATENCY_BUCKETS];
};

#ifdef __KERNEL__
#define DSM_ASSERT_SIZE(type, size) static_assert(sizeof(struct type) == (size))
#elif defined(__cplusplus)
#define DSM_ASSERT_SIZE(type, size) static_assert(sizeof(struct type) == (size), #type)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define DSM_ASSERT_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type)
#else /* C before 2011 cannot assert */
#define DSM_ASSERT_SIZE(type, size) struct type
#endif
DSM_ASSERT_SIZE(dsm_info, 96);
DSM_ASSERT_SIZE(dsm_attach, 72);
DSM_ASSERT_SIZE(dsm_page, 16);
DSM_ASSERT_SIZE(dsm_prefetch, 24);
DSM_ASSERT_SIZE(dsm_req, 16);
DSM_ASSERT_SIZE(dsm_run, 32);
DSM_ASSERT_SIZE(dsm_runs, 16);
DSM_ASSERT_SIZE(dsm_answer, 24);
DSM_ASSERT_SIZE(dsm_page_run, 16);
DSM_ASSERT_SIZE(dsm_stats, 368);
#undef DSM_ASSERT_SIZE

#endif /* _UAPI_LINUX_DSM_H */
