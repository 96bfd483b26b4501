// SPDX-License-Identifier: MIT
/* Sending and receiving, by a Ring or a Connection. */
#include <string.h>

#include "lib/python/ring.h"

#define BATCH 256

PyObject *ring_failed(int err)
{
	if (err == -EAGAIN || err == -ETIMEDOUT)
		return error_raise(-ETIMEDOUT, "nothing happened");
	return error_last(err);
}

static int may(struct ring *r, bool end, bool taken, const char *what)
{
	if (handle_check(&r->h))
		return -1;
	if (!end) {
		error_raise(-EPERM, "not opened for %s", what);
		return -1;
	}
	if (r->single && taken) {
		error_raise(-EBUSY, "another thread is %s", what);
		return -1;
	}
	return 0;
}

int ring_may_send(struct ring *r)
{
	return may(r, r->out, r->sending, "sending");
}

int ring_may_receive(struct ring *r)
{
	return may(r, r->in, r->receiving, "receiving");
}

/* Messages that are looked at in place are released in order: nothing is taken around them. */
static int may_take(struct ring *r)
{
	if (ring_may_receive(r))
		return -1;
	if (!r->single || !r->taken)
		return 0;
	error_raise(-EBUSY, "a message that peek() gave is not released yet");
	return -1;
}

/* The timeout in args[at], where there is one; not more arguments. */
static int wait_argument(struct wait *w, PyObject *const *args, Py_ssize_t n, Py_ssize_t at)
{
	if (n > at + 1) {
		PyErr_Format(PyExc_TypeError, "at most %zd arguments, not %zd", at + 1, n);
		return -1;
	}
	return wait_begin(w, n > at ? args[at] : NULL, SLICE_US);
}

/* First without a wait and its cost. */
#define TRY_THEN_WAIT(r, w, flag, call)                                                            \
	({                                                                                         \
		int got_;                                                                          \
                                                                                                   \
		(flag) = true;                                                                     \
		{                                                                                  \
			uint64_t us_ = 0;                                                          \
			got_ = CALL(&(r)->h, call);                                                \
		}                                                                                  \
		if (got_ == -EAGAIN && (w)->end_ns)                                                \
			got_ = WAIT(&(r)->h, w, call);                                             \
		(flag) = false;                                                                    \
		got_;                                                                              \
	})

PyObject *ring_send(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	struct ring *r = (struct ring *)self;
	Py_buffer data;
	struct wait w;
	int err;

	if (n < 1) {
		PyErr_SetString(PyExc_TypeError, "send() needs data");
		return NULL;
	}
	if (wait_argument(&w, args, n, 1) || bytes_get(args[0], &data))
		return NULL;
	err = ring_may_send(r) ? 1
			       : TRY_THEN_WAIT(r, &w, r->sending,
					       dsm_ring_send(r->out, data.buf, (size_t)data.len,
							     (int64_t)us_));
	PyBuffer_Release(&data);
	if (err > 0)
		return NULL;
	if (err < 0)
		return ring_failed(err);
	Py_RETURN_NONE;
}

/* The next up to BATCH of @list from @from on. How many, or -1 with an exception. */
static int batch_get(PyObject *list, Py_ssize_t from, Py_buffer *buffers, struct iovec *v)
{
	Py_ssize_t left = PyList_Size(list) - from;
	int n = left < BATCH ? (int)left : BATCH;

	for (int i = 0; i < n; i++) {
		PyObject *item = PyList_GetItem(list, from + i);

		if (!item || bytes_get(item, &buffers[i])) {
			while (i--)
				PyBuffer_Release(&buffers[i]);
			return -1;
		}
		v[i] = (struct iovec){ buffers[i].buf, (size_t)buffers[i].len };
	}
	return n;
}

/* One batch of @list. How many went, or a negative errno; 0 with an exception. */
static int batch_send(struct ring *r, PyObject *list, Py_ssize_t from, struct wait *w)
{
	Py_buffer buffers[BATCH];
	struct iovec v[BATCH];
	int n = batch_get(list, from, buffers, v), sent = 0;

	if (n > 0 && !ring_may_send(r))
		sent = TRY_THEN_WAIT(r, w, r->sending,
				     dsm_ring_send_many(r->out, v, (unsigned int)n, (int64_t)us_));
	for (int i = 0; i < n; i++)
		PyBuffer_Release(&buffers[i]);
	return sent;
}

PyObject *ring_send_many(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	struct ring *r = (struct ring *)self;
	Py_ssize_t done = 0;
	PyObject *list;
	struct wait w;
	int sent = 0;

	if (n < 1) {
		PyErr_SetString(PyExc_TypeError, "send_many() needs messages");
		return NULL;
	}
	if (wait_argument(&w, args, n, 1) || ring_may_send(r))
		return NULL;
	if (PyUnicode_Check(args[0])) {
		PyErr_SetString(PyExc_TypeError, "send_many() needs messages, not one");
		return NULL;
	}
	/* A copy: the caller's may change while others run. */
	list = PySequence_List(args[0]);
	if (!list)
		return NULL;
	while (done < PyList_Size(list) && (sent = batch_send(r, list, done, &w)) > 0)
		done += sent;
	Py_DECREF(list);
	if (PyErr_Occurred())
		return NULL;
	if (sent < 0 && (!done || (sent != -EAGAIN && sent != -ETIMEDOUT)))
		return ring_failed(sent);
	return PyLong_FromSsize_t(done);
}

/* Up to @max messages. How many, or 0 with an exception. */
static int take(struct ring *r, struct wait *w, struct dsm_ring_message *m, unsigned int max)
{
	int got;

	if (may_take(r))
		return 0;
	got = TRY_THEN_WAIT(r, w, r->receiving, dsm_ring_peek_many(r->in, m, max, (int64_t)us_));
	if (got <= 0)
		ring_failed(got);
	return got > 0 ? got : 0;
}

static PyObject *message_bytes(const struct dsm_ring_message *m)
{
	return PyBytes_FromStringAndSize(m->data, (Py_ssize_t)m->size);
}

static PyObject *recv_one(struct ring *r, struct wait *w)
{
	struct dsm_ring_message m;
	PyObject *bytes;

	if (take(r, w, &m, 1) != 1)
		return NULL;
	bytes = message_bytes(&m);
	(void)CALL(&r->h, dsm_ring_release(r->in, m.data));
	return bytes;
}

PyObject *ring_recv(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	struct wait w;

	return wait_argument(&w, args, n, 0) ? NULL : recv_one((struct ring *)self, &w);
}

PyObject *ring_try_recv(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	struct ring *r = (struct ring *)self;
	struct dsm_ring_message m;
	PyObject *bytes;
	int got;

	(void)args;
	if (n) {
		PyErr_SetString(PyExc_TypeError, "try_recv() takes no arguments");
		return NULL;
	}
	if (may_take(r))
		return NULL;
	got = CALL(&r->h, dsm_ring_peek_many(r->in, &m, 1, 0));
	if (got == -EAGAIN)
		Py_RETURN_NONE;
	if (got != 1)
		return ring_failed(got);
	bytes = message_bytes(&m);
	(void)CALL(&r->h, dsm_ring_release(r->in, m.data));
	return bytes;
}

PyObject *ring_recv_many(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	struct ring *r = (struct ring *)self;
	struct dsm_ring_message m[BATCH];
	uint64_t most = BATCH;
	PyObject *list;
	struct wait w;
	int got;

	if (wait_argument(&w, args, n, 1) ||
	    (n > 0 && number_get(args[0], INT64_MAX, "most", &most)))
		return NULL;
	if (!most)
		return PyList_New(0);
	got = take(r, &w, m, most < BATCH ? (unsigned int)most : BATCH);
	if (!got)
		return NULL;
	list = PyList_New(got);
	for (int i = 0; list && i < got; i++) {
		PyObject *bytes = message_bytes(&m[i]);

		/* Steals the reference, also where it fails. */
		if (!bytes || PyList_SetItem(list, i, bytes))
			Py_CLEAR(list);
	}
	(void)CALL(&r->h, dsm_ring_release_many(r->in, m, (unsigned int)got));
	return list;
}

PyObject *ring_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	struct ring *r = (struct ring *)self;
	Py_buffer into;
	struct wait w;
	ssize_t size;

	if (n < 1) {
		PyErr_SetString(PyExc_TypeError, "recv_into() needs a buffer");
		return NULL;
	}
	if (wait_argument(&w, args, n, 1) || PyObject_GetBuffer(args[0], &into, PyBUF_WRITABLE))
		return NULL;
	size = may_take(r) ? -EINTR
			   : TRY_THEN_WAIT(r, &w, r->receiving,
					   (int)dsm_ring_recv(r->in, into.buf, (size_t)into.len,
							      (int64_t)us_));
	PyBuffer_Release(&into);
	return size < 0 ? ring_failed((int)size) : PyLong_FromSsize_t(size);
}

PyObject *ring_reserve(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	struct ring *r = (struct ring *)self;
	struct wait w;
	uint64_t size;
	void *p;
	int err;

	if (n < 1) {
		PyErr_SetString(PyExc_TypeError, "reserve() needs a size");
		return NULL;
	}
	if (wait_argument(&w, args, n, 1) || number_get(args[0], INT64_MAX, "size", &size) ||
	    ring_may_send(r))
		return NULL;
	err = TRY_THEN_WAIT(r, &w, r->sending,
			    dsm_ring_reserve(r->out, (size_t)size, (int64_t)us_, &p));
	return err ? ring_failed(err) : reservation_new(r, p, (size_t)size);
}

PyObject *ring_peek(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	struct ring *r = (struct ring *)self;
	struct dsm_ring_message m;
	struct wait w;
	int err;

	if (wait_argument(&w, args, n, 0) || may_take(r))
		return NULL;
	err = TRY_THEN_WAIT(r, &w, r->receiving, dsm_ring_peek(r->in, (int64_t)us_, &m));
	return err ? ring_failed(err) : message_new(r, &m);
}

PyObject *ring_fileno(PyObject *self, PyObject *unused)
{
	struct ring *r = (struct ring *)self;
	int fd;

	(void)unused;
	if (ring_may_receive(r))
		return NULL;
	fd = dsm_ring_fd(r->in);
	return fd < 0 ? error_last(fd) : PyLong_FromLong(fd);
}

PyObject *ring_arm(PyObject *self, PyObject *unused)
{
	struct ring *r = (struct ring *)self;
	int there;

	(void)unused;
	if (ring_may_receive(r))
		return NULL;
	there = dsm_ring_arm(r->in);
	return there < 0 ? error_last(there) : PyBool_FromLong(there);
}
