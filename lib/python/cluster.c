// SPDX-License-Identifier: MIT
/* dsm.Cluster: a node, and the cluster it is a member of. */
#include "lib/python/module.h"

static PyTypeObject *cluster_type, *status_type;
static struct cluster *default_cluster; /* a reference */

static void cluster_shut(struct handle *h)
{
	struct cluster *c = (struct cluster *)h;
	dsm_t *ctx = c->ctx;
	PyThreadState *state;

	c->ctx = NULL;
	/* An agent of ours hands its pages over first: that may take a while. */
	state = PyEval_SaveThread();
	dsm_close(ctx);
	PyEval_RestoreThread(state);
}

static const struct handle_kind cluster_kind = { "cluster", cluster_shut };

static int milliseconds(PyObject *timeout, uint32_t *ret)
{
	double seconds = timeout ? PyFloat_AsDouble(timeout) : 0;

	if (PyErr_Occurred())
		return -1;
	if (!(seconds >= 0 && seconds < 4e6)) {
		PyErr_SetString(PyExc_ValueError, "timeout must be a number of seconds, 0: 30");
		return -1;
	}
	*ret = seconds > 0 && seconds < 0.001 ? 1 : (uint32_t)(seconds * 1000);
	return 0;
}

static int cluster_init(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "port", "chunks", "rundir", "timeout", "start", "anywhere", NULL };
	struct cluster *c = (struct cluster *)self;
	struct dsm_options o = { 0 };
	unsigned long long chunks = 0;
	PyObject *timeout = NULL;
	int start = 1, anywhere = 0, err;
	PyThreadState *state;

	if (c->h.open) {
		error_raise(-EBUSY, "this cluster is open already");
		return -1;
	}
	if (!PyArg_ParseTupleAndKeywords(args, named, "|H$KzOpp", names, &o.port, &chunks,
					 &o.rundir, &timeout, &start, &anywhere) ||
	    milliseconds(timeout, &o.timeout_ms))
		return -1;
	o.chunks = chunks;
	o.flags = (uint16_t)((start ? 0 : DSM_OPEN_NO_START) | (anywhere ? DSM_OPEN_ANYWHERE : 0));
	state = PyEval_SaveThread();
	err = dsm_open(&o, &c->ctx);
	PyEval_RestoreThread(state);
	if (err) {
		error_raise(err, "cannot join a cluster at port %u", o.port);
		return -1;
	}
	c->h.remote = true;
	handle_open(&c->h, NULL, &cluster_kind);
	return 0;
}

static struct cluster *cluster_default(void)
{
	if (default_cluster && default_cluster->h.open)
		return default_cluster;
	Py_XDECREF((PyObject *)default_cluster);
	default_cluster = (struct cluster *)PyObject_CallNoArgs((PyObject *)cluster_type);
	return default_cluster;
}

struct cluster *cluster_of(PyObject *argument)
{
	struct cluster *c;

	if (!argument || argument == Py_None) {
		c = cluster_default();
	} else if (PyObject_TypeCheck(argument, cluster_type)) {
		c = (struct cluster *)argument;
	} else {
		PyErr_SetString(PyExc_TypeError, "cluster must be a dsm.Cluster or None");
		c = NULL;
	}
	if (!c || handle_check(&c->h))
		return NULL;
	return (struct cluster *)Py_NewRef((PyObject *)c);
}

int cluster_child(struct handle *h, PyObject *cluster, const struct handle_kind *kind)
{
	struct cluster *c;

	if (h->open) {
		error_raise(-EBUSY, "this %s is open already", kind->name);
		return -1;
	}
	c = cluster_of(cluster);
	if (!c)
		return -1;
	handle_open(h, &c->h, kind);
	Py_DECREF((PyObject *)c);
	return 0;
}

static PyObject *py_default(PyObject *module, PyObject *unused)
{
	(void)module, (void)unused;
	return (PyObject *)cluster_of(NULL);
}

static PyObject *py_leave(PyObject *module, PyObject *unused)
{
	(void)module, (void)unused;
	handle_leave_all();
	Py_CLEAR(default_cluster);
	Py_RETURN_NONE;
}

static PyObject *py_status(PyObject *self, PyObject *unused)
{
	struct cluster *c = (struct cluster *)self;
	struct dsm_status s;
	int err;

	(void)unused;
	if (handle_check(&c->h))
		return NULL;
	err = RELEASED(&c->h, dsm_status_get(c->ctx, &s));
	if (err)
		return error_raise(err, "cannot ask the agent for its status");
	return record_make(status_type,
			   (PyObject *[]){ PyLong_FromUnsignedLong(s.node_id),
					   PyLong_FromUnsignedLong(s.node_count),
					   PyLong_FromUnsignedLong(s.master_id),
					   PyLong_FromUnsignedLong(s.port),
					   PyUnicode_FromString(s.kmod ? "kmod" : "uffd"),
					   PyLong_FromUnsignedLongLong(s.total_bytes),
					   PyLong_FromUnsignedLongLong(s.used_bytes) },
			   7);
}

static PyObject *py_delete_region(PyObject *self, PyObject *name)
{
	struct cluster *c = (struct cluster *)self;
	const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
	int err;

	if (!text || handle_check(&c->h))
		return NULL;
	err = RELEASED(&c->h, dsm_region_delete(c->ctx, text));
	if (err)
		return error_raise(err, "cannot delete region '%s'", text);
	Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
	HANDLE_METHODS,
	{ "status", py_status, METH_NOARGS,
	  "status()\n--\n\nThe node and its cluster now: a Status." },
	{ "delete_region", py_delete_region, METH_O,
	  "delete_region(name, /)\n--\n\nDelete a region in the whole cluster; touching it is "
	  "SIGBUS then." },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef getters[] = {
	HANDLE_CLOSED,
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot slots[] = {
	{ Py_tp_doc, "Cluster(port=0, *, chunks=0, rundir=None, timeout=30.0, start=True, "
		     "anywhere=False)\n--\n\n"
		     "A node of a cluster. port 0: DSM_PORT, else 9900. Where no agent serves the "
		     "port one is\n"
		     "started that donates chunks pages of 4 KiB and ends with the program "
		     "(start=False: NotFound).\n"
		     "anywhere=True is for a program that is several nodes at once." },
	{ Py_tp_init, cluster_init },
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_methods, methods },
	{ Py_tp_getset, getters },
	{ 0, NULL },
};
static PyType_Spec spec = {
	.name = "dsm._dsm.Cluster",
	.basicsize = sizeof(struct cluster),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = slots,
};

static PyStructSequence_Field status_fields[] = {
	{ "node_id", "number of this node, 0: no member now" },
	{ "node_count", "members" },
	{ "master_id", "node id of the master" },
	{ "port", "of the node's agent" },
	{ "pager", "'kmod' or 'uffd'" },
	{ "total_bytes", "donated by all members" },
	{ "used_bytes", "of these, allocated" },
	{ NULL, NULL },
};
static PyStructSequence_Desc status_desc = { "dsm.Status", "A node and its cluster.", status_fields,
					     7 };

static PyMethodDef functions[] = {
	{ "_default_cluster", py_default, METH_NOARGS, NULL },
	{ "_leave", py_leave, METH_NOARGS, NULL },
	{ NULL, NULL, 0, NULL },
};

int cluster_setup(PyObject *module)
{
	if (PyModule_AddFunctions(module, functions) ||
	    record_add(module, &status_desc, &status_type))
		return -1;
	return type_add(module, &spec, &cluster_type);
}
