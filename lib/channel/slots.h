/* SPDX-License-Identifier: MIT */
/*
 * The newest value of one writer, in memory that others map: one direction of a
 * channel, or a topic's copy on a node. Needs nothing but C11 atomics.
 *
 *   head: geometry | writer's line | readers' line
 *   slot 0 .. 7:  stamp, length | bytes
 *
 * The writer fills a slot that is neither the newest nor kept, then names it by one
 * store. It stamps the slot with the value's number before it touches the bytes, so
 * a reader whose slot still has the right stamp after copying has copied one value. A
 * writer that was killed has left a slot that nobody is sent to.
 *
 * A reader fails only when seven values were written while it copied one; then it
 * takes a ticket, and the writer keeps the newest slot for it at its next value.
 * (That readers announce themselves and the writer helps them is G. L. Peterson's idea, "Concurrent
 * Reading While Writing", ACM TOPLAS 5(1), 1983.) A ticket of a reader that was killed is
 * withdrawn after SLOTS_PATIENCE values.
 *
 * Nothing here waits. Who sleeps for a value sets `waiting` and sleeps on `bell`;
 * slots_write() tells when somebody is to be woken. The writer does without a
 * fence, so a sleeper that has just set `waiting` may be overlooked by a value being
 * written at that instant: its first sleep must be a short one (SLOTS_FIRST_SLEEP_US).
 */
#ifndef DSM_LIB_CHANNEL_SLOTS_H
#define DSM_LIB_CHANNEL_SLOTS_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SLOTS_MAGIC	     0x31746f6c734d5344ull /* "DSMslot1" */
#define SLOTS_LINE	     64u
#define SLOTS_COUNT	     8u
#define SLOTS_TICKETS	     4u /* newest, the one being filled, kept ones: must be fewer than slots */
#define SLOTS_SIZE_MAX	     (1u << 20)
#define SLOTS_PATIENCE	     (1u << 28) /* values: a second of the fastest writer */
#define SLOTS_FIRST_SLEEP_US 1000u

#define SLOTS_ODD_LANES 0x0001000100010001ull

struct slots_head {
	/* Geometry: written once. */
	uint64_t magic;
	uint32_t size;	 /* most bytes of a value */
	uint32_t stride; /* of slots */
	uint8_t reserved0[48];
	/* Written by the writer. */
	_Atomic uint64_t newest;   /* number << 8 | slot; 0: none yet */
	_Atomic uint64_t answered; /* per ticket the one that was answered last, 16 bits each */
	_Atomic uint64_t kept;	   /* per ticket the slot that is kept, 16 bits each */
	_Atomic uint64_t patience; /* values written while any was kept */
	uint8_t reserved1[32];
	/* Written by readers, and by the writer where they ask for it. */
	_Atomic uint64_t tickets; /* 16 bits each, odd: taken */
	_Atomic uint32_t waiting; /* somebody sleeps */
	_Atomic uint32_t bell;	  /* what they sleep on */
	uint8_t reserved2[48];
};
_Static_assert(sizeof(struct slots_head) == 3 * SLOTS_LINE, "layout of channels");
_Static_assert(SLOTS_TICKETS + 2 <= SLOTS_COUNT, "a free slot is always found");

struct slots_slot {
	_Atomic uint64_t stamp; /* number of the value in it, or being written to it */
	_Atomic uint32_t length;
	uint8_t reserved[52];
	uint8_t bytes[];
};
_Static_assert(sizeof(struct slots_slot) == SLOTS_LINE, "layout of channels");

/* As a process uses them: what it does not want to believe twice. */
struct slots {
	struct slots_head *head;
	uint8_t *first;
	uint32_t size, stride;
};

static inline uint32_t slots_stride(uint32_t size)
{
	return (uint32_t)sizeof(struct slots_slot) + ((size + SLOTS_LINE - 1) & ~(SLOTS_LINE - 1));
}

/* Memory for values of @size bytes; a multiple of the line. */
static inline uint64_t slots_bytes(uint32_t size)
{
	return sizeof(struct slots_head) + (uint64_t)SLOTS_COUNT * slots_stride(size);
}

/* Make them in @memory, line-aligned and zeroed. */
static inline void slots_make(void *memory, uint32_t size)
{
	struct slots_head *head = (struct slots_head *)memory;

	head->size = size;
	head->stride = slots_stride(size);
	head->magic = SLOTS_MAGIC;
}

/* 0 and @ret, or -EBADMSG: no slots that fit in @room bytes. */
static inline int slots_open(void *memory, uint64_t room, struct slots *ret)
{
	struct slots_head *head = (struct slots_head *)memory;
	uint32_t size;

	if (room < sizeof(*head) || head->magic != SLOTS_MAGIC)
		return -EBADMSG;
	size = head->size;
	if (!size || size > SLOTS_SIZE_MAX || head->stride != slots_stride(size) ||
	    slots_bytes(size) > room)
		return -EBADMSG;
	ret->head = head;
	ret->first = (uint8_t *)memory + sizeof(*head);
	ret->size = size;
	ret->stride = slots_stride(size);
	return 0;
}

static inline struct slots_slot *slots_slot(const struct slots *s, uint32_t slot)
{
	return (struct slots_slot *)(s->first + (size_t)(slot % SLOTS_COUNT) * s->stride);
}

static inline uint64_t slots_newest(const struct slots *s)
{
	return atomic_load_explicit(&s->head->newest, memory_order_acquire) >> 8;
}

/*
 * Bytes that the other side may be writing: a race by design, settled by the stamp. Where
 * races are looked for each word is an atomic one.
 */
#ifdef __SANITIZE_THREAD__
#define slots_fence(order) ((void)0) /* not known to ThreadSanitizer; its atomics are calls */

static inline void slots_copy_in(uint8_t *to, const void *from, uint32_t n)
{
	for (uint32_t at = 0; at < n; at += 8) {
		uint64_t word = 0;

		memcpy(&word, (const uint8_t *)from + at, n - at < 8 ? n - at : 8);
		atomic_store_explicit((_Atomic uint64_t *)(to + at), word, memory_order_relaxed);
	}
}

static inline void slots_copy_out(void *to, uint8_t *from, uint32_t n)
{
	for (uint32_t at = 0; at < n; at += 8) {
		uint64_t word = atomic_load_explicit((_Atomic uint64_t *)(from + at),
						     memory_order_relaxed);

		memcpy((uint8_t *)to + at, &word, n - at < 8 ? n - at : 8);
	}
}
#else
#define slots_fence(order) atomic_thread_fence(order)

static inline void slots_copy_in(uint8_t *to, const void *from, uint32_t n)
{
	if (n)
		memcpy(to, from, n);
}

static inline void slots_copy_out(void *to, uint8_t *from, uint32_t n)
{
	if (n)
		memcpy(to, from, n);
}
#endif

/* ------------------------------------------------------------ the writer */

static inline uint32_t slots_lane(uint64_t word, uint32_t ticket)
{
	return (uint16_t)(word >> (16 * ticket));
}

static inline uint64_t slots_lane_set(uint64_t word, uint32_t ticket, uint32_t value)
{
	word &= ~(0xffffull << (16 * ticket));
	return word | (uint64_t)(uint16_t)value << (16 * ticket);
}

/* Bit per slot that some ticket keeps. */
static inline uint32_t slots_kept(const struct slots *s, uint64_t answered)
{
	uint64_t kept = atomic_load_explicit(&s->head->kept, memory_order_relaxed);
	uint32_t bits = 0;

	for (uint32_t i = 0; i < SLOTS_TICKETS; i++)
		if (slots_lane(answered, i) & 1)
			bits |= 1u << slots_lane(kept, i) % SLOTS_COUNT;
	return bits;
}

/* The slot for the next value: not the newest, nor one that is kept. */
static inline uint32_t slots_choose(const struct slots *s, uint32_t newest)
{
	uint64_t answered = atomic_load_explicit(&s->head->answered, memory_order_relaxed);
	uint32_t slot = (newest + 1) % SLOTS_COUNT, kept;

	if (__builtin_expect(!(answered & SLOTS_ODD_LANES), 1))
		return slot;
	kept = slots_kept(s, answered);
	for (uint32_t i = 0; i < SLOTS_COUNT && (kept & 1u << slot); i++)
		slot = (slot + 1) % SLOTS_COUNT;
	return slot;
}

/* Readers that had tickets for too long have been killed. */
static inline uint64_t slots_withdraw(const struct slots *s, uint64_t tickets)
{
	uint64_t left = tickets;

	for (uint32_t i = 0; i < SLOTS_TICKETS; i++)
		if (slots_lane(left, i) & 1)
			left = slots_lane_set(left, i, slots_lane(left, i) + 1);
	atomic_store_explicit(&s->head->patience, 0, memory_order_relaxed);
	if (atomic_compare_exchange_strong(&s->head->tickets, &tickets, left))
		return left;
	return tickets;
}

/* New tickets keep the slot @newest, given back ones do not any more. */
static inline void slots_answer(const struct slots *s, uint64_t tickets, uint64_t answered,
				uint32_t newest)
{
	struct slots_head *head = s->head;
	uint64_t kept = atomic_load_explicit(&head->kept, memory_order_relaxed);
	uint64_t patience = atomic_load_explicit(&head->patience, memory_order_relaxed) + 1;

	atomic_store_explicit(&head->patience, patience, memory_order_relaxed);
	if (patience > SLOTS_PATIENCE)
		tickets = slots_withdraw(s, tickets);
	if (tickets == answered)
		return;
	for (uint32_t i = 0; i < SLOTS_TICKETS; i++)
		if (slots_lane(tickets, i) != slots_lane(answered, i))
			kept = slots_lane_set(kept, i, newest);
	atomic_store_explicit(&head->kept, kept, memory_order_relaxed);
	atomic_store_explicit(&head->answered, tickets, memory_order_release);
	if (!(tickets & SLOTS_ODD_LANES))
		atomic_store_explicit(&head->patience, 0, memory_order_relaxed);
}

/* What is seldom to be done after a value. True: wake all who sleep on the bell. */
static __attribute__((noinline, unused)) bool slots_attend(const struct slots *s, uint32_t newest)
{
	struct slots_head *head = s->head;
	uint64_t tickets = atomic_load_explicit(&head->tickets, memory_order_acquire);
	uint64_t answered = atomic_load_explicit(&head->answered, memory_order_relaxed);

	if (tickets != answered || (tickets & SLOTS_ODD_LANES))
		slots_answer(s, tickets, answered, newest);
	if (!atomic_load_explicit(&head->waiting, memory_order_relaxed) ||
	    !atomic_exchange(&head->waiting, 0))
		return false;
	atomic_fetch_add(&head->bell, 1);
	return true;
}

/*
 * Make @n bytes, at most s->size, the newest value, with the number @number, which is
 * greater than the newest one's. One writer at a time. True: wake all on the bell.
 */
static inline bool slots_put(const struct slots *s, const void *bytes, uint32_t n, uint64_t number,
			     uint64_t newest)
{
	struct slots_head *head = s->head;
	uint32_t at = slots_choose(s, (uint32_t)newest % SLOTS_COUNT);
	struct slots_slot *slot = slots_slot(s, at);

	/*
	 * ORDER: who sees the stamp sees that the slot is not the newest any more; who sees
	 * any of the bytes sees the stamp.
	 */
	atomic_store_explicit(&slot->stamp, number, memory_order_release);
	slots_fence(memory_order_release);
	atomic_store_explicit(&slot->length, n, memory_order_relaxed);
	slots_copy_in(slot->bytes, bytes, n);
	/* ORDER: who is sent to the slot sees all of it. */
	atomic_store_explicit(&head->newest, number << 8 | at, memory_order_release);
	if (__builtin_expect(
		    !atomic_load_explicit(&head->waiting, memory_order_relaxed) &&
			    atomic_load_explicit(&head->tickets, memory_order_relaxed) ==
				    atomic_load_explicit(&head->answered, memory_order_relaxed) &&
			    !atomic_load_explicit(&head->patience, memory_order_relaxed),
		    1))
		return false;
	return slots_attend(s, at);
}

/* The same with the next number. */
static inline bool slots_write(const struct slots *s, const void *bytes, uint32_t n)
{
	uint64_t newest = atomic_load_explicit(&s->head->newest, memory_order_relaxed);

	return slots_put(s, bytes, n, (newest >> 8) + 1, newest);
}

/* ------------------------------------------------------------ readers */

/* Copies value @number out of @at. Its bytes; -EINTR: overwritten meanwhile; -EMSGSIZE; -EBADMSG. */
static inline int slots_copy(const struct slots *s, uint32_t at, uint64_t number, void *to,
			     uint64_t room)
{
	struct slots_slot *slot = slots_slot(s, at);
	uint32_t n = atomic_load_explicit(&slot->length, memory_order_relaxed);

	if (__builtin_expect(n <= room && n <= s->size, 1))
		slots_copy_out(to, slot->bytes, n);
	/* ORDER: pairs with the fence after the stamp: bytes of another value, its stamp too. */
	slots_fence(memory_order_acquire);
	if (__builtin_expect(atomic_load_explicit(&slot->stamp, memory_order_acquire) != number, 0))
		return -EINTR;
	if (n > s->size)
		return -EBADMSG;
	return n > room ? -EMSGSIZE : (int)n;
}

/* Takes a ticket: its place, or SLOTS_TICKETS when all are taken; @ret its 16 bits. */
static inline uint32_t slots_ticket(const struct slots *s, uint32_t *ret)
{
	uint64_t tickets = atomic_load_explicit(&s->head->tickets, memory_order_relaxed), mine;
	uint32_t i;

	*ret = 0;
	do {
		for (i = 0; i < SLOTS_TICKETS && (slots_lane(tickets, i) & 1); i++)
			;
		if (i == SLOTS_TICKETS)
			return i;
		*ret = (uint16_t)(slots_lane(tickets, i) + 1);
		mine = slots_lane_set(tickets, i, *ret);
	} while (!atomic_compare_exchange_weak(&s->head->tickets, &tickets, mine));
	return i;
}

static inline void slots_ticket_return(const struct slots *s, uint32_t i, uint32_t mine)
{
	uint64_t tickets = atomic_load_explicit(&s->head->tickets, memory_order_relaxed);

	while (slots_lane(tickets, i) == mine &&
	       !atomic_compare_exchange_weak(&s->head->tickets, &tickets,
					     slots_lane_set(tickets, i, mine + 1)))
		;
}

/* False: it is none, or was withdrawn. */
static inline bool slots_ticket_good(const struct slots *s, uint32_t i, uint32_t mine)
{
	return i < SLOTS_TICKETS &&
	       slots_lane(atomic_load_explicit(&s->head->tickets, memory_order_relaxed), i) == mine;
}

/* What the writer keeps for ticket @i. Like slots_copy(); -EAGAIN: it has not answered. */
static inline int slots_copy_kept(const struct slots *s, uint32_t i, uint32_t mine, void *to,
				  uint64_t room, uint64_t *number)
{
	uint64_t answered = atomic_load_explicit(&s->head->answered, memory_order_acquire);
	uint32_t at;

	if (i == SLOTS_TICKETS || slots_lane(answered, i) != mine)
		return -EAGAIN;
	at = slots_lane(atomic_load_explicit(&s->head->kept, memory_order_relaxed), i);
	*number = atomic_load_explicit(&slots_slot(s, at)->stamp, memory_order_acquire);
	return slots_copy(s, at, *number, to, room);
}

#define SLOTS_TRIES 1000000u /* of a reader, before it calls the memory damaged */

/* After a first try in vain, when the newest was @word. */
static __attribute__((noinline, unused)) int slots_read_again(const struct slots *s, uint64_t word,
							      void *to, uint64_t room,
							      uint64_t *ret_number)
{
	uint32_t mine = 0, i = slots_ticket(s, &mine);
	uint64_t last = word, number = 0;
	int n = -EINTR;

	for (uint32_t tries = 0; n == -EINTR && tries < SLOTS_TRIES; tries++) {
		n = slots_copy_kept(s, i, mine, to, room, &number);
		if (n != -EAGAIN && n != -EINTR)
			break;
		if (!slots_ticket_good(s, i, mine))
			i = slots_ticket(s, &mine);
		word = atomic_load_explicit(&s->head->newest, memory_order_acquire);
		number = word >> 8;
		/* The newest is overwritten by nobody. */
		n = word == last ? -EBADMSG : slots_copy(s, (uint32_t)word, number, to, room);
		last = word;
	}
	if (i < SLOTS_TICKETS)
		slots_ticket_return(s, i, mine);
	*ret_number = number;
	return n == -EINTR ? -EBADMSG : n;
}

/*
 * Copy the newest value to @to, if it is newer than number @than. Its bytes and number;
 * -ENODATA: none was ever written; -EAGAIN: it is not newer; -EMSGSIZE: more than @room; -EBADMSG: damaged.
 */
static inline int slots_read(const struct slots *s, uint64_t than, void *to, uint64_t room,
			     uint64_t *ret_number)
{
	uint64_t word = atomic_load_explicit(&s->head->newest, memory_order_acquire);
	int n;

	if (!word)
		return -ENODATA;
	if (word >> 8 <= than && than)
		return -EAGAIN;
	*ret_number = word >> 8;
	n = slots_copy(s, (uint32_t)word, word >> 8, to, room);
	if (__builtin_expect(n == -EINTR, 0))
		return slots_read_again(s, word, to, room, ret_number);
	return n;
}

/* 0, or the name of what is wrong. Good at any time, also while others write. */
static inline const char *slots_wrong(const struct slots *s)
{
	uint64_t word = atomic_load_explicit(&s->head->newest, memory_order_acquire);
	uint64_t stamp;

	if (s->head->magic != SLOTS_MAGIC || s->head->size != s->size ||
	    s->head->stride != s->stride)
		return "geometry";
	if ((word & 0xff) >= SLOTS_COUNT || (word && !(word >> 8)))
		return "newest value's slot";
	stamp = atomic_load_explicit(&slots_slot(s, (uint32_t)word)->stamp, memory_order_acquire);
	if (word && stamp != word >> 8 &&
	    atomic_load_explicit(&s->head->newest, memory_order_acquire) == word)
		return "newest value's stamp";
	return NULL;
}

#endif
