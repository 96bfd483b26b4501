/* SPDX-License-Identifier: MIT */
/*
 * A few cores wired to each other without delay or loss: for tests that say
 * exactly what happens, step by step. tests/sim/ is for everything else.
 */
#ifndef DSM_TESTS_CORE_RIG_H
#define DSM_TESTS_CORE_RIG_H

#include "agent/core/core.h"
#include "agent/core/lock_word.h"

#define RIG_NODES  3
#define RIG_PAGES  64
#define RIG_WORDS  8
#define RIG_KEPT   64
#define RIG_TOPICS 4100 /* numbers that topics may have */

struct rig_node {
	struct core *core;
	uint8_t prot[RIG_PAGES]; /* enum page_state */
	bool stash[RIG_PAGES];
	int failed[RIG_PAGES]; /* last ACT_FAIL, -1: none */
	_Atomic uint32_t words[RIG_WORDS];
	struct core_reply reply; /* the last one */
	unsigned int replies;
	unsigned int logs;
	char log[256]; /* the last line */
	uint32_t state;
	bool cut;		     /* hears and says nothing */
	uint64_t values[RIG_TOPICS]; /* of topics, by number */
	struct core_topic_state topics[RIG_TOPICS];
	unsigned int puts; /* values that came */
	uint64_t done;	   /* the topic that ended last */
	struct core_config cfg;
	uint64_t kept_cluster; /* who it was when its agent was killed */
	uint16_t kept_nid;
	struct core_kept kept[RIG_KEPT];
	size_t nkept;
	uint16_t regions; /* that the pager was told of, and not to forget */
};

struct rig {
	struct rig_node nodes[RIG_NODES];
	uint64_t now;
	unsigned int sent[MSG_TYPES];	 /* messages by type */
	bool mute;			 /* acknowledgements of values are lost on their way */
	unsigned int hold_from, hold_to; /* see rig_hold() */
	uint16_t hold_type;
	unsigned int slow_from, slow_to; /* see rig_slow() */
};

extern struct rig rig;

/* Makes a cluster of @n nodes with @chunks each; node i has id i + 1. */
void rig_start(unsigned int n, uint64_t chunks);
void rig_add(unsigned int i, uint64_t chunks);
/* Likewise, but given @us only. */
void rig_add_for(unsigned int i, uint64_t chunks, uint64_t us);
void rig_stop(void);
/* Lets @us pass, with everything that falls due meanwhile. */
void rig_pass(uint64_t us);
void rig_fault(unsigned int i, uint64_t page, bool write);
/* A client of the node asks; returns its reply, or one with err -1 when none came. */
struct core_reply rig_ask(unsigned int i, uint32_t client, uint32_t op, uint32_t id, uint64_t key,
			  uint64_t count);
struct core_reply rig_ask_name(unsigned int i, uint32_t client, uint32_t op, const char *name,
			       uint64_t count);
struct core_reply rig_ask_flags(unsigned int i, uint32_t client, uint32_t op, uint32_t id,
				uint32_t flags);
void rig_client_gone(unsigned int i, uint32_t client);
/* What node @i's programs do with topic @id, named @name. */
void rig_topic(unsigned int i, uint64_t id, const char *name, bool subscribes, bool publishes);
/* The publisher of node @i writes @value, and rings. */
void rig_publish(unsigned int i, uint64_t id, uint64_t value);
/* A message as node @from's, to node @to. */
void rig_say(unsigned int from, unsigned int to, const struct core_msg *m, const void *recs);
/* To node @i, which looks for its cluster: an offer to join it at node @whose. */
void rig_offer(unsigned int i, unsigned int whose);
void rig_leave(unsigned int i);
/* Node @first leaves, and after @events things that were on their way node @second. */
void rig_leave_both(unsigned int first, unsigned int second, unsigned int events);
void rig_kill(unsigned int i);
/* Likewise, and no time passes: nobody has missed it yet. */
void rig_cut(unsigned int i);
/* The agent of @i is killed; its pages stay, and others are not given time to miss it. */
void rig_agent_kill(unsigned int i);
/* Another one in its place, with what the module kept; given @us to find the others. */
void rig_agent_restart(unsigned int i, uint64_t us);
/* What @from says to @to waits for rig_release(), from a message of @type on. */
void rig_hold(unsigned int from, unsigned int to, uint16_t type);
void rig_release(void);
/* What is said over the next link that @from makes to @to waits for rig_hurry(). */
void rig_slow(unsigned int from, unsigned int to);
void rig_hurry(void);

#endif
