/* SPDX-License-Identifier: MIT */
/*
 * Inside libdsm: a channel in a segment, and as a process uses it.
 *
 *   page 0	header: geometry, the lock of the seats
 *   page 1, 2	seats: master's, slave's
 *   then	two flows (slots.h), the master's values and the slave's; shm only: in a
 *		cluster each flow is a topic (lib/topic.h), whose memory is the node's
 *
 * A seat belongs to the participant that is the keeper, one thread of each process
 * that takes, leaves and watches the seats of all its channels (keeper.c). Seats change hands under
 * the channel's lock, but that of a dead one is cleared by its recovery without.
 *
 * Lock order: the keeper's lock, then a handle's write_lock, then its read_lock, then locks in the segment.
 */
#ifndef DSM_LIB_CHANNEL_H
#define DSM_LIB_CHANNEL_H

#include <dsm/channel.h>

#include "lib/channel/slots.h"
#include "lib/segment/segment.h"
#include "lib/segment/spin.h"

#define CHANNEL_MAGIC	0x31306c6e68634453ull /* "SDchnl01" */
#define CHANNEL_VERSION 1u

enum { SEAT_MASTER = 0, SEAT_SLAVE = 1, SEATS = 2 };

/* What a reader has counted. Written by it alone. */
struct channel_count {
	_Atomic uint64_t seen; /* number of the last value read */
	_Atomic uint64_t read;
	_Atomic uint64_t missed;
};

struct channel_seat {
	/* Who has it. */
	_Atomic uint32_t id;   /* participant, the keeper of its process; 0: nobody */
	_Atomic uint32_t died; /* the last who had it, without leaving */
	_Atomic uint32_t seated;
	_Atomic uint32_t stale_ms; /* of the other side's silence */
	_Atomic uint32_t pid, tid; /* of the keeper, as its own pid namespace numbers it */
	_Atomic uint32_t node;
	uint32_t reserved0;
	_Atomic uint64_t pid_namespace; /* inode */
	_Atomic uint64_t since_ns;
	uint8_t reserved1[16];
	/* Its heart: written by the keeper at each beat. */
	_Atomic uint64_t beats;
	_Atomic uint64_t beat_ns;   /* CLOCK_MONOTONIC */
	_Atomic uint32_t period_us; /* until the next beat */
	_Atomic uint32_t busy;	    /* it reads or writes: wants beats often */
	uint8_t reserved2[40];
	/* Of the values from the other seat. */
	struct channel_count count;
	_Atomic uint64_t written; /* number of its own last value as told last: cluster only */
	uint8_t reserved3[32];
	uint8_t reserved4[SEG_PAGE - 192];
};
static_assert(sizeof(struct channel_seat) == SEG_PAGE, "layout of channels");

struct channel_header {
	uint64_t magic;
	uint32_t version;
	uint32_t size;	      /* most bytes of a value */
	uint64_t name;	      /* random: of its topics */
	uint64_t flow_bytes;  /* of each flow; 0: topics */
	struct seg_lock lock; /* of the seats */
	uint8_t reserved[SEG_PAGE - 40];
	struct channel_seat seat[SEATS];
};
static_assert(sizeof(struct channel_header) == 3 * SEG_PAGE, "layout of channels");

/* What the fast paths have to look at, bits of dsm_channel.trouble. */
enum channel_trouble {
	TROUBLE_NO_SEAT = 1, /* an observer */
	TROUBLE_FORKED = 2,  /* the seat is the parent's */
	TROUBLE_BROKEN = 4,  /* the peer is given up */
	TROUBLE_CLOSED = 8,  /* the agent has gone, see channel/cluster.c */
};

/* The other side as the keeper sees it. */
struct channel_watch {
	seg_id id;	   /* who has the seat; 0: nobody */
	bool met;	   /* somebody had it, since we look */
	bool silent;	   /* no sign of life: stale, dead or gone */
	bool lost;	   /* reconnecting has ended */
	uint64_t beats;	   /* last seen */
	uint64_t heard_ns; /* when the last beat came */
	uint64_t looked_ns;
	uint64_t silent_ns; /* since when it is silent */
	uint64_t next_look_ns;
	uint32_t attempts;
	uint32_t reconnects;
};

struct topic;

/* Where a handle's memory is; changes as a whole when the segment was made anew. */
struct channel_place {
	dsm_segment_t *seg;
	struct channel_header *header;
	struct slots flow[SEATS];
	struct topic *topic[SEATS]; /* cluster only */
};

struct dsm_channel {
	/* What a write needs. */
	_Atomic uint32_t write_lock;
	_Atomic uint32_t trouble;
	struct slots out;
	struct topic *topic_out; /* cluster only */
	uint64_t number_from;	 /* values have greater numbers than this; not in a cluster: 0 */
	_Atomic uint32_t used;	 /* an operation was done; the keeper takes it away */
	uint32_t size;
	/* What a read needs. */
	_Alignas(64) _Atomic uint32_t read_lock;
	struct seg_spin spin;
	struct slots in;
	uint64_t old; /* values up to this number are not the last any more; not in a cluster: 0 */
	struct channel_count *count; /* the seat's, or own_count */
	struct channel_count own_count;
	/* The rest: the keeper's, but for what is constant. */
	_Alignas(64) struct dsm_channel *next; /* all of the process, under the keeper's lock */
	struct channel_place place;
	struct dsm_channel_options o;
	_Atomic uint32_t role;
	_Atomic uint32_t state; /* enum dsm_channel_peer_state */
	struct channel_watch watch;
	uint64_t due_ns;		 /* the next look */
	uint64_t busy_until_ns;		 /* beats come often until then */
	uint64_t told_read, told_missed; /* of own_count, already in the seat's: cluster */
	char *uri;			 /* dsm_channel_connect(): the segment is ours */
	dsm_segment_t **retired; /* segments that were removed; others may still sleep in them */
	uint32_t nretired;
	char name[DSM_ROOT_NAME_MAX];
	/* dsm_channel_info(): the last call. */
	uint64_t info_ns;
	uint64_t info_written[SEATS], info_read[SEATS];
};

static inline int channel_seat_of(uint32_t role)
{
	return role == DSM_CHANNEL_SLAVE ? SEAT_SLAVE : SEAT_MASTER;
}

/* The seat whose values it reads. */
static inline int channel_peer_seat(const struct dsm_channel *ch)
{
	uint32_t role = atomic_load_explicit(&ch->role, memory_order_relaxed);

	if (role == DSM_CHANNEL_OBSERVER)
		return channel_seat_of(ch->o.observe);
	return role == DSM_CHANNEL_SLAVE ? SEAT_MASTER : SEAT_SLAVE;
}

/* place.c: finds or makes the channel in place->seg. */
int channel_find(struct channel_place *place, const char *name, uint32_t size);
int channel_make(struct channel_place *place, const char *name, uint32_t size);
/* A channel at @off, checked. -EBADMSG. */
int channel_place_open(struct channel_place *place, const char *name, uint64_t off);
void channel_place_close(struct channel_place *place);

/* seat.c: by the keeper. The handle's flows follow its role. */
int seat_take(struct dsm_channel *ch);
void seat_leave(struct dsm_channel *ch);
/*
 * In a cluster reads are counted at home, for reading to touch no other node's memory. Now and
 * then, and before the seat is left, it is told, and what number is written: who has
 * the seat next goes on from there. Under the keeper's lock.
 */
void seat_tell_counts(struct dsm_channel *ch);
int seat_take_over(struct dsm_channel *ch);
/* The greatest number that is known to be written from @seat, should no agent have the value any more. */
uint64_t seat_told_written(const struct dsm_channel *ch, int seat);
/* Whoever had the seat is dead and the seat is free now. */
bool seat_clear_dead(struct dsm_channel *ch, int seat);

/* keeper.c */
/* Run @job in the keeper's thread and wait for it. Starts the keeper. */
int keeper_do(int (*job)(struct dsm_channel *ch), struct dsm_channel *ch);
void keeper_add(struct dsm_channel *ch);
void keeper_remove(struct dsm_channel *ch);
/* Look at @ch at once. */
void keeper_hurry(struct dsm_channel *ch);
void keeper_lock(void);
void keeper_unlock(void);

/* peer.c: looks at the other side; when to look again (ns from now). Keeper's lock held. */
uint64_t peer_look(struct dsm_channel *ch, uint64_t now, uint64_t late);
/* Reconnecting begins anew. */
void peer_reconnect(struct dsm_channel *ch);

/* opinion.c */
/* The thread is there and wants to run, but the processor is others'; false where nobody can tell. */
bool opinion_starved(const struct channel_seat *seat);
uint64_t opinion_pid_namespace(void);

/* remade.c: the segment was made anew under its name: go on there. True: done. */
bool channel_moved(struct dsm_channel *ch);

/* bell.c: sleep on, and wake, slots. */
void bell_ring(struct slots_head *head);
/* Sleeps at most @ns while no value newer than @than is there. */
void bell_wait(const struct slots *s, uint64_t than, uint64_t ns);

/* Of a handle's threads against each other; held for one copy. */
void channel_contended(_Atomic uint32_t *lock);
static inline void channel_lock(_Atomic uint32_t *lock)
{
	if (unlikely(atomic_exchange_explicit(lock, 1, memory_order_acquire)))
		channel_contended(lock);
}
static inline void channel_unlock(_Atomic uint32_t *lock)
{
	atomic_store_explicit(lock, 0, memory_order_release);
}

#endif
