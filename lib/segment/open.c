// SPDX-License-Identifier: MIT
/* Making, opening and closing segments. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "lib/heap/heap.h"
#include "lib/segment/private.h"

pthread_mutex_t seg_handles_lock = PTHREAD_MUTEX_INITIALIZER;
struct seg_private *seg_handles;

enum scheme { SCHEME_SHM, SCHEME_DSM };

static int parse(const char *uri, enum scheme *ret, const char **ret_name)
{
	if (uri && !strncmp(uri, "shm:", 4))
		*ret = SCHEME_SHM;
	else if (uri && !strncmp(uri, "dsm:", 4))
		*ret = SCHEME_DSM;
	else
		return seg_error(-EINVAL, "'%s' is no segment: shm:NAME or dsm:REGION",
				 uri ? uri : "");
	if (strlen(uri) >= SEG_URI_MAX)
		return seg_error(-EINVAL, "a segment's URI has less than %d bytes", SEG_URI_MAX);
	*ret_name = uri + 4;
	return 0;
}

void seg_format(dsm_segment_t *seg, uint64_t grains, uint64_t size)
{
	struct seg_header *h = seg->header;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	h->magic = SEG_MAGIC;
	h->version = SEG_VERSION;
	h->page = SEG_PAGE;
	h->grain = SEG_GRAIN;
	h->slots = SEG_SLOTS;
	h->roots = SEG_ROOTS;
	h->creator_uid = geteuid();
	h->creator_pid = (uint32_t)getpid();
	(void)!getrandom(&h->id, sizeof(h->id), 0);
	h->created_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	h->data_at = seg_data_at(grains);
	h->capacity = h->data_at + grains * SEG_GRAIN;
	atomic_store(&h->slots_high, 0);
	atomic_store(&h->size, size);
	seg_crash_point("segment: laid out, not ready");
	atomic_store(&h->state, SEG_READY);
}

static bool same_layout(const struct seg_header *h)
{
	return h->page == SEG_PAGE && h->grain == SEG_GRAIN && h->slots == SEG_SLOTS &&
	       h->roots == SEG_ROOTS;
}

static bool sane_sizes(const struct seg_header *h)
{
	uint64_t size = atomic_load(&h->size);

	return h->capacity % SEG_PAGE == 0 && h->data_at % SEG_GRAIN == 0 &&
	       h->data_at > SEG_GRAINS_AT && h->data_at < h->capacity &&
	       h->capacity <= SEG_SIZE_MAX + SEG_SIZE_MAX / 1024 &&
	       (h->capacity - h->data_at) / SEG_GRAIN * sizeof(struct seg_grain) <=
		       h->data_at - SEG_GRAINS_AT &&
	       size >= h->data_at && size <= h->capacity && size % SEG_GRAIN == 0 &&
	       atomic_load(&h->slots_high) < SEG_SLOTS;
}

int seg_check(const struct seg_header *h, uint64_t there, const char *what)
{
	if (h->magic != SEG_MAGIC)
		return seg_error(-EBADMSG, "%s: foreign: magic %#llx", what,
				 (unsigned long long)h->magic);
	if (h->version != SEG_VERSION)
		return seg_error(-EPROTO, "%s: layout version %u, this library's is %u", what,
				 h->version, SEG_VERSION);
	if (atomic_load(&h->state) != SEG_READY)
		return seg_error(-ESTALE, "%s: half-created by process %u", what, h->creator_pid);
	if (!same_layout(h))
		return seg_error(-EPROTO, "%s: laid out with other sizes of page, grain or tables",
				 what);
	if (!sane_sizes(h))
		return seg_error(-EBADMSG, "%s: damaged: its header's sizes make no sense", what);
	if (there < h->capacity)
		return seg_error(-EBADMSG, "%s: truncated: %llu bytes of %llu", what,
				 (unsigned long long)there, (unsigned long long)h->capacity);
	return 0;
}

static int sizes(const char *uri, struct dsm_segment_options *o)
{
	if (!o->size)
		o->size = 1u << 20;
	if (o->size > SEG_SIZE_MAX || o->max_size > SEG_SIZE_MAX)
		return seg_error(-EINVAL, "%s: a segment has at most %llu bytes", uri,
				 (unsigned long long)SEG_SIZE_MAX);
	if (!o->max_size) {
		o->max_size = o->size < 1u << 26 ? 1u << 30 : 16 * o->size;
		if (o->max_size > SEG_SIZE_MAX)
			o->max_size = SEG_SIZE_MAX;
	}
	if (o->max_size < o->size)
		return seg_error(-EINVAL, "%s: max_size is less than size", uri);
	o->size = (o->size + SEG_GRAIN - 1) / SEG_GRAIN * SEG_GRAIN;
	o->max_size = (o->max_size + SEG_GRAIN - 1) / SEG_GRAIN * SEG_GRAIN;
	return 0;
}

static struct seg_private *handle_new(const char *uri)
{
	struct seg_private *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->seg.priv = p;
	p->fd = -1;
	pthread_mutex_init(&p->lock, NULL);
	strcpy(p->uri, uri);
	return p;
}

static dsm_segment_t *handle_ready(struct seg_private *p)
{
	atomic_store(&p->seg.serial, seg_new_serial());
	pthread_mutex_lock(&seg_handles_lock);
	p->next = seg_handles;
	seg_handles = p;
	pthread_mutex_unlock(&seg_handles_lock);
	return &p->seg;
}

static int attach(struct seg_private *p, enum scheme scheme, const char *name,
		  const struct dsm_segment_options *o)
{
	return scheme == SCHEME_SHM ? shm_attach(p, name) : cluster_attach(p, name, o);
}

static int make(struct seg_private *p, enum scheme scheme, const char *name,
		const struct dsm_segment_options *o)
{
	return scheme == SCHEME_SHM ? shm_make(p, name, o) : cluster_make(p, name, o);
}

static int open_or_make(const char *uri, const struct dsm_segment_options *options, bool create,
			dsm_segment_t **ret)
{
	struct dsm_segment_options o = options ? *options : (struct dsm_segment_options){ 0 };
	struct seg_private *p;
	enum scheme scheme;
	const char *name;
	int err = ret ? parse(uri, &scheme, &name) : seg_error(-EINVAL, "nowhere to put a segment");

	if (!err && (o.flags & ~DSM_SEGMENT_EXISTING))
		err = seg_error(-EINVAL, "%s: unknown flags %#x", uri, o.flags);
	if (!err && create)
		err = sizes(uri, &o);
	if (err)
		return err;
	p = handle_new(uri);
	if (!p)
		return seg_error(-ENOMEM, "no memory");
	do {
		err = -ENOENT;
		if (!create || (o.flags & DSM_SEGMENT_EXISTING))
			err = attach(p, scheme, name, &o);
		if (create && (err == -ENOENT || err == -ESTALE))
			err = make(p, scheme, name, &o);
		/* Somebody was faster: open theirs. */
	} while (err == -EEXIST && (o.flags & DSM_SEGMENT_EXISTING));
	if (err) {
		free(p);
		return err;
	}
	*ret = handle_ready(p);
	return 0;
}

int dsm_segment_create(const char *uri, const struct dsm_segment_options *options,
		       dsm_segment_t **ret)
{
	return open_or_make(uri, options, true, ret);
}

int dsm_segment_open(const char *uri, const struct dsm_segment_options *options,
		     dsm_segment_t **ret)
{
	return open_or_make(uri, options, false, ret);
}

void dsm_segment_close(dsm_segment_t *seg)
{
	struct seg_private *p, **at;

	if (!seg)
		return;
	p = seg->priv;
	pthread_mutex_lock(&seg_handles_lock);
	for (at = &seg_handles; *at != p; at = &(*at)->next)
		;
	*at = p->next;
	pthread_mutex_unlock(&seg_handles_lock);
	seg_threads_leave(p);
	heap_detach(seg);
	seg->backend->unmap(seg);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int dsm_segment_unlink(const char *uri, dsm_t *ctx)
{
	enum scheme scheme;
	const char *name;
	int err = parse(uri, &scheme, &name);

	if (err)
		return err;
	return scheme == SCHEME_SHM ? shm_unlink_segment(name) : cluster_unlink(name, ctx);
}

int dsm_segment_list(dsm_t *ctx, char ***ret)
{
	if (!ret)
		return seg_error(-EINVAL, "nowhere to put the list");
	*ret = NULL;
	return ctx ? cluster_list(ctx, ret) : shm_list(ret);
}

void dsm_segment_list_free(char **list)
{
	for (char **s = list; s && *s; s++)
		free(*s);
	free(list);
}
