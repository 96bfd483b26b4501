// SPDX-License-Identifier: MIT
/* The simple interface: one context for the program, errors in errno. */
#include <dsm/dsm.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/context.h"
#include "lib/log.h"
#include "lib/node_heap.h"

static dsm_t *node;

dsm_t *dsm_default_context(void)
{
	return node;
}

/* -1 and errno for a negative errno. */
static int result(int err)
{
	if (err >= 0)
		return 0;
	errno = -err;
	return -1;
}

static int init(const struct dsm_options *options)
{
	int err = node ? -EALREADY : dsm_open(options, &node);

	if (err)
		log_line(LOG_ERROR, "dsm_init: port %u: %s", options->port, strerror(-err));
	return result(err);
}

int dsm_init_with_params(uint16_t port, uint32_t chunks)
{
	return init(&(struct dsm_options){ .port = port, .chunks = chunks });
}

/* A plain number of chunks, or a size with K, M or G. False: neither. */
static bool parse_chunks(const char *text, uint64_t *ret)
{
	static const char units[] = "KMG";
	char *end;
	const char *unit;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end == text || *text == '-')
		return false;
	if (*end) {
		unit = strchr(units, *end & ~0x20);
		if (!unit || end[1] || n > UINT64_MAX >> 30)
			return false;
		n = (n << (10 * (unit - units + 1))) / LIB_PAGE;
	}
	*ret = n;
	return n > 0;
}

int dsm_init(int argc, char **argv)
{
	struct dsm_options o = { 0 };
	char *end;
	long port;

	if (argc > 1) {
		port = strtol(argv[1], &end, 10);
		if (*end || end == argv[1] || port < 1 || port > 65535) {
			log_line(LOG_ERROR, "dsm_init: '%s' is no TCP port (1 to 65535)", argv[1]);
			return result(-EINVAL);
		}
		o.port = (uint16_t)port;
	}
	if (argc > 2 && !parse_chunks(argv[2], &o.chunks)) {
		log_line(LOG_ERROR, "dsm_init: '%s' is no number of chunks, nor a size like 512M",
			 argv[2]);
		return result(-EINVAL);
	}
	return init(&o);
}

void dsm_finalize(void)
{
	node_heap_close(node);
	dsm_close(node);
	node = NULL;
}

void dsm_set_log_level(int level)
{
	struct client_req req = { .type = CLIENT_LOG_LEVEL };

	log_level_set(level);
	req.arg = (uint32_t)log_level_get();
	if (node && node->started)
		(void)control_ask(node, &req, NULL);
}

void *dsm_malloc(size_t size)
{
	void *ptr = NULL;

	(void)result(node ? node_heap_alloc(node, size, &ptr) : -ENOTCONN);
	return ptr;
}

void *dsm_malloc_at(uint64_t global_addr, size_t size)
{
	void *ptr = NULL;

	(void)result(node ? dsm_alloc_at(node->home, global_addr, size, &ptr) : -ENOTCONN);
	return ptr;
}

void dsm_free(void *ptr)
{
	int err;

	if (!ptr)
		return;
	err = node ? node_heap_free(node, ptr) : -ENOTCONN;
	if (result(err))
		log_line(LOG_ERROR, "dsm_free(%p): %s", ptr,
			 err == -EINVAL ? "no allocation starts there" : strerror(-err));
}

/* 0 where every page from @key on, @count of them, is allocated. */
static int allocated(uint64_t key, uint64_t count)
{
	while (count) {
		struct client_req req = { .arg = OP_LOOKUP,
					  .key = key,
					  .timeout_us = CORE_NO_TIMEOUT };
		struct client_rep rep;
		int err = control_op(node, &req, &rep);
		uint64_t rest;

		if (err)
			return err;
		rest = rep.val[0] + rep.val[1] - key;
		if (rest >= count)
			return 0;
		key += rest;
		count -= rest;
	}
	return 0;
}

void *dsm_map_remote(uint64_t global_addr, size_t size)
{
	uint64_t first = global_addr / LIB_PAGE, last = (global_addr + size - 1) / LIB_PAGE;
	int err = node ? 0 : -ENOTCONN;

	if (!err &&
	    (!size || global_addr >= node->home->size || size > node->home->size - global_addr))
		err = -EINVAL;
	if (!err)
		err = allocated(PAGE_KEY(node->home->number, first), last - first + 1);
	return result(err) ? NULL : node->home->base + global_addr;
}

int dsm_lock(int id)
{
	int err = node ? dsm_ctx_lock(node, (uint32_t)id) : -ENOTCONN;

	if (err == DSM_OWNER_DEAD)
		log_line(LOG_WARN, "dsm_lock(%d): who held it died with it", id);
	else if (err)
		log_line(LOG_ERROR, "dsm_lock(%d): %s", id, strerror(-err));
	return result(err);
}

void dsm_unlock(int id)
{
	int err = node ? dsm_ctx_unlock(node, (uint32_t)id) : -ENOTCONN;

	if (result(err))
		log_line(LOG_ERROR, "dsm_unlock(%d): %s", id,
			 err == -EPERM ? "this thread does not hold it" : strerror(-err));
}

void dsm_barrier(void)
{
	int err = node ? dsm_barrier_wait(node, 0, 0, DSM_FOREVER) : -ENOTCONN;

	if (result(err))
		log_line(LOG_ERROR, "dsm_barrier: %s", strerror(-err));
}

static struct dsm_status status(void)
{
	struct dsm_status s = { 0 };

	(void)result(node ? dsm_status_get(node, &s) : -ENOTCONN);
	return s;
}

int dsm_is_master(void)
{
	struct dsm_status s = status();

	return s.node_id && s.node_id == s.master_id;
}

uint32_t dsm_get_node_id(void)
{
	return status().node_id;
}

uint32_t dsm_get_node_count(void)
{
	return status().node_count;
}

size_t dsm_get_total_memory(void)
{
	return status().total_bytes;
}

int dsm_get_page_info(void *addr, dsm_page_info_t *info)
{
	return result(node ? dsm_page_info_get(node, addr, info) : -ENOTCONN);
}

int dsm_get_page_owner(void *addr)
{
	dsm_page_info_t info;

	return dsm_get_page_info(addr, &info) ? -1 : (int)info.owner_id;
}

const char *dsm_page_state_to_string(int state)
{
	static const char *const names[] = { "INVALID", "SHARED", "MODIFIED", "PENDING" };

	return state >= 0 && state < (int)(sizeof(names) / sizeof(names[0])) ? names[state]
									     : "UNKNOWN";
}
