/* SPDX-License-Identifier: MIT */
/*
 * Inside lib/ring: how a ring lies in a segment, and a process's view of it.
 *
 * A ring is a power of two of bytes. A position counts bytes and never wraps; the byte it means is
 * position & mask. Records follow each other, each a header of 8 bytes and its payload,
 * both aligned to 8. The header says all that is to be known of a record in one atomic word:
 *
 *	 63        32 31    28 27             0
 *	+------------+--------+----------------+
 *	| participant| state  | payload bytes  |
 *	+------------+--------+----------------+
 *
 * The header after the last record is 0. The producer writes that one first and the record's own
 * last; so a consumer needs to look nowhere but at the header where it stands, and whoever
 * comes after a dead producer walks on to the 0.
 */
#ifndef DSM_LIB_RING_H
#define DSM_LIB_RING_H

#include <dsm/connection.h>
#include <lib/segment/segment.h>
#include <lib/segment/spin.h>
#include <string.h>

#define RING_MAGIC   0x474e4952u /* "RING" */
#define RING_HEADER  8u
#define RING_MIN     1024u
#define RING_MAX     (1ull << 30)
#define RING_DEFAULT 65536u
#define RING_OPEN    (DSM_RING_PRODUCER | DSM_RING_CONSUMER | DSM_RING_SLEEP)
#define RING_LENGTH  0x0fffffffu /* of a header: payload bytes */

/*
 * How long a sleeper lies before it looks whether its peers live: a death is told within 100 ms.
 * And where there is none to look after: a wake-up is missed only if its sender was killed.
 */
#ifdef DSM_MUTANT_RING_DEATH_LATE
#define RING_LOOK_US 150000u
#else
#define RING_LOOK_US 50000u
#endif
#define RING_SLICE_US 100000u

enum ring_state {
	RING_EMPTY = 0,	   /* the header is 0: nothing was written here yet */
	RING_READY = 1,	   /* a message */
	RING_PAD = 2,	   /* nothing; the next record is at the ring's beginning or behind */
	RING_RESERVED = 3, /* MPMC: being written by the participant */
	RING_TAKEN = 4,	   /* MPMC: being read by the participant */
	RING_DONE = 5,	   /* MPMC: released, or never committed */
};

/* Bits of ring_shared.sleepers. */
#define RING_SLEEPING 1u /* somebody waits on the word */
#define RING_POLLING  2u /* the thread of an armed descriptor waits on the word */
#define RING_DOORBELL 4u /* the listener wants its bell rung */

/*
 * What the two ends share. On lines of their own: what the producers write, what the consumers
 * write, and what both read at each message but write only to sleep. Across nodes each
 * line takes a page, see ring_line().
 */
struct ring_producer {
	_Atomic uint64_t tail; /* MPMC: position behind the last record; may lag, see ring_walk() */
	_Atomic uint32_t owner; /* SPSC: participant */
	uint32_t reserved;
	struct seg_lock lock; /* MPMC: tail, and the header there */
};

struct ring_consumer {
	_Atomic uint64_t head;	/* position of the first record that is not released */
	_Atomic uint64_t take;	/* MPMC: position of the next to take; may lag like tail */
	_Atomic uint32_t owner; /* SPSC: participant */
	_Atomic uint32_t again; /* MPMC: records between head and take may be ready: given again */
	struct seg_lock lock;	/* MPMC: head, take, again */
};

struct ring_sleep {
	_Atomic uint32_t sleepers;	  /* consumers: RING_SLEEPING ...; woken by a message */
	_Atomic uint32_t producers;	  /* 1: producers sleep until there is room */
	_Atomic uint32_t producer_fences; /* SPSC: the producer's commits order by themselves */
	_Atomic uint32_t consumer_fences; /* SPSC: the same of releases */
	uint64_t reserved;
};

/* Root of a ring: this, then the lines of struct ring_lines, then the bytes. */
struct ring_root {
	uint32_t magic; /* RING_MAGIC */
	uint32_t kind;	/* enum dsm_ring_kind */
	uint64_t capacity;
	uint64_t line; /* bytes between two lines */
	uint64_t reserved[5];
};
static_assert(sizeof(struct ring_root) == SEG_LINE, "layout of segments");

#define RING_LINES 3u /* producer, consumer, sleep */

/* Bytes that keep two lines apart: cache lines in pairs on one host, pages among nodes. */
static inline uint64_t ring_line(const dsm_segment_t *seg)
{
	return seg->cluster ? SEG_PAGE : 2 * SEG_LINE;
}
/* Bytes of lines and ring, without the root. */
static inline uint64_t ring_bytes(uint64_t line, uint64_t capacity)
{
	return RING_LINES * line + capacity;
}

/* An end as this process has it. */
struct ring_end {
	_Atomic uint32_t *owner; /* in the segment; NULL: not ours */
	_Atomic uint32_t *me; /* what we wrote there; both ends of a connection have it in common */
	_Atomic uint32_t me_alone;
	uint64_t thread;	/* ring_thread() of the last user */
	struct seg_spin spin;	/* MPMC: of all threads */
	_Atomic uint32_t hold;	/* waits until staying behind is tried again, see spin.c */
	_Atomic uint32_t holds; /* what hold begins at */
};

struct dsm_ring {
	/* Never changed. */
	dsm_segment_t *seg;
	struct ring_producer *producer;
	struct ring_consumer *consumer;
	struct ring_sleep *sleep;
	uint8_t *data;
	uint64_t capacity, mask;
	uint32_t kind, flags;
	uint64_t serial;       /* the segment's when it was opened: tells a forked child */
	bool fences;	       /* membarrier() is of no use here: each side orders by itself */
	struct dsm_conn *conn; /* NULL: a ring by name */
	/* Has any of the bits peer_gone when the other side of a connection is gone. */
	const _Atomic uint64_t *peer_state;
	uint64_t peer_gone;

	/* The producer's. */
	_Alignas(2 * SEG_LINE) struct ring_end send;
	uint64_t tail;
	uint64_t head_seen; /* the consumer's head, as of when it was last needed */
	uint64_t reserved;  /* bytes of the record reserved at the tail; 0: none */
	uint32_t fencing;   /* what sleep->producer_fences says */
	uint32_t quiet;	    /* commits since somebody had to be woken */

	/* The consumer's. */
	_Alignas(2 * SEG_LINE) struct ring_end recv;
	uint64_t head;		/* released up to here */
	uint64_t take;		/* taken up to here */
	struct ring_poll *poll; /* see fd.c; NULL: there is no descriptor */
};

/* ------------------------------------------------------------ records */

static inline uint64_t ring_header(enum ring_state state, seg_id who, uint64_t length)
{
	return (uint64_t)who << 32 | (uint64_t)state << 28 | length;
}
static inline enum ring_state header_state(uint64_t h)
{
	return (enum ring_state)(h >> 28 & 15);
}
static inline uint64_t header_length(uint64_t h)
{
	return h & RING_LENGTH;
}
static inline seg_id header_who(uint64_t h)
{
	return (seg_id)(h >> 32);
}
/* Bytes of a record with @length bytes of payload. */
static inline uint64_t record_size(uint64_t length)
{
	return RING_HEADER + ((length + 7) & ~7ull);
}
static inline _Atomic uint64_t *header_at(const dsm_ring_t *r, uint64_t pos)
{
	return (_Atomic uint64_t *)(r->data + (pos & r->mask));
}
static inline uint8_t *payload_at(const dsm_ring_t *r, uint64_t pos)
{
	return r->data + (pos & r->mask) + RING_HEADER;
}
/*
 * Small messages were written a moment ago, word by word. Wider loads than those
 * stores have to wait until these are in the cache, and with them all that stand in line
 * before: the lines that the consumer still holds. So words it is to load; stores may be wider.
 */
#define RING_SMALL 256u
typedef uint64_t ring_words __attribute__((vector_size(16), aligned(8), may_alias));

static inline uint64_t ring_load(const uint8_t *from)
{
	uint64_t word;

	memcpy(&word, from, 8);
	/* Keeps the compiler from making one wide load, or a call of memcpy(), of several. */
	__asm__ volatile("" : "+r"(word));
	return word;
}

static inline void ring_copy_small(void *dest, const void *src, size_t size)
{
	const uint8_t *from = src, *end = from + size;
	uint8_t *to = dest;

	for (; end - from >= 16; from += 16, to += 16) {
		ring_words both = { ring_load(from), ring_load(from + 8) };

		memcpy(to, &both, 16);
	}
	if (end - from >= 8) {
		uint64_t word = ring_load(from);

		memcpy(to, &word, 8);
		from += 8;
		to += 8;
	}
	for (; from < end; from++, to++) {
		*to = *from;
		__asm__ volatile("");
	}
}

static inline void ring_copy(void *dest, const void *src, size_t size)
{
	if (size > RING_SMALL)
		memcpy(dest, src, size);
	else
		ring_copy_small(dest, src, size);
}

/* Bytes from @pos to the end of the memory: a record never goes beyond. */
static inline uint64_t ring_straight(const dsm_ring_t *r, uint64_t pos)
{
	return r->capacity - (pos & r->mask);
}
/* False: no such record can stand at @pos. */
static inline bool record_fits(const dsm_ring_t *r, uint64_t pos, uint64_t h)
{
	return likely(record_size(header_length(h)) <= ring_straight(r, pos));
}
/*
 * The greatest payload: with the padding before it, it needs twice its room at most, and the
 * 0 behind it.
 */
static inline uint64_t ring_message_max(const dsm_ring_t *r)
{
	return r->capacity / 2 - 2 * RING_HEADER;
}

/* ------------------------------------------------------------ open.c */

/* Where a ring lies: @off its first line, checked by the caller to be there. */
void ring_attach(dsm_ring_t *r, dsm_segment_t *seg, uint64_t off, uint64_t line, uint64_t capacity,
		 uint32_t kind);
/* Forget what a ring of an earlier life held. */
void ring_format(dsm_segment_t *seg, uint64_t off, uint64_t line);
/* The ends begin where the shared positions, or what a dead owner left, say. -EBADMSG. */
int ring_begin_send(dsm_ring_t *r);
int ring_begin_recv(dsm_ring_t *r);
/* The first position from @pos on whose header is 0. -EBADMSG. */
int ring_walk(const dsm_ring_t *r, uint64_t pos, uint64_t head, uint64_t *ret);
int ring_damaged(const dsm_ring_t *r, const char *what, uint64_t pos);

/* A number for each thread of this process, never used twice. */
extern __thread uint64_t ring_thread_number __attribute__((tls_model("initial-exec")));
uint64_t ring_thread(void);
int ring_end_moved(dsm_ring_t *r, struct ring_end *end);

/* To be called first: an SPSC end belongs to one thread, and follows it. -EPERM. */
static inline int ring_enter(dsm_ring_t *r, struct ring_end *end)
{
	if (likely(end->thread == ring_thread_number && end->owner &&
		   r->serial == atomic_load_explicit(&r->seg->serial, memory_order_relaxed)))
		return 0;
	return ring_end_moved(r, end);
}

/* ------------------------------------------------------------ spsc.c, mpmc.c */

/* Room for a record at the tail; a pad that is needed is written. -EAGAIN: none. -EBADMSG. */
int spsc_room(dsm_ring_t *r, uint64_t length);
/* How many of @v went: as many as fit, seen together. -EAGAIN, -EBADMSG. */
int spsc_put_many(dsm_ring_t *r, const struct iovec *v, unsigned int n);
/* How many. -EAGAIN: there is none; -EBADMSG. */
int spsc_take(dsm_ring_t *r, struct dsm_ring_message *ret, unsigned int max);
int spsc_release(dsm_ring_t *r, const void *data);
/* All that is taken. */
void spsc_release_all(dsm_ring_t *r);

int mpmc_reserve(dsm_ring_t *r, uint64_t length, void **ret);
int mpmc_commit(dsm_ring_t *r, void *p, uint64_t length);
int mpmc_cancel(dsm_ring_t *r, void *p);
int mpmc_put_many(dsm_ring_t *r, const struct iovec *v, unsigned int n);
int mpmc_take(dsm_ring_t *r, struct dsm_ring_message *ret, unsigned int max);
int mpmc_release(dsm_ring_t *r, const struct dsm_ring_message *v, unsigned int n);
/* Put a taken message back. */
int mpmc_return(dsm_ring_t *r, const void *data);
/* Skip what the dead had reserved and give again what they had taken. */
int mpmc_bury(dsm_ring_t *r);

/* ------------------------------------------------------------ spin.c */

void ring_spin_begin(struct ring_end *end);
/* Waits awake for a message, or room; false: it is time to sleep. */
bool ring_spin_message(dsm_ring_t *r);
bool ring_spin_room(dsm_ring_t *r, uint64_t seen);

/* ------------------------------------------------------------ wait.c */

/* Whether membarrier() can be had by this process. */
bool ring_has_membarrier(void);
/* Sleep until there may be a message, or room. @deadline in seg_now_ns(), UINT64_MAX: none. */
int ring_wait_message(dsm_ring_t *r, uint64_t deadline);
/* There was none when the consumers' head was @seen. */
int ring_wait_room(dsm_ring_t *r, uint64_t seen, uint64_t deadline);
/* Ask to be told (@bits of RING_SLEEPING ...) of the next message. True: there is one already. */
bool ring_ask(dsm_ring_t *r, uint32_t bits);
bool ring_has_message(const dsm_ring_t *r);
/* Sets @bits of a word that the other side looks at, who may order @by_themselves; then look. */
void ring_say(const dsm_ring_t *r, _Atomic uint32_t *word, uint32_t bits,
	      _Atomic uint32_t *by_themselves);
/* How long to sleep at once, in microseconds. */
uint64_t ring_slice(const dsm_ring_t *r, const _Atomic uint32_t *by_themselves);
/* After a sleep that ended with @err: do those live for whom we wait? */
void ring_look(dsm_ring_t *r, int err);
/* By a producer, after a message. */
void ring_wake_consumers(dsm_ring_t *r);
/* By anybody: those of @kinds (RING_SLEEPING ...). */
void ring_wake_sleepers(dsm_ring_t *r, uint32_t kinds);
void ring_wake_producers(dsm_ring_t *r);
/* When a wait of @timeout_us, not 0, that begins now ends. */
uint64_t ring_deadline(int64_t timeout_us);

/* Commits that woke nobody until the producer leaves the ordering to the sleepers. */
#define RING_QUIET 64u
/* After each commit while somebody sleeps, or the producer orders by itself. 0. */
int ring_posted(dsm_ring_t *r);

/* SPSC: stores a header so that its reader is woken if it sleeps. Not for many at once. */
static inline void ring_post(dsm_ring_t *r, _Atomic uint64_t *header, uint64_t value)
{
	/* ORDER: pairs with ring_ask(), by this store or by the sleeper's membarrier(). */
	if (r->fencing)
		atomic_store(header, value);
	else
		atomic_store_explicit(header, value, memory_order_release);
	if (unlikely(r->fencing || atomic_load(&r->sleep->sleepers)))
		(void)ring_posted(r);
}

/* ------------------------------------------------------------ recv.c, fd.c */

/* 0, or -EPERM: it is not the caller's to receive from. */
int ring_may_receive(dsm_ring_t *r);

/* Ends the descriptor and its thread, if there are any. */
void ring_fd_close(dsm_ring_t *r);

/* ------------------------------------------------------------ connection.c */

/* 0; -EPIPE, -ECONNRESET: the other side is gone, as far as is known already. */
int conn_gone(const struct dsm_conn *conn);
/* The same after having looked whether it lives. */
int conn_look(struct dsm_conn *conn);
/* The same, no more often than twice in RING_LOOK_US: for those who ask all the time. */
int conn_look_seldom(struct dsm_conn *conn);
/* Tell the listener that @conn has a message. */
void conn_ring_bell(struct dsm_conn *conn);

#endif
