// SPDX-License-Identifier: MIT
/* dsm.Barrier: threads of a whole cluster wait for each other. */
#include "lib/python/module.h"

struct barrier {
	struct handle h;
	uint32_t id;
	uint32_t count; /* of threads; 0: one of each node */
};

static void barrier_shut(struct handle *h)
{
	(void)h;
}

static const struct handle_kind barrier_kind = { "barrier", barrier_shut };

static int barrier_init(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "id", "count", "cluster", NULL };
	struct barrier *b = (struct barrier *)self;
	PyObject *cluster = NULL, *id, *count = NULL;
	uint64_t number, threads = 0;

	if (!PyArg_ParseTupleAndKeywords(args, named, "O|O$O", names, &id, &count, &cluster) ||
	    number_get(id, UINT32_MAX, "id", &number) ||
	    (count && number_get(count, UINT32_MAX, "count", &threads)))
		return -1;
	b->id = (uint32_t)number;
	b->count = (uint32_t)threads;
	return cluster_child(&b->h, cluster, &barrier_kind);
}

static PyObject *meet(struct barrier *b, PyObject *timeout)
{
	struct wait w;
	int err;

	if (handle_check(&b->h) || wait_begin(&w, timeout, SLICE_TURN_US))
		return NULL;
	err = WAIT(&b->h, &w,
		   dsm_barrier_wait(((struct cluster *)b->h.parent)->ctx, b->id, b->count, us_));
	if (err)
		return error_raise(err, "waiting at barrier %u", b->id);
	Py_RETURN_NONE;
}

static PyObject *py_wait(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "timeout", NULL };
	PyObject *timeout = NULL;

	if (!PyArg_ParseTupleAndKeywords(args, named, "|O", names, &timeout))
		return NULL;
	return meet((struct barrier *)self, timeout);
}

static PyObject *py_enter(PyObject *self, PyObject *unused)
{
	PyObject *met = meet((struct barrier *)self, NULL);

	(void)unused;
	Py_XDECREF(met);
	return met ? Py_NewRef(self) : NULL;
}

static PyObject *py_exit(PyObject *self, PyObject *args)
{
	PyObject *error;

	if (!PyArg_UnpackTuple(args, "__exit__", 3, 3, &error, &(PyObject *){ NULL },
			       &(PyObject *){ NULL }))
		return NULL;
	/* What went wrong here is to be heard of, not to wait for the others. */
	if (error != Py_None)
		Py_RETURN_NONE;
	return meet((struct barrier *)self, NULL);
}

static PyObject *py_id(PyObject *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(((struct barrier *)self)->id);
}

static PyObject *py_count(PyObject *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(((struct barrier *)self)->count);
}

static PyMethodDef methods[] = {
	{ "close", handle_py_close, METH_NOARGS, "close()\n--\n\nEnd the object's use." },
	{ "wait", KEYWORDS(py_wait),
	  "wait(timeout=None)\n--\n\n"
	  "Wait until all are here. Timeout: this thread does not count any more." },
	{ "__enter__", py_enter, METH_NOARGS, "__enter__()\n--\n\nwait()." },
	{ "__exit__", py_exit, METH_VARARGS,
	  "__exit__(*exc)\n--\n\nwait(), but not after an exception." },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef getters[] = {
	HANDLE_CLOSED,
	{ "id", py_id, NULL, "Its number.", NULL },
	{ "count", py_count, NULL, "Threads that meet; 0: one of each node.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot slots[] = {
	{ Py_tp_doc,
	  "Barrier(id, count=0, *, cluster=None)\n--\n\n"
	  "The cluster's barrier of that number, for count threads (0: one of each node).\n"
	  "with barrier: all begin the block together, and leave it together." },
	{ Py_tp_init, barrier_init },
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_methods, methods },
	{ Py_tp_getset, getters },
	{ 0, NULL },
};
static PyType_Spec spec = {
	.name = "dsm._dsm.Barrier",
	.basicsize = sizeof(struct barrier),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = slots,
};

int barrier_setup(PyObject *module)
{
	PyTypeObject *type;

	return type_add(module, &spec, &type);
}
