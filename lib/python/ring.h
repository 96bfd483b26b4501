/* SPDX-License-Identifier: MIT */
/* Ring and Connection: both are rings to send and to receive by. */
#ifndef DSM_PYTHON_RING_H
#define DSM_PYTHON_RING_H

#include <dsm/connection.h>
#include <dsm/ring.h>

#include "lib/python/module.h"

struct ring {
	struct handle h;
	dsm_ring_t *in, *out;	 /* NULL: not this way; of a Ring both are the same */
	dsm_conn_t *conn;	 /* of a Connection */
	bool single;		 /* one thread at a time each way */
	bool sending, receiving; /* single: a thread is at it */
	unsigned int taken;	 /* single: messages that are looked at in place */
};

/* ring_io.c: methods of both types. */
#define RING_IO_METHODS                                                                            \
	{ "send", FAST(ring_send),                                                                 \
	  "send(data, timeout=None, /)\n--\n\nSend a copy of bytes, str or any buffer." },         \
		{ "send_many", FAST(ring_send_many),                                               \
		  "send_many(messages, timeout=None, /)\n--\n\n"                                   \
		  "Send them in batches; how many went before the time was over." },               \
		{ "recv", FAST(ring_recv),                                                         \
		  "recv(timeout=None, /)\n--\n\nThe next message, waited for: bytes." },           \
		{ "try_recv", FAST(ring_try_recv),                                                 \
		  "try_recv()\n--\n\nThe next message, or None where there is none now." },        \
		{ "recv_many", FAST(ring_recv_many),                                               \
		  "recv_many(most=256, timeout=None, /)\n--\n\n"                                   \
		  "A list of the messages that are there, waiting for the first only." },          \
		{ "recv_into", FAST(ring_recv_into),                                               \
		  "recv_into(buffer, timeout=None, /)\n--\n\n"                                     \
		  "Receive into a writable buffer; the message's size." },                         \
		{ "reserve", FAST(ring_reserve),                                                   \
		  "reserve(size, timeout=None, /)\n--\n\n"                                         \
		  "Room in the ring to write a message in place: a Reservation." },                \
		{ "peek", FAST(ring_peek),                                                         \
		  "peek(timeout=None, /)\n--\n\nThe next message where it lies: a Message." },     \
		{ "fileno", ring_fileno, METH_NOARGS,                                              \
		  "fileno()\n--\n\nA descriptor that is readable once after arm(), one host "      \
		  "only." },                                                                       \
	{                                                                                          \
		"arm", ring_arm, METH_NOARGS,                                                      \
			"arm()\n--\n\n"                                                            \
			"Before each wait on fileno(). True: there are messages, do not wait."     \
	}

PyObject *ring_send(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *ring_send_many(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *ring_recv(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *ring_try_recv(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *ring_recv_many(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *ring_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *ring_reserve(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *ring_peek(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *ring_fileno(PyObject *self, PyObject *unused);
PyObject *ring_arm(PyObject *self, PyObject *unused);

/* What a waiting call gave: -EAGAIN is a time-out too. NULL with the exception. */
PyObject *ring_failed(int err);
/* Open, and with an end to send (receive) by that no other thread is at. 0, or -1 with an exception. */
int ring_may_send(struct ring *r);
int ring_may_receive(struct ring *r);

/* message.c: a message in the ring's memory, to be written or looked at. Takes it over, also where it fails. */
PyObject *reservation_new(struct ring *r, void *p, size_t size);
PyObject *message_new(struct ring *r, const struct dsm_ring_message *m);
int message_setup(PyObject *module);

int ring_setup(PyObject *module);
int connection_setup(PyObject *module);

#endif
