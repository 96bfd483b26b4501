// SPDX-License-Identifier: MIT
/* dsm.Channel: two programs tell each other their newest value. */
#include <dsm/channel.h>
#include <stdlib.h>
#include <string.h>

#include "lib/python/channel.h"

static PyObject *failed(int err)
{
	if (err == -EAGAIN)
		err = -ETIMEDOUT;
	return error_last(err);
}

PyObject *channel_write(PyObject *self, PyObject *data)
{
	struct channel *c = (struct channel *)self;
	Py_buffer bytes;
	int err;

	if (handle_check(&c->h) || bytes_get(data, &bytes))
		return NULL;
	err = CALL(&c->h, dsm_channel_write(c->ch, bytes.buf, (size_t)bytes.len));
	PyBuffer_Release(&bytes);
	return error_or_none(err);
}

/*
 * The value that is there, seen before or not. Reading stays on this host, so the GIL
 * is kept, and with it the scratch buffer. A number of bytes, or a negative errno.
 */
static int read_now(struct channel *c, bool newer)
{
	return newer ? dsm_channel_read_newer(c->ch, c->scratch, c->size, &c->number)
		     : dsm_channel_read(c->ch, c->scratch, c->size, &c->number);
}

static PyObject *value(const struct channel *c, int size)
{
	return PyBytes_FromStringAndSize(c->scratch, size);
}

static PyObject *read_or_none(struct channel *c, bool newer)
{
	int size;

	if (handle_check(&c->h))
		return NULL;
	size = read_now(c, newer);
	if (size >= 0)
		return value(c, size);
	if (size == -ENODATA || size == -EAGAIN)
		Py_RETURN_NONE;
	return failed(size);
}

PyObject *channel_read(PyObject *self, PyObject *unused)
{
	(void)unused;
	return read_or_none((struct channel *)self, false);
}

PyObject *channel_read_newer(PyObject *self, PyObject *unused)
{
	(void)unused;
	return read_or_none((struct channel *)self, true);
}

/* Bytes in the scratch buffer, or a negative errno: as long as @w says. */
static int read_next(struct channel *c, struct wait *w)
{
	for (;;) {
		int size = read_now(c, true);

		if ((size != -EAGAIN && size != -ENODATA) || !w->end_ns)
			return size == -ENODATA ? -EAGAIN : size;
		/* Another thread may be faster to read what this one waits for. */
		size = WAIT(&c->h, w,
			    dsm_channel_wait(c->ch, DSM_CHANNEL_LAST_READ, (int64_t)us_, NULL));
		if (size < 0)
			return size;
	}
}

PyObject *channel_read_wait(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	struct channel *c = (struct channel *)self;
	struct wait w;
	int size;

	if (n > 1) {
		PyErr_SetString(PyExc_TypeError, "read_wait() takes a timeout at most");
		return NULL;
	}
	if (handle_check(&c->h) || wait_begin(&w, n ? args[0] : NULL, SLICE_US))
		return NULL;
	size = read_next(c, &w);
	return size < 0 ? failed(size) : value(c, size);
}

PyObject *channel_read_into(PyObject *self, PyObject *buffer)
{
	struct channel *c = (struct channel *)self;
	Py_buffer into;
	int size;

	if (handle_check(&c->h) || PyObject_GetBuffer(buffer, &into, PyBUF_WRITABLE))
		return NULL;
	size = dsm_channel_read(c->ch, into.buf, (size_t)into.len, &c->number);
	PyBuffer_Release(&into);
	return size < 0 ? failed(size) : PyLong_FromLong(size);
}

PyObject *channel_exchange(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	struct channel *c = (struct channel *)self;
	PyObject *written;

	if (n < 1) {
		PyErr_SetString(PyExc_TypeError, "exchange() needs data");
		return NULL;
	}
	written = channel_write(self, args[0]);
	if (!written)
		return NULL;
	Py_DECREF(written);
	return channel_read_wait((PyObject *)c, args + 1, n - 1);
}

PyObject *channel_wait(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "timeout", "after", NULL };
	struct channel *c = (struct channel *)self;
	PyObject *timeout = NULL, *after = Py_None;
	uint64_t number = DSM_CHANNEL_LAST_READ, newest = 0;
	struct wait w;
	int err;

	if (!PyArg_ParseTupleAndKeywords(args, named, "|OO", names, &timeout, &after) ||
	    handle_check(&c->h) || wait_begin(&w, timeout, SLICE_US) ||
	    (after != Py_None && number_get(after, INT64_MAX, "after", &number)))
		return NULL;
	err = WAIT(&c->h, &w, dsm_channel_wait(c->ch, number, (int64_t)us_, &newest));
	return err < 0 ? failed(err) : PyLong_FromUnsignedLongLong(newest);
}

PyObject *channel_take_over(PyObject *self, PyObject *unused)
{
	struct channel *c = (struct channel *)self;

	(void)unused;
	if (handle_check(&c->h))
		return NULL;
	return error_or_none(RELEASED(&c->h, dsm_channel_take_over(c->ch)));
}

PyObject *channel_reconnect(PyObject *self, PyObject *unused)
{
	struct channel *c = (struct channel *)self;

	(void)unused;
	if (handle_check(&c->h))
		return NULL;
	dsm_channel_reconnect(c->ch);
	Py_RETURN_NONE;
}

PyObject *channel_validate(PyObject *self, PyObject *unused)
{
	struct channel *c = (struct channel *)self;

	(void)unused;
	if (handle_check(&c->h))
		return NULL;
	return error_or_none(CALL(&c->h, dsm_channel_validate(c->ch)));
}

static const char *const states[] = { "absent", "live", "stale", "lost" };
static const char *const roles[] = { "auto", "master", "slave", "observer" };

const char *channel_role_name(unsigned int role)
{
	return role < 4 ? roles[role] : "unknown";
}

const char *channel_state_name(unsigned int state)
{
	return state < 4 ? states[state] : "unknown";
}

int channel_role_number(const char *name, uint32_t *ret)
{
	for (uint32_t i = 0; i < 4; i++) {
		if (!strcmp(name, roles[i])) {
			*ret = i;
			return 0;
		}
	}
	PyErr_Format(PyExc_ValueError,
		     "a role is 'auto', 'master', 'slave' or 'observer', not '%s'", name);
	return -1;
}
