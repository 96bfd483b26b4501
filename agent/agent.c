// SPDX-License-Identifier: MIT
/* The agent's life: start, run, leave, stop. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/exit_status.h"
#include "agent/log.h"
#include "agent/notify.h"

/* The same on every node and in every program: pointers stored in shared memory mean the same everywhere. */
#define REGION_BASE 0x200000000000ull
#define REGION_SIZE (1ull << 40)

#define LEAVE_MS 5000 /* a clean leave takes no longer: then the node just goes */

/* --- start --- */

static int start_server(struct agent *a)
{
	struct server_config cfg = {
		.loop = a->loop,
		.host = &a->server_host,
		.run_dir = a->cfg->run_dir,
		.port = a->cfg->port,
	};
	int err = server_open(&cfg, &a->server);

	if (err == -EADDRINUSE) {
		log_error("another agent serves port %u (%s/dsmd-%u.sock)", a->cfg->port,
			  a->cfg->run_dir, a->cfg->port);
		return DSMD_EXIT_IN_USE;
	}
	if (err) {
		log_error("cannot serve clients in %s: %s", a->cfg->run_dir, strerror(-err));
		return DSMD_EXIT_FAILED;
	}
	return 0;
}

static int start_net(struct agent *a)
{
	struct net_config cfg = { a->loop, &a->net_host, a->cfg->cluster };
	int port;

	a->net = net_new(&cfg);
	port = a->net ? net_listen(a->net, a->cfg->port) : -ENOMEM;
	if (port == -EADDRINUSE) {
		log_error("TCP port %u is in use by another program; --port chooses another",
			  a->cfg->port);
		return DSMD_EXIT_IN_USE;
	}
	if (port < 0) {
		log_error("cannot listen on TCP port %u: %s", a->cfg->port, strerror(-port));
		return DSMD_EXIT_FAILED;
	}
	return 0;
}

static int start_discovery(struct agent *a)
{
	struct discover_config cfg = {
		.loop = a->loop,
		.host = &a->discover_host,
		.cluster = a->cfg->cluster,
		.port = a->cfg->discovery_port,
	};
	int err = a->cfg->discovery ? discover_open(&cfg, &a->discover) : 0;

	if (err == -EADDRINUSE) {
		log_error("UDP port %u is in use by a program that does not share it; "
			  "--discovery-port chooses "
			  "another, the same on all nodes",
			  cfg.port);
		return DSMD_EXIT_IN_USE;
	}
	if (err) {
		log_error("discovery on UDP port %u: %s", cfg.port, strerror(-err));
		return DSMD_EXIT_FAILED;
	}
	return 0;
}

/* kmod where it can work and nobody asked for anything else, uffd otherwise. */
static const struct pager_ops *choose_pager(const struct config *cfg)
{
	static const struct pager_ops *const all[] = { &pager_kmod, &pager_uffd };
	char why[200];

	for (size_t i = 0; i < 2; i++) {
		bool forced = cfg->pager == (i ? CONFIG_PAGER_UFFD : CONFIG_PAGER_KMOD);

		if (cfg->pager != CONFIG_PAGER_AUTO && !forced)
			continue;
		if (all[i]->usable(why, sizeof(why)))
			return all[i];
		log_write(forced || i ? LOG_LEVEL_ERROR : LOG_LEVEL_DEBUG,
			  "the %s pager cannot work here: %s", all[i]->name, why);
	}
	return NULL;
}

static int start_pager(struct agent *a)
{
	struct pager_config cfg = {
		.port = a->cfg->port,
		.recovery_ms = a->cfg->recovery_ms,
		.host = &a->pager_host,
	};
	int err;

	a->ops = choose_pager(a->cfg);
	if (!a->ops)
		return DSMD_EXIT_PAGER;
	err = a->ops->open(&cfg, &a->pager);
	if (err) {
		log_error("the %s pager does not start: %s", a->ops->name, strerror(-err));
		a->pager = NULL;
		return err == -EADDRINUSE || err == -EBUSY || err == -EEXIST ? DSMD_EXIT_IN_USE
									     : DSMD_EXIT_PAGER;
	}
	err = a->ops->region_add(a->pager, 0, "default", REGION_SIZE);
	if (err && err != -EEXIST) {
		log_error("the default region cannot be made: %s", strerror(-err));
		return DSMD_EXIT_PAGER;
	}
	log_info("%s pager", a->ops->name);
	return 0;
}

static void resume_page(void *ctx, uint16_t region, uint64_t page, uint32_t count,
			enum pager_prot prot)
{
	struct agent *a = ctx;

	core_resume_page(a->core, PAGE_KEY(region, page), count,
			 prot == PAGER_WRITE ? PAGE_MODIFIED : PAGE_SHARED);
}

/* The pages that the former agent left, and what it knew of them. */
static void resume(struct agent *a, uint64_t cluster)
{
	struct core_kept *recs;
	size_t n;

	a->ops->pages(a->pager, resume_page, a);
	kept_file_read(a->kept, cluster, &recs, &n);
	core_resume_kept(a->core, recs, n);
	free(recs);
}

static int start_core(struct agent *a)
{
	struct pager_identity kept = { 0 };
	struct core_config cfg = {
		.uid = a->uid,
		.port = a->cfg->port,
		.chunks = a->cfg->chunks,
		.dead_ms = a->cfg->dead_ms,
		.elect_ms = a->cfg->elect_ms,
		.hold_us = a->cfg->hold_us,
		.deadlock_ms = a->cfg->deadlock_ms ? a->cfg->deadlock_ms : CORE_NO_DEADLOCK_CHECK,
		.touch_pages = a->cfg->touch_pages,
		.prefetch_pages = a->cfg->prefetch_pages,
		.found_at_once = a->cfg->standalone,
		.seeds = a->cfg->seeds,
		.nseeds = a->cfg->nseeds,
		.region_base = REGION_BASE,
		.region_size = REGION_SIZE,
		.lock_words = server_lock_words(a->server),
		.lock_stride = SERVER_LOCK_STRIDE,
		.nlock_words = SERVER_LOCK_WORDS,
	};
	struct timespec wall;

	clock_gettime(CLOCK_REALTIME, &wall);
	cfg.weight = (uint64_t)wall.tv_sec * 1000000 + (uint64_t)wall.tv_nsec / 1000;
	memcpy(cfg.cluster, a->cfg->cluster, sizeof(cfg.cluster));
	if (a->ops->identity_get && !a->ops->identity_get(a->pager, &kept) && kept.cluster) {
		cfg.resume_cluster = kept.cluster;
		cfg.resume_nid = kept.nid;
		cfg.resume_epoch = kept.epoch;
		log_info("the module kept the pages of node %u: taking its place again", kept.nid);
	}
	if (a->ops->identity_set)
		a->kept = kept_file_new(a->cfg->run_dir, a->cfg->port);
	a->core = core_new(&cfg, agent_now_us());
	if (!a->core || (a->ops->identity_set && !a->kept)) {
		log_error("no memory");
		return DSMD_EXIT_FAILED;
	}
	if (cfg.resume_cluster)
		resume(a, cfg.resume_cluster);
	return 0;
}

int agent_start(struct agent *a, uv_loop_t *loop, const struct config *cfg)
{
	int (*const parts[])(struct agent *) = {
		agent_start_timers, start_server, start_net,
		start_discovery,    start_pager,  start_core,
	};
	struct core_event first = { .type = EV_TICK };
	int err = 0;

	*a = (struct agent){ .loop = loop, .cfg = cfg, .timer_fd = -1, .start_us = agent_now_us() };
	agent_wire(a);
	/* What the pager reports before the core is there waits. */
	a->stepping = true;
	a->stash = stash_new();
	if (!a->stash || getrandom(&a->uid, sizeof(a->uid), 0) != sizeof(a->uid))
		return DSMD_EXIT_FAILED;
	a->uid |= !a->uid; /* 0 means none */
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !err; i++)
		err = parts[i](a);
	if (err)
		return err;
	a->stepping = false;
	first.now_us = agent_now_us();
	agent_event(a, &first);
	server_start(a->server, a->core, a->ops, a->pager);
	return 0;
}

/* --- run, leave, stop --- */

static void end_now(struct agent *a)
{
	a->left = true;
	uv_stop(a->loop);
}

static void on_leave_late(uv_timer_t *timer)
{
	struct agent *a = timer->data;

	log_warn("the cluster did not let this node go within %d ms: going", LEAVE_MS);
	end_now(a);
}

void agent_leave(struct agent *a)
{
	struct core_event ev = { .type = EV_LEAVE, .now_us = agent_now_us() };

	if (a->leaving) {
		log_warn("going at once");
		a->keep_pages = true;
		a->exit_status = DSMD_EXIT_FAILED;
		end_now(a);
		return;
	}
	a->leaving = true;
	notify_system("STOPPING=1");
	uv_timer_start(&a->leave_timer, on_leave_late, LEAVE_MS, 0);
	agent_event(a, &ev);
}

static const char *state_name(uint32_t state)
{
	static const char *const names[] = {
		[CORE_SEEKING] = "looking for a cluster",
		[CORE_JOINING] = "joining a cluster",
		[CORE_MEMBER] = "member of the cluster",
		[CORE_LEAVING] = "leaving the cluster",
		[CORE_OUT] = "out of the cluster",
		[CORE_EVICTED] = "evicted from the cluster",
	};

	return state < sizeof(names) / sizeof(names[0]) && names[state] ? names[state]
									: "in no known state";
}

void agent_state_changed(struct agent *a, uint32_t state)
{
	char text[80];

	log_debug("%s", state_name(state));
	snprintf(text, sizeof(text), "%sSTATUS=%s", state == CORE_MEMBER ? "READY=1\n" : "",
		 state_name(state));
	notify_system(text);
	if (state != CORE_OUT)
		return;
	server_left(a->server);
	end_now(a);
}

int agent_run(struct agent *a)
{
	while (!a->left)
		uv_run(a->loop, UV_RUN_DEFAULT);
	return a->exit_status;
}

static void close_handle(void *handle)
{
	if (((uv_handle_t *)handle)->loop && !uv_is_closing(handle))
		uv_close(handle, NULL);
}

void agent_stop(struct agent *a)
{
	struct revoke_retry *r;

	a->leaving = true; /* sessions that end now ask for nothing */
	server_close(a->server);
	if (a->net)
		net_flush(a->net);
	discover_close(a->discover);
	net_free(a->net);
	if (a->pager)
		a->ops->close(a->pager, a->keep_pages);
	if (a->kept && !a->keep_pages)
		kept_file_remove(a->kept);
	kept_file_free(a->kept);
	core_free(a->core);
	stash_free(a->stash);
	while ((r = a->retries)) {
		a->retries = r->next;
		free(r);
	}
	free(a->queue);
	close_handle(&a->timer_poll);
	close_handle(&a->retry_timer);
	close_handle(&a->leave_timer);
	close_handle(&a->prepare);
	close_handle(&a->check);
	close_handle(&a->idle);
	if (a->timer_fd >= 0)
		close(a->timer_fd);
}
