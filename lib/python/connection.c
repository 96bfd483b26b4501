// SPDX-License-Identifier: MIT
/* dsm.Listener and dsm.Connection: two rings for each client of a server. */
#include "lib/python/ring.h"

struct listener {
	struct handle h;
	dsm_listener_t *listener;
	bool waiting; /* a thread is at it */
};

static PyTypeObject *connection_type;
static PyTypeObject *accepted_type; /* a subclass, see _accept_as() */

static void connection_shut(struct handle *h)
{
	struct ring *r = (struct ring *)h;

	dsm_conn_set_data(r->conn, NULL);
	dsm_conn_close(r->conn);
}

static void listener_shut(struct handle *h)
{
	dsm_listener_close(((struct listener *)h)->listener);
}

static const struct handle_kind connection_kind = { "connection", connection_shut };
static const struct handle_kind listener_kind = { "listener", listener_shut };

static void connection_start(struct ring *r, dsm_conn_t *conn, struct handle *parent)
{
	r->conn = conn;
	r->in = dsm_conn_in(conn);
	r->out = dsm_conn_out(conn);
	r->single = true;
	/* No reference: it is set to NULL when the object goes. */
	dsm_conn_set_data(conn, r);
	handle_open(&r->h, parent, &connection_kind);
}

static int connection_init(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "segment", "name", NULL };
	struct ring *r = (struct ring *)self;
	const char *name = "listener";
	dsm_conn_t *conn;
	PyObject *where;
	struct segment *s;
	int err;

	if (!PyArg_ParseTupleAndKeywords(args, named, "O|s", names, &where, &name))
		return -1;
	s = segment_parent(&r->h, &connection_kind, where);
	if (!s)
		return -1;
	err = RELEASED(&s->h, dsm_conn_open(s->seg, name, &conn));
	if (err)
		error_last(err);
	else
		connection_start(r, conn, &s->h);
	Py_DECREF((PyObject *)s);
	return err ? -1 : 0;
}

/* The object of a connection; a new one where it has none yet. */
static PyObject *connection_object(struct listener *l, dsm_conn_t *conn)
{
	allocfunc make = PyType_GetSlot(accepted_type, Py_tp_alloc);
	PyObject *known = dsm_conn_data(conn);
	struct ring *r;

	if (known)
		return Py_NewRef(known);
	r = (struct ring *)make(accepted_type, 0);
	if (r)
		connection_start(r, conn, &l->h);
	else
		dsm_conn_close(conn);
	return (PyObject *)r;
}

static PyObject *py_peer(PyObject *self, PyObject *unused)
{
	struct ring *r = (struct ring *)self;
	uint32_t pid, node;
	int err;

	(void)unused;
	if (handle_check(&r->h))
		return NULL;
	err = CALL(&r->h, dsm_conn_peer(r->conn, &pid, &node));
	return err ? error_last(err) : Py_BuildValue("(II)", pid, node);
}

/* Closed in peace by the other side: the end. Its death: an exception. */
static PyObject *py_iternext(PyObject *self)
{
	PyObject *message = ring_recv(self, NULL, 0), *number;
	PyObject *type, *value, *trace;
	bool closed = false;

	if (message || !PyErr_ExceptionMatches(PyExc_ConnectionError))
		return message;
	PyErr_Fetch(&type, &value, &trace);
	PyErr_NormalizeException(&type, &value, &trace);
	number = PyObject_GetAttrString(value, "errno");
	closed = number && PyLong_AsLong(number) == EPIPE;
	Py_XDECREF(number);
	if (!closed) {
		PyErr_Restore(type, value, trace);
		return NULL;
	}
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(trace);
	return NULL;
}

static int listener_init(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "segment", "name", "ring_size", "max_conns", NULL };
	struct listener *l = (struct listener *)self;
	struct dsm_listener_options o = { 0 };
	const char *name = "listener";
	PyObject *where;
	struct segment *s;
	int err;

	if (!PyArg_ParseTupleAndKeywords(args, named, "O|s$II", names, &where, &name, &o.ring_size,
					 &o.max_conns))
		return -1;
	s = segment_parent(&l->h, &listener_kind, where);
	if (!s)
		return -1;
	err = RELEASED(&s->h, dsm_listener_create(s->seg, name, &o, &l->listener));
	return segment_child(&l->h, s, &listener_kind, err);
}

/* One thread at a time waits for @event or a connection. NULL with an exception. */
static dsm_conn_t *listener_next(struct listener *l, PyObject *args, int *event)
{
	PyObject *timeout = NULL;
	dsm_conn_t *conn = NULL;
	struct wait w;
	int got;

	if (!PyArg_ParseTuple(args, "|O", &timeout) || handle_check(&l->h) ||
	    wait_begin(&w, timeout, SLICE_US))
		return NULL;
	if (l->waiting) {
		error_raise(-EBUSY, "another thread waits at this listener");
		return NULL;
	}
	l->waiting = true;
	got = event ? WAIT(&l->h, &w, dsm_listener_wait(l->listener, (int64_t)us_, &conn))
		    : WAIT(&l->h, &w, dsm_listener_accept(l->listener, (int64_t)us_, &conn));
	l->waiting = false;
	if (got < 0) {
		ring_failed(got);
		return NULL;
	}
	if (event)
		*event = got;
	return conn;
}

static PyObject *py_accept(PyObject *self, PyObject *args)
{
	struct listener *l = (struct listener *)self;
	dsm_conn_t *conn = listener_next(l, args, NULL);

	return conn ? connection_object(l, conn) : NULL;
}

static PyObject *py_wait(PyObject *self, PyObject *args)
{
	static const char *const events[] = { "", "new", "readable", "gone" };
	struct listener *l = (struct listener *)self;
	int event;
	dsm_conn_t *conn = listener_next(l, args, &event);
	PyObject *object = conn ? connection_object(l, conn) : NULL;

	return object ? Py_BuildValue("(sN)", event <= DSM_CONN_GONE ? events[event] : "", object)
		      : NULL;
}

static PyMethodDef connection_methods[] = {
	HANDLE_METHODS,
	RING_IO_METHODS,
	{ "peer", py_peer, METH_NOARGS,
	  "peer()\n--\n\n(pid, node) of the other side, in its own numbers." },
	{ NULL, NULL, 0, NULL },
};
static PyMethodDef listener_methods[] = {
	HANDLE_METHODS,
	{ "accept", py_accept, METH_VARARGS,
	  "accept(timeout=None, /)\n--\n\nThe next new Connection." },
	{ "wait", py_wait, METH_VARARGS,
	  "wait(timeout=None, /)\n--\n\n"
	  "('new' | 'readable' | 'gone', connection): the next thing that happens on any. Keep a "
	  "new\n"
	  "connection: one that nobody refers to is closed." },
	{ NULL, NULL, 0, NULL },
};
static PyGetSetDef getters[] = {
	HANDLE_CLOSED,
	{ NULL, NULL, NULL, NULL, NULL },
};
static PyType_Slot connection_slots[] = {
	{ Py_tp_doc,
	  "Connection(segment, name='listener')\n--\n\n"
	  "A client's side of a connection to the server of that Listener. Disconnected is raised\n"
	  "when the other side has closed (errno EPIPE) or died (ECONNRESET) and all was "
	  "received." },
	{ Py_tp_init, connection_init },
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_methods, connection_methods },
	{ Py_tp_getset, getters },
	{ Py_tp_iter, Py_NewRef },
	{ Py_tp_iternext, py_iternext },
	{ 0, NULL },
};
static PyType_Slot listener_slots[] = {
	{ Py_tp_doc, "Listener(segment, name='listener', *, ring_size=0, max_conns=0)\n--\n\n"
		     "Serve connections under that name; taken over where its server has died." },
	{ Py_tp_init, listener_init },
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_methods, listener_methods },
	{ Py_tp_getset, getters },
	{ 0, NULL },
};
static PyType_Spec connection_spec = {
	.name = "dsm._dsm.Connection",
	.basicsize = sizeof(struct ring),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = connection_slots,
};
static PyType_Spec listener_spec = {
	.name = "dsm._dsm.Listener",
	.basicsize = sizeof(struct listener),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = listener_slots,
};

/* The Python part has a subclass: what is accepted is one of those, too. */
static PyObject *accept_as(PyObject *module, PyObject *type)
{
	(void)module;
	if (!PyType_Check(type) || !PyType_IsSubtype((PyTypeObject *)type, connection_type)) {
		PyErr_SetString(PyExc_TypeError, "no subclass of Connection");
		return NULL;
	}
	accepted_type = (PyTypeObject *)Py_NewRef(type);
	Py_RETURN_NONE;
}
static PyMethodDef functions[] = {
	{ "_accept_as", accept_as, METH_O, NULL },
	{ NULL, NULL, 0, NULL },
};

int connection_setup(PyObject *module)
{
	PyTypeObject *type;

	if (type_add(module, &connection_spec, &connection_type) ||
	    PyModule_AddFunctions(module, functions))
		return -1;
	accepted_type = connection_type;
	return type_add(module, &listener_spec, &type);
}
