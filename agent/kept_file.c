// SPDX-License-Identifier: MIT
#include "agent/kept_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC	   0x31307470656b7364ull /* "dskept01": another layout has another number */
#define ROOM_LEAST 1000u

/* As large as a record, so that each of them is in one cache line. */
struct head {
	uint64_t magic, cluster;
	uint64_t room;	    /* records that the file has space for */
	_Atomic uint64_t n; /* records that are there */
	uint64_t reserved[4];
};
_Static_assert(sizeof(struct head) == sizeof(struct core_kept), "records are aligned");

struct kept_file {
	char path[128], fresh[128]; /* a run directory has 79 bytes at most */
	struct head *head;	    /* NULL: there is no file of ours */
	size_t bytes;
};

struct kept_file *kept_file_new(const char *run_dir, uint16_t port)
{
	struct kept_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	snprintf(f->path, sizeof(f->path), "%s/dsmd-%u.kept", run_dir, port);
	snprintf(f->fresh, sizeof(f->fresh), "%s/dsmd-%u.kept.new", run_dir, port);
	return f;
}

static void unmap(struct kept_file *f)
{
	if (f->head)
		munmap(f->head, f->bytes);
	f->head = NULL;
}

void kept_file_free(struct kept_file *f)
{
	if (!f)
		return;
	unmap(f);
	free(f);
}

void kept_file_remove(struct kept_file *f)
{
	unmap(f);
	unlink(f->path);
	unlink(f->fresh);
}

static struct core_kept *records(struct head *head)
{
	return (struct core_kept *)(head + 1);
}

/* --- reading --- */

static bool is_whole(const struct head *head, size_t bytes, uint64_t cluster)
{
	return head->magic == MAGIC && head->cluster == cluster && head->n <= head->room &&
	       head->room <= bytes / sizeof(struct core_kept) - 1;
}

static void read_mapped(struct head *head, size_t bytes, uint64_t cluster, struct core_kept **ret,
			size_t *ret_n)
{
	size_t n = head->n;

	if (!is_whole(head, bytes, cluster) || !n)
		return;
	*ret = malloc(n * sizeof(**ret));
	if (!*ret)
		return;
	memcpy(*ret, records(head), n * sizeof(**ret));
	*ret_n = n;
}

void kept_file_read(struct kept_file *f, uint64_t cluster, struct core_kept **ret, size_t *ret_n)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	void *at;

	*ret = NULL;
	*ret_n = 0;
	if (fd < 0)
		return;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && (size_t)st.st_size >= sizeof(struct head)) {
		at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (at != MAP_FAILED) {
			read_mapped(at, (size_t)st.st_size, cluster, ret, ret_n);
			munmap(at, (size_t)st.st_size);
		}
	}
	close(fd);
}

/* --- writing --- */

static void put(struct head *head, const struct core_kept *rec)
{
	uint64_t n = atomic_load_explicit(&head->n, memory_order_relaxed);

	records(head)[n] = *rec;
#ifdef DSM_MUTANT_KEPT_NOT_COUNTED
	return;
#endif
	/* Stores are seen in their order by who comes after a kill, as by another thread. */
	atomic_store_explicit(&head->n, n + 1, memory_order_release);
}

static void count_one(void *ctx, const struct core_kept *rec)
{
	(void)rec;
	++*(size_t *)ctx;
}

static void put_one(void *ctx, const struct core_kept *rec)
{
	put(ctx, rec);
}

/* All of its space is had before: a full file system is an error here, and no SIGBUS later. */
static int make(const char *path, size_t bytes, struct head **ret)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), err;
	void *at = MAP_FAILED;

	if (fd < 0)
		return -errno;
	err = -posix_fallocate(fd, 0, (off_t)bytes);
	if (!err) {
		at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		err = at == MAP_FAILED ? -errno : 0;
	}
	close(fd);
	if (!err)
		*ret = at;
	return err;
}

int kept_file_anew(struct kept_file *f, uint64_t cluster, const struct core *core)
{
	struct head *head = NULL;
	size_t n = 0, room, bytes;
	int err;

	core_each_kept(core, count_one, &n);
	if (!n) {
		kept_file_remove(f);
		return 0;
	}
	room = 2 * n > ROOM_LEAST ? 2 * n : ROOM_LEAST;
	bytes = (room + 1) * sizeof(struct core_kept);
	err = make(f->fresh, bytes, &head);
	if (head) {
		head->magic = MAGIC;
		head->cluster = cluster;
		head->room = room;
		core_each_kept(core, put_one, head);
		err = rename(f->fresh, f->path) ? -errno : 0;
	}
	if (err) {
		if (head)
			munmap(head, bytes);
		kept_file_remove(f);
		return err;
	}
	unmap(f);
	f->head = head;
	f->bytes = bytes;
	return 0;
}

int kept_file_add(struct kept_file *f, const struct core_kept *rec)
{
	if (!f->head)
		return -ENOENT;
	if (atomic_load_explicit(&f->head->n, memory_order_relaxed) == f->head->room)
		return -ENOSPC;
	put(f->head, rec);
	return 0;
}
