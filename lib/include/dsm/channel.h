/* SPDX-License-Identifier: MIT */
/*
 * Channels: two programs tell each other their newest value, in both directions.
 *
 * A channel keeps the last value of each direction and nothing older: a writer never
 * waits for a reader, and a reader that is slow misses values and gets a newer one. What
 * must not be missed belongs into a ring, see <dsm/ring.h>.
 *
 * Endpoints. A channel has two seats, master and slave. The master's values go
 * in one direction, the slave's in the other. A seat belongs to one process until it
 * closes the channel or dies; whoever sits there next goes on where that one stopped,
 * and the other side notices no more than a pause. Any number of observers may
 * read both directions.
 *
 * Reading never sees half a value, never waits for a writer, and never writes
 * to what the writer uses, but where a very fast one got in its way: then the reader asks for a
 * value to be kept for it, which the writer does with its next one (after the
 * handshake of wait-free snapshots: readers announce, the writer helps). On a dsm: segment a value is
 * pushed to the nodes that read it; reading stays on the node.
 *
 * Hearts. The process of a seat shows that it lives every millisecond while either side reads or
 * writes, and two and a half times in the other side's stale_ms when neither did for 200 ms: so an
 * idle channel costs next to nothing, and a death is noticed within stale_ms all the same. On a dsm:
 * segment the agents tell.
 *
 * Threads may share a handle: writes are one after the other, and so are reads. After
 * fork() the child may read with the parent's handle, but does not have its seat.
 *
 * Results are 0 (or a count) or a negative errno, see dsm_last_error(). Time limits are in
 * microseconds: 0 does not wait, a negative one has no end.
 */
#ifndef DSM_CHANNEL_H
#define DSM_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include <dsm/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A channel as a process uses it. */
typedef struct dsm_channel dsm_channel_t;

#define DSM_CHANNEL_SIZE     4096u	/**< bytes of a value where nothing else is said */
#define DSM_CHANNEL_SIZE_MAX (1u << 20) /**< most bytes of a value; on a dsm: segment 256 KiB */

/** Which seat to take. */
enum dsm_channel_role {
	DSM_CHANNEL_AUTO = 0, /**< master if that seat is free, else slave */
	DSM_CHANNEL_MASTER = 1,
	DSM_CHANNEL_SLAVE = 2,
	DSM_CHANNEL_OBSERVER = 3, /**< none: reads only; see dsm_channel_options.observe */
};

/** What an operation does that meets a stale peer: when it gives up with -EPIPE. */
enum dsm_channel_stale {
	DSM_CHANNEL_ON_TIMEOUT = 0, /**< when reconnecting has ended in vain */
	DSM_CHANNEL_AT_ONCE = 1,    /**< as soon as the peer is stale */
	DSM_CHANNEL_NEVER = 2,	    /**< never: dsm_channel_peer() tells, operations go on */
};

/** How the other side is. */
enum dsm_channel_peer_state {
	DSM_CHANNEL_ABSENT =
		0, /**< nobody has the seat: not come yet, or left in peace; who has left is looked for like one that is stale */
	DSM_CHANNEL_LIVE = 1,
	DSM_CHANNEL_STALE = 2, /**< no heartbeat for stale_ms, or dead; being looked for */
	DSM_CHANNEL_LOST = 3,  /**< stale, and reconnecting has ended in vain */
};

/**
 * How to open a channel. Begin with DSM_CHANNEL_DEFAULTS. Of the times and size a 0 means
 * the default, but for attempts and total_ms, where it means no limit.
 */
struct dsm_channel_options {
	uint32_t size;	/**< creation: most bytes of a value; 0: 4096. Opening: 0 or what it has */
	uint32_t role;	/**< enum dsm_channel_role */
	uint32_t stale; /**< enum dsm_channel_stale */
	uint32_t
		take_over; /**< slave: 1: become master when the master dies; 0: wait for a new one */
	uint32_t stale_ms; /**< silence after which the peer is stale; 0: 100 */
	uint32_t retry_ms; /**< reconnecting: time between two looks; 0: 100 */
	uint32_t attempts; /**< reconnecting: looks before giving up; 0: no limit */
	uint32_t total_ms; /**< reconnecting: all of it; 0: no limit */
	uint32_t
		observe; /**< observer: whose values to read, enum dsm_channel_role; AUTO: master's */
	uint32_t reserved; /**< 0 */
};

/** size, role, stale, take_over, stale_ms, retry_ms, attempts, total_ms, observe, reserved */
#define DSM_CHANNEL_DEFAULTS                                                                       \
	{                                                                                          \
		0, DSM_CHANNEL_AUTO, DSM_CHANNEL_ON_TIMEOUT, 0, 100, 100, 50, 5000, 0, 0           \
	}

/**
 * Open the channel @name of @seg and take a seat; @options NULL: DSM_CHANNEL_DEFAULTS. Master and
 * automatic make the channel where there is none; slave and observer look for it as
 * often and as long as reconnecting may. @seg must stay open longer.
 *
 * -EBUSY: who has the seat is alive (automatic: both); -ENOENT: no such channel in
 * the time allowed; -EMSGSIZE: it has another size than asked for, or is to have one that
 * @seg's kind does not allow; -EMEDIUMTYPE: @name is something else; -EBADMSG: damaged; -ENOSPC; -EINVAL; -EUSERS.
 */
int dsm_channel_open(dsm_segment_t *seg, const char *name,
		     const struct dsm_channel_options *options, dsm_channel_t **ret);

/**
 * The same by the segment's URI, which is opened here and closed with the channel.
 * Master and automatic make the segment too where there is none, others look for it
 * like for the channel; a segment that was removed and made anew is noticed when the peer
 * is stale, and gone on with.
 */
int dsm_channel_connect(const char *uri, const char *name,
			const struct dsm_channel_options *options, dsm_channel_t **ret);

/** Leave the seat and free the handle. NULL is allowed. No other thread may use @ch. */
void dsm_channel_close(dsm_channel_t *ch);

/** Remove the channel. -ENOENT; -EBUSY: somebody alive sits in it. */
int dsm_channel_remove(dsm_segment_t *seg, const char *name);

/** Most bytes of a value. */
uint32_t dsm_channel_size(const dsm_channel_t *ch);
/** The seat that it has now: MASTER, SLAVE or OBSERVER; it changes by taking over. */
enum dsm_channel_role dsm_channel_role(const dsm_channel_t *ch);
/** How the other side is; for observers the one they read from. */
enum dsm_channel_peer_state dsm_channel_peer(dsm_channel_t *ch);

/**
 * Make @bytes the newest value of our direction. Never waits. Nothing is said about whether
 * anybody reads it. A writer that is killed has written all of it or nothing.
 *
 * -EMSGSIZE: longer than dsm_channel_size(); -EPERM: an observer, or a child of the
 * process that has the seat; -EPIPE: the peer is stale, see enum dsm_channel_stale.
 */
int dsm_channel_write(dsm_channel_t *ch, const void *bytes, size_t size);

/**
 * Copy the other side's newest value to @buffer, seen before or not. Does not wait. Returns its
 * bytes; @ret_number (may be NULL) gets its number: values of a direction are numbered from
 * 1 without gaps, through all restarts.
 *
 * -ENODATA: there never was one, or this node does not have the last one (dsm: only, when all who
 * had the channel open had gone); -EMSGSIZE: longer than @room, nothing was copied, and it does not count
 * as read; -EBADMSG: the channel is damaged; -EPIPE.
 */
int dsm_channel_read(dsm_channel_t *ch, void *buffer, size_t room, uint64_t *ret_number);

/** The same for a value newer than the last that was read with @ch; -EAGAIN: there is none. */
int dsm_channel_read_newer(dsm_channel_t *ch, void *buffer, size_t room, uint64_t *ret_number);

/**
 * The same, but waits for one for @timeout_us: 0 not at all (-EAGAIN), negative for ever. -ETIMEDOUT: none
 * came. Once the peer is given up, a last value that was not read is still read; then -EPIPE.
 */
int dsm_channel_read_timed(dsm_channel_t *ch, void *buffer, size_t room, int64_t timeout_us,
			   uint64_t *ret_number);

/**
 * Wait until there is a value newer than number @after, without reading it; its number to @ret_number
 * (may be NULL). DSM_CHANNEL_LAST_READ: newer than the last that was read with @ch. -ETIMEDOUT; -EPIPE.
 */
int dsm_channel_wait(dsm_channel_t *ch, uint64_t after, int64_t timeout_us, uint64_t *ret_number);
#define DSM_CHANNEL_LAST_READ UINT64_MAX

/**
 * Slave: take the seat of a master that is not there any more, whatever take_over says. -EBUSY: it
 * is alive; -EPERM: not the slave.
 */
int dsm_channel_take_over(dsm_channel_t *ch);

/** Reconnecting that has ended begins again. */
void dsm_channel_reconnect(dsm_channel_t *ch);

/** A seat: dsm_channel_info(). */
struct dsm_channel_seat_info {
	uint32_t
		state; /**< enum dsm_channel_peer_state: absent, live or stale, as the caller sees it */
	uint32_t pid;	    /**< of who has it, as its own pid namespace numbers it; 0: nobody */
	uint32_t node;	    /**< its node id (dsm), else 0 */
	uint32_t seated;    /**< how often the seat was taken since the channel was made */
	uint64_t beats;	    /**< heartbeats of who has it */
	uint64_t silent_us; /**< since its last heartbeat was seen to come */
	uint64_t since_ns;  /**< when it was taken; wall clock, ns since 1970 */
};

/** A direction: dsm_channel_info(). */
struct dsm_channel_flow_info {
	uint64_t
		written; /**< values that were written since the channel was made: the newest one's number */
	uint64_t read;	   /**< values that the other seat has read, each counted once */
	uint64_t missed;   /**< values that were replaced before the other seat read them */
	double rate;	   /**< written a second, between the last two calls with this handle */
	double read_rate;  /**< read a second, likewise */
	uint32_t newest;   /**< bytes of the newest value */
	uint32_t reserved; /**< 0 */
};

/** A channel as a whole: dsm_channel_info(). */
struct dsm_channel_info {
	uint32_t size;	     /**< most bytes of a value */
	uint32_t role;	     /**< enum dsm_channel_role of the handle */
	uint32_t reconnects; /**< how often a peer of this handle came back, or a new one came */
	uint32_t attempts;   /**< looks for the peer in the present silence */
	struct dsm_channel_seat_info master;	  /**< the master's seat */
	struct dsm_channel_seat_info slave;	  /**< the slave's */
	struct dsm_channel_flow_info from_master; /**< what it writes */
	struct dsm_channel_flow_info from_slave;  /**< what that writes */
};
int dsm_channel_info(dsm_channel_t *ch, struct dsm_channel_info *ret);

/** Look over everything the channel has in shared memory. 0, or -EBADMSG and dsm_last_error() names it. */
int dsm_channel_validate(dsm_channel_t *ch);

#ifdef __cplusplus
}
#endif

#endif
