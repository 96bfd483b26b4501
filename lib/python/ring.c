// SPDX-License-Identifier: MIT
/* dsm.Ring: messages in order, through a segment. */
#include <string.h>

#include "lib/python/ring.h"

static PyTypeObject *stat_type;

static void ring_shut(struct handle *h)
{
	struct ring *r = (struct ring *)h;

	dsm_ring_close(r->in ? r->in : r->out);
}

static const struct handle_kind ring_kind = { "ring", ring_shut };

/* Flags for a role's name. 0, or -1 with ValueError. */
static int role_flags(const char *role, uint32_t *ret)
{
	static const struct {
		const char *name;
		uint32_t flags;
	} roles[] = {
		{ "both", DSM_RING_PRODUCER | DSM_RING_CONSUMER },
		{ "producer", DSM_RING_PRODUCER },
		{ "consumer", DSM_RING_CONSUMER },
	};

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (!strcmp(role, roles[i].name)) {
			*ret = roles[i].flags;
			return 0;
		}
	}
	PyErr_Format(PyExc_ValueError, "role must be 'both', 'producer' or 'consumer', not '%s'",
		     role);
	return -1;
}

/* Of the same name it may be of another kind, so it tells itself. */
static int ring_start(struct ring *r, dsm_ring_t *ring, uint32_t flags)
{
	struct dsm_ring_stat stat;
	int err = CALL(&r->h, dsm_ring_stat(ring, &stat));

	if (err)
		return err;
	r->in = flags & DSM_RING_CONSUMER ? ring : NULL;
	r->out = flags & DSM_RING_PRODUCER ? ring : NULL;
	r->single = stat.kind == DSM_RING_SPSC;
	return 0;
}

static int ring_open(struct ring *r, struct segment *s, const char *name,
		     const struct dsm_ring_options *o, bool create)
{
	uint32_t flags = o->flags & (DSM_RING_PRODUCER | DSM_RING_CONSUMER);
	dsm_ring_t *ring = NULL;
	int err;

	r->h.remote = s->h.remote;
	err = create ? RELEASED(&s->h, dsm_ring_create(s->seg, name, o, &ring))
		     : RELEASED(&s->h, dsm_ring_open(s->seg, name, flags, &ring));
	if (!err)
		err = ring_start(r, ring, flags);
	if (err) {
		error_last(err);
		dsm_ring_close(ring);
		return -1;
	}
	handle_open(&r->h, &s->h, &ring_kind);
	return 0;
}

static int ring_init(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "segment",  "name",   "role",	    "kind",
				 "capacity", "create", "exclusive", NULL };
	struct ring *r = (struct ring *)self;
	struct dsm_ring_options o = { 0 };
	const char *name = "ring", *role = "both", *kind = "spsc";
	int create = 1, exclusive = 0, result;
	unsigned long long capacity = 0;
	PyObject *where;
	struct segment *s;

	if (!PyArg_ParseTupleAndKeywords(args, named, "O|ss$sKpp", names, &where, &name, &role,
					 &kind, &capacity, &create, &exclusive) ||
	    role_flags(role, &o.flags))
		return -1;
	if (strcmp(kind, "spsc") && strcmp(kind, "mpmc")) {
		PyErr_Format(PyExc_ValueError, "kind must be 'spsc' or 'mpmc', not '%s'", kind);
		return -1;
	}
	o.kind = *kind == 'm' ? DSM_RING_MPMC : DSM_RING_SPSC;
	o.capacity = capacity;
	o.flags |= exclusive ? 0 : DSM_RING_EXISTING;
	s = segment_parent(&r->h, &ring_kind, where);
	if (!s)
		return -1;
	result = ring_open(r, s, name, &o, create);
	Py_DECREF((PyObject *)s);
	return result;
}

static PyObject *py_stat(PyObject *self, PyObject *unused)
{
	struct ring *r = (struct ring *)self;
	struct dsm_ring_stat s;
	int err;

	(void)unused;
	if (handle_check(&r->h))
		return NULL;
	err = CALL(&r->h, dsm_ring_stat(r->in ? r->in : r->out, &s));
	if (err)
		return error_last(err);
	return record_make(
		stat_type,
		(PyObject *[]){ PyUnicode_FromString(s.kind == DSM_RING_MPMC ? "mpmc" : "spsc"),
				PyLong_FromUnsignedLongLong(s.capacity),
				PyLong_FromUnsignedLongLong(s.message_max),
				PyLong_FromUnsignedLongLong(s.used),
				PyLong_FromUnsignedLongLong(s.head),
				PyLong_FromUnsignedLong(s.producer_pid),
				PyLong_FromUnsignedLong(s.consumer_pid) },
		7);
}

static PyObject *py_validate(PyObject *self, PyObject *unused)
{
	struct ring *r = (struct ring *)self;
	int n;

	(void)unused;
	if (handle_check(&r->h))
		return NULL;
	n = CALL(&r->h, dsm_ring_validate(r->in ? r->in : r->out));
	return n < 0 ? error_last(n) : PyLong_FromLong(n);
}

static PyObject *py_remove(PyObject *type, PyObject *args)
{
	(void)type;
	return segment_remove(args, dsm_ring_remove);
}

static PyObject *py_iternext(PyObject *self)
{
	return ring_recv(self, NULL, 0);
}

static PyMethodDef methods[] = {
	HANDLE_METHODS,
	RING_IO_METHODS,
	{ "stat", py_stat, METH_NOARGS, "stat()\n--\n\nThe ring as it is now: a RingStat." },
	{ "validate", py_validate, METH_NOARGS,
	  "validate()\n--\n\nCheck all of it, at rest; how many messages there are, or Damaged." },
	{ "remove", py_remove, METH_VARARGS | METH_STATIC,
	  "remove(segment, name, /)\n--\n\nRemove a ring and its messages." },
	{ NULL, NULL, 0, NULL },
};
static PyGetSetDef getters[] = {
	HANDLE_CLOSED,
	{ NULL, NULL, NULL, NULL, NULL },
};
static PyType_Slot slots[] = {
	{ Py_tp_doc,
	  "Ring(segment, name='ring', role='both', *, kind='spsc', capacity=0, create=True, "
	  "exclusive=False)\n--\n\n"
	  "Messages of any size, in order. 'spsc': one producer and one consumer at a time; "
	  "'mpmc': any\n"
	  "number, each message goes to one consumer. role: 'producer', 'consumer' or 'both'.\n"
	  "Made where it is not there; create=False: NotFound; exclusive: Exists when it is." },
	{ Py_tp_init, ring_init },
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_methods, methods },
	{ Py_tp_getset, getters },
	{ Py_tp_iter, Py_NewRef },
	{ Py_tp_iternext, py_iternext },
	{ 0, NULL },
};
static PyType_Spec spec = {
	.name = "dsm._dsm.Ring",
	.basicsize = sizeof(struct ring),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = slots,
};

static PyStructSequence_Field stat_fields[] = {
	{ "kind", "'spsc' or 'mpmc'" },
	{ "capacity", "bytes" },
	{ "message_max", "bytes of the greatest message" },
	{ "used", "bytes of messages, sent and not released" },
	{ "head", "bytes that went through" },
	{ "producer_pid", "spsc: who has the end; 0 nobody" },
	{ "consumer_pid", "spsc: who has the end; 0 nobody" },
	{ NULL, NULL },
};
static PyStructSequence_Desc stat_desc = { "dsm.RingStat", "A ring as it is now.", stat_fields, 7 };

int ring_setup(PyObject *module)
{
	PyTypeObject *type;

	if (record_add(module, &stat_desc, &stat_type))
		return -1;
	return type_add(module, &spec, &type);
}
