// SPDX-License-Identifier: MIT
/*
 * Segments of one host: files in /dev/shm, where shm_open() has them too. A
 * slot is held by an open-file-description lock on a byte of its own, which the kernel
 * drops at the process' end, however that comes (fcntl_locking(2)).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/segment/private.h"

#define SHM_DIR	     "/dev/shm"
#define SHM_PREFIX   "dsm."
#define SHM_NAME_MAX 200

/* "/dev/shm/dsm.NAME"; -EINVAL. */
static int path_of(const char *name, char *ret, size_t size)
{
	size_t n = strlen(name);

	if (!n || n > SHM_NAME_MAX || strchr(name, '/'))
		return seg_error(-EINVAL, "shm:%s: a name has 1 to %d bytes, no '/' among them",
				 name, SHM_NAME_MAX);
	(void)snprintf(ret, size, SHM_DIR "/" SHM_PREFIX "%s", name);
	return 0;
}

static int commit(dsm_segment_t *seg, uint64_t off, uint64_t len)
{
	while (fallocate(seg->priv->fd, 0, (off_t)off, (off_t)len))
		if (errno != EINTR)
			return -errno;
	return 0;
}

static struct flock lock_of(uint32_t index, short type)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_start = index, .l_len = 1 };
}

static int claim(dsm_segment_t *seg, uint32_t index)
{
	struct flock l = lock_of(index, F_WRLCK);

	if (seg->priv->fd < 0)
		return -EBADF;
	if (!fcntl(seg->priv->fd, F_OFD_SETLK, &l))
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

static void release(dsm_segment_t *seg, uint32_t index)
{
	struct flock l = lock_of(index, F_UNLCK);

	(void)fcntl(seg->priv->fd, F_OFD_SETLK, &l);
}

static bool held(dsm_segment_t *seg, uint32_t index)
{
	struct flock l = lock_of(index, F_WRLCK);

	return fcntl(seg->priv->fd, F_OFD_GETLK, &l) || l.l_type != F_UNLCK;
}

/* By a byte of its own: that of the owner is the owner's alone, so it tells exactly who lives. */
static int claim_dead(dsm_segment_t *seg, uint32_t index)
{
	int err = claim(seg, SEG_SLOTS + index);

	if (!err && held(seg, index)) {
		release(seg, SEG_SLOTS + index);
		err = -EBUSY;
	}
	return err;
}

static void release_dead(dsm_segment_t *seg, uint32_t index)
{
	release(seg, SEG_SLOTS + index);
}

static int wait_word(dsm_segment_t *seg, _Atomic uint32_t *word, uint32_t expected,
		     uint64_t timeout_us)
{
	struct timespec t = { .tv_sec = (time_t)(timeout_us / 1000000),
			      .tv_nsec = (long)(timeout_us % 1000000) * 1000 };

	(void)seg;
	if (!syscall(SYS_futex, word, FUTEX_WAIT, expected, timeout_us == SEG_FOREVER ? NULL : &t,
		     NULL, 0))
		return 0;
	return errno == ETIMEDOUT ? -ETIMEDOUT : 0;
}

static void wake_word(dsm_segment_t *seg, _Atomic uint32_t *word, int n)
{
	(void)seg;
	(void)syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
}

/* The description is shared with the parent, its locks too: take one of our own. */
static void forked(dsm_segment_t *seg)
{
	char path[64];
	int fd = seg->priv->fd;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	seg->priv->fd = open(path, O_RDWR | O_CLOEXEC);
	close(fd);
}

static void unmap(dsm_segment_t *seg)
{
	(void)munmap(seg->base, seg->capacity);
	if (seg->priv->fd >= 0)
		close(seg->priv->fd);
}

const struct seg_backend seg_shm = {
	.commit = commit,
	.claim = claim,
	.release = release,
	.claim_dead = claim_dead,
	.release_dead = release_dead,
	.held = held,
	.wait = wait_word,
	.wake = wake_word,
	.forked = forked,
	.unmap = unmap,
	.spins = 200,
	.probes = 4,
	.grow_least = 1u << 20,
};

static int map(struct seg_private *p, int fd, uint64_t capacity)
{
	void *base = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
			  0);

	if (base == MAP_FAILED)
		return seg_error(-errno, "%s: mmap of %llu bytes: %s", p->uri,
				 (unsigned long long)capacity, strerror(errno));
	p->fd = fd;
	p->seg.base = base;
	p->seg.capacity = capacity;
	p->seg.header = base;
	p->seg.slots = (struct seg_slot *)(p->seg.base + SEG_SLOTS_AT);
	p->seg.backend = &seg_shm;
	return 0;
}

static int fill(struct seg_private *p, int fd, const struct dsm_segment_options *o)
{
	uint64_t grains = o->max_size / SEG_GRAIN, at = seg_data_at(grains);
	uint64_t capacity = at + grains * SEG_GRAIN;
	int err;

	if (ftruncate(fd, (off_t)capacity))
		return seg_error(-errno, "%s: %s", p->uri, strerror(errno));
	err = map(p, fd, capacity);
	if (err)
		return err;
	err = commit(&p->seg, 0, SEG_SLOTS_AT);
	if (!err)
		err = commit(&p->seg, SEG_GRAINS_AT,
			     o->size / SEG_GRAIN * sizeof(struct seg_grain) + SEG_PAGE);
	if (!err)
		err = commit(&p->seg, at, o->size);
	if (err) {
		(void)munmap(p->seg.base, capacity);
		return seg_error(err, "%s: no shared memory for %llu bytes: %s", p->uri,
				 (unsigned long long)o->size, strerror(-err));
	}
	seg_format(&p->seg, grains, at + o->size);
	return 0;
}

int shm_make(struct seg_private *p, const char *name, const struct dsm_segment_options *o)
{
	char path[NAME_MAX + 16], self[64];
	int fd, err = path_of(name, path, sizeof(path));

	if (err)
		return err;
	/* Without a name until it is complete: a kill before leaves nothing. */
	fd = open(SHM_DIR, O_TMPFILE | O_RDWR | O_CLOEXEC, o->mode ? o->mode : 0600);
	if (fd < 0)
		return seg_error(-errno, "%s: %s: %s", p->uri, SHM_DIR, strerror(errno));
	err = fill(p, fd, o);
	if (!err) {
		if (o->mode)
			(void)fchmod(fd, o->mode);
		(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
		if (!linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW))
			return 0;
		err = seg_error(-errno, "%s: %s", p->uri, strerror(errno));
		(void)munmap(p->seg.base, p->seg.capacity);
	}
	close(fd);
	return err;
}

static int check(struct seg_private *p, int fd, struct seg_header *h)
{
	struct stat st;
	ssize_t n;
	int err;

	if (fstat(fd, &st))
		return seg_error(-errno, "%s: %s", p->uri, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return seg_error(-EBADMSG, "%s: no regular file", p->uri);
	n = pread(fd, h, sizeof(*h), 0);
	if (n < (ssize_t)sizeof(*h))
		return seg_error(-EBADMSG, "%s: truncated: %zd bytes, less than a header", p->uri,
				 n < 0 ? 0 : n);
	err = seg_check(h, (uint64_t)st.st_size, p->uri);
	if (!err && h->creator_uid != st.st_uid)
		err = seg_error(-EBADMSG,
				"%s: foreign: says it was made by user %u, the file is %u's",
				p->uri, h->creator_uid, st.st_uid);
	return err;
}

int shm_attach(struct seg_private *p, const char *name)
{
	static_assert(sizeof(struct seg_header) <= 65536, "on the stack");
	char path[NAME_MAX + 16];
	struct seg_header h = { 0 };
	int fd, err = path_of(name, path, sizeof(path));

	if (err)
		return err;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return seg_error(-errno, "%s: %s", p->uri,
				 errno == ENOENT ? "there is no such segment" : strerror(errno));
	err = check(p, fd, &h);
	if (!err)
		err = map(p, fd, h.capacity);
	if (err)
		close(fd);
	return err;
}

int shm_unlink_segment(const char *name)
{
	char path[NAME_MAX + 16];
	int err = path_of(name, path, sizeof(path));

	if (!err && unlink(path))
		err = seg_error(-errno, "shm:%s: %s", name,
				errno == ENOENT ? "there is no such segment" : strerror(errno));
	return err;
}

int shm_list(char ***ret)
{
	DIR *dir = opendir(SHM_DIR);
	const struct dirent *e;
	char **list = NULL, **more;
	int n = 0;

	if (!dir)
		return seg_error(-errno, "%s: %s", SHM_DIR, strerror(errno));
	while ((e = readdir(dir))) {
		if (strncmp(e->d_name, SHM_PREFIX, strlen(SHM_PREFIX)))
			continue;
		more = realloc(list, (size_t)(n + 2) * sizeof(*list));
		if (!more)
			break;
		list = more;
		if (asprintf(&list[n], "shm:%s", e->d_name + strlen(SHM_PREFIX)) < 0)
			break;
		list[++n] = NULL;
	}
	closedir(dir);
	*ret = list;
	return n;
}
