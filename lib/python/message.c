// SPDX-License-Identifier: MIT
/* dsm.Reservation and dsm.Message: a message in the ring's own memory. */
#include "lib/python/ring.h"

struct message {
	struct handle h; /* open: neither committed nor released */
	void *p;
	size_t size;
	PyObject *view;
};

static PyTypeObject *reservation_type, *message_type;

static struct ring *ring_of(const struct handle *h)
{
	return (struct ring *)h->parent;
}

static void reservation_shut(struct handle *h)
{
	struct message *m = (struct message *)h;

	if (m->p)
		(void)CALL(h, dsm_ring_cancel(ring_of(h)->out, m->p));
}

static void message_shut(struct handle *h)
{
	ring_of(h)->taken--;
	(void)CALL(h, dsm_ring_release(ring_of(h)->in, ((struct message *)h)->p));
}

static const struct handle_kind reservation_kind = { "reservation", reservation_shut };
static const struct handle_kind message_kind = { "message", message_shut };

static PyObject *message_make(PyTypeObject *type, struct ring *r, void *p, size_t size)
{
	allocfunc make = PyType_GetSlot(type, Py_tp_alloc);
	struct message *m = (struct message *)make(type, 0);

	if (!m)
		return NULL;
	m->p = p;
	m->size = size;
	handle_open(&m->h, &r->h, type == reservation_type ? &reservation_kind : &message_kind);
	return (PyObject *)m;
}

PyObject *reservation_new(struct ring *r, void *p, size_t size)
{
	PyObject *m = message_make(reservation_type, r, p, size);

	if (!m)
		(void)dsm_ring_cancel(r->out, p);
	return m;
}

PyObject *message_new(struct ring *r, const struct dsm_ring_message *message)
{
	PyObject *m = message_make(message_type, r, (void *)message->data, message->size);

	if (m)
		r->taken++;
	else
		(void)dsm_ring_release(r->in, message->data);
	return m;
}

static PyObject *py_data(PyObject *self, void *unused)
{
	struct message *m = (struct message *)self;

	(void)unused;
	if (handle_check(&m->h))
		return NULL;
	return buffer_view(&m->h, m->p, m->size, Py_TYPE(self) == message_type);
}

static PyObject *py_enter(PyObject *self, PyObject *unused)
{
	struct message *m = (struct message *)self;

	(void)unused;
	/* Kept, to be released before the memory is somebody else's. */
	if (m->view)
		return error_raise(-EBUSY, "in a with statement already");
	m->view = py_data(self, NULL);
	return Py_XNewRef(m->view);
}

/* Nobody looks into it any more. 0, or -1 with an exception. */
static int view_end(struct message *m)
{
	PyObject *view = m->view, *released;

	m->view = NULL;
	if (!view)
		return 0;
	released = PyObject_CallMethod(view, "release", NULL);
	Py_DECREF(view);
	Py_XDECREF(released);
	return released ? 0 : -1;
}

static PyObject *end(PyObject *self)
{
	struct message *m = (struct message *)self;

	if (view_end(m))
		return NULL;
	return handle_py_close(self, NULL);
}

static PyObject *commit(struct message *m, size_t size)
{
	int err;

	if (handle_check(&m->h) || view_end(m))
		return NULL;
	if (m->h.exports) {
		PyErr_SetString(PyExc_BufferError,
				"cannot commit: arrays or memoryviews look into it");
		return NULL;
	}
	err = CALL(&m->h, dsm_ring_commit(ring_of(&m->h)->out, m->p, size));
	if (err)
		return ring_failed(err);
	m->p = NULL;
	return handle_py_close((PyObject *)m, NULL);
}

static PyObject *py_commit(PyObject *self, PyObject *args)
{
	struct message *m = (struct message *)self;
	PyObject *number = Py_None;
	uint64_t size = m->size;

	if (!PyArg_ParseTuple(args, "|O", &number) ||
	    (number != Py_None && number_get(number, m->size, "size", &size)))
		return NULL;
	return commit(m, (size_t)size);
}

static PyObject *reservation_exit(PyObject *self, PyObject *args)
{
	struct message *m = (struct message *)self;

	/* Committed or cancelled inside. */
	if (!m->h.open)
		Py_RETURN_NONE;
	if (PyTuple_Size(args) > 0 && PyTuple_GetItem(args, 0) != Py_None)
		return end(self);
	return commit(m, m->size);
}

static PyObject *py_end(PyObject *self, PyObject *unused)
{
	(void)unused;
	return end(self);
}

static PyObject *message_exit(PyObject *self, PyObject *args)
{
	(void)args;
	return end(self);
}

static Py_ssize_t message_length(PyObject *self)
{
	return (Py_ssize_t)((struct message *)self)->size;
}

static PyMethodDef reservation_methods[] = {
	{ "commit", py_commit, METH_VARARGS,
	  "commit(size=None, /)\n--\n\nSend it, or its first size bytes." },
	{ "cancel", py_end, METH_NOARGS, "cancel()\n--\n\nGive the room back." },
	{ "__enter__", py_enter, METH_NOARGS, "__enter__()\n--\n\nThe data." },
	{ "__exit__", reservation_exit, METH_VARARGS,
	  "__exit__(*exc)\n--\n\ncommit(), after an exception cancel()." },
	{ NULL, NULL, 0, NULL },
};
static PyMethodDef message_methods[] = {
	{ "release", py_end, METH_NOARGS, "release()\n--\n\nGive its room back to the ring." },
	{ "__enter__", py_enter, METH_NOARGS, "__enter__()\n--\n\nThe data." },
	{ "__exit__", message_exit, METH_VARARGS, "__exit__(*exc)\n--\n\nrelease()." },
	{ NULL, NULL, 0, NULL },
};
static PyGetSetDef getters[] = {
	HANDLE_CLOSED,
	{ "data", py_data, NULL, "A memoryview of it in the ring.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot reservation_slots[] = {
	{ Py_tp_doc,
	  "Room for a message, see Ring.reserve(): with it, the block writes to the view\n"
	  "and the message is sent at its end." },
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_methods, reservation_methods },
	{ Py_tp_getset, getters },
	{ Py_sq_length, message_length },
	{ 0, NULL },
};
static PyType_Slot message_slots[] = {
	{ Py_tp_doc, "A message in the ring, see Ring.peek(): with it, the block reads the view." },
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_methods, message_methods },
	{ Py_tp_getset, getters },
	{ Py_sq_length, message_length },
	{ 0, NULL },
};
static PyType_Spec reservation_spec = {
	.name = "dsm._dsm.Reservation",
	.basicsize = sizeof(struct message),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = reservation_slots,
};
static PyType_Spec message_spec = {
	.name = "dsm._dsm.Message",
	.basicsize = sizeof(struct message),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = message_slots,
};

int message_setup(PyObject *module)
{
	if (type_add(module, &reservation_spec, &reservation_type))
		return -1;
	return type_add(module, &message_spec, &message_type);
}
