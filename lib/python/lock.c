// SPDX-License-Identifier: MIT
/* dsm.Lock and dsm.RWLock: numbers that threads of a whole cluster take turns by. */
#include "lib/python/module.h"

struct lock {
	struct handle h;
	uint32_t id;
	bool strict; /* raise OwnerDead */
	bool dead;   /* who had it before the present holder died with it */
};

static void lock_shut(struct handle *h)
{
	(void)h;
}

static const struct handle_kind lock_kind = { "lock", lock_shut };

static dsm_t *ctx_of(const struct lock *m)
{
	return ((struct cluster *)m->h.parent)->ctx;
}

static int lock_init(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "id", "cluster", "strict", NULL };
	struct lock *m = (struct lock *)self;
	PyObject *cluster = NULL, *number;
	uint64_t id;
	int strict = 0;

	if (!PyArg_ParseTupleAndKeywords(args, named, "O|$Op", names, &number, &cluster, &strict) ||
	    number_get(number, UINT32_MAX, "id", &id))
		return -1;
	m->id = (uint32_t)id;
	m->strict = strict;
	return cluster_child(&m->h, cluster, &lock_kind);
}

enum way { ALONE, READ, WRITE };

static int take_once(struct lock *m, enum way way, uint64_t us)
{
	if (way == READ)
		return dsm_rdlock(ctx_of(m), m->id, us);
	if (way == WRITE)
		return dsm_wrlock(ctx_of(m), m->id, us);
	if (!us)
		return dsm_ctx_trylock(ctx_of(m), m->id);
	return us == DSM_FOREVER ? dsm_ctx_lock(ctx_of(m), m->id)
				 : dsm_ctx_timedlock(ctx_of(m), m->id, us);
}

static int let_go(struct lock *m, enum way way)
{
	if (way == READ)
		return dsm_rdunlock(ctx_of(m), m->id);
	return way == WRITE ? dsm_wrunlock(ctx_of(m), m->id) : dsm_ctx_unlock(ctx_of(m), m->id);
}

/* True, False (the time is over), or NULL; @keep: OwnerDead does not let go of the lock. */
static PyObject *take(struct lock *m, enum way way, struct wait *w, bool keep)
{
	int err = WAIT(&m->h, w, take_once(m, way, us_));

	if (err == -EBUSY || err == -ETIMEDOUT)
		Py_RETURN_FALSE;
	if (err < 0)
		return error_raise(err, "taking lock %u", m->id);
	if (way != READ)
		m->dead = err == DSM_OWNER_DEAD;
	if (err == DSM_OWNER_DEAD && m->strict) {
		if (!keep)
			(void)RELEASED(&m->h, let_go(m, way));
		return error_raise(-EOWNERDEAD, "lock %u", m->id);
	}
	Py_RETURN_TRUE;
}

static PyObject *acquire(PyObject *self, PyObject *args, PyObject *named, enum way way)
{
	static char *names[] = { "blocking", "timeout", NULL };
	struct lock *m = (struct lock *)self;
	PyObject *timeout = NULL;
	int blocking = 1;
	struct wait w;

	if (!PyArg_ParseTupleAndKeywords(args, named, "|pO", names, &blocking, &timeout) ||
	    handle_check(&m->h))
		return NULL;
	/* -1 is "no limit" in threading.Lock.acquire(). */
	if (timeout && timeout != Py_None && PyFloat_AsDouble(timeout) == -1.0 && !PyErr_Occurred())
		timeout = NULL;
	if (PyErr_Occurred() || wait_begin(&w, timeout, SLICE_TURN_US))
		return NULL;
	if (!blocking)
		w.end_ns = 0;
	return take(m, way, &w, true);
}

static PyObject *release(PyObject *self, enum way way)
{
	struct lock *m = (struct lock *)self;
	int err;

	if (handle_check(&m->h))
		return NULL;
	err = RELEASED(&m->h, let_go(m, way));
	if (err)
		return error_raise(err, "releasing lock %u", m->id);
	Py_RETURN_NONE;
}

static PyObject *enter(PyObject *self, enum way way)
{
	struct lock *m = (struct lock *)self;
	PyObject *taken;
	struct wait w;

	if (handle_check(&m->h) || wait_begin(&w, NULL, SLICE_TURN_US))
		return NULL;
	/* Nothing calls __exit__() where this raises. */
	taken = take(m, way, &w, false);
	Py_XDECREF(taken);
	return taken ? Py_NewRef(self) : NULL;
}

#define WAYS(name, way)                                                                            \
	static PyObject *name##_acquire(PyObject *self, PyObject *args, PyObject *named)           \
	{                                                                                          \
		return acquire(self, args, named, way);                                            \
	}                                                                                          \
	static PyObject *name##_release(PyObject *self, PyObject *unused)                          \
	{                                                                                          \
		(void)unused;                                                                      \
		return release(self, way);                                                         \
	}                                                                                          \
	static PyObject *name##_enter(PyObject *self, PyObject *unused)                            \
	{                                                                                          \
		(void)unused;                                                                      \
		return enter(self, way);                                                           \
	}                                                                                          \
	static PyObject *name##_exit(PyObject *self, PyObject *args)                               \
	{                                                                                          \
		(void)args;                                                                        \
		return release(self, way);                                                         \
	}
WAYS(alone, ALONE)
WAYS(read, READ)
WAYS(write, WRITE)

static PyObject *py_id(PyObject *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(((struct lock *)self)->id);
}

static PyObject *py_dead(PyObject *self, void *unused)
{
	(void)unused;
	return PyBool_FromLong(((struct lock *)self)->dead);
}

#define ACQUIRE_DOC                                                                                \
	"(blocking=True, timeout=None)\n--\n\n"                                                    \
	"Wait for the lock, for timeout seconds at most. True: the calling thread holds it."

static PyMethodDef lock_methods[] = {
	{ "close", handle_py_close, METH_NOARGS, "close()\n--\n\nEnd the object's use." },
	{ "acquire", KEYWORDS(alone_acquire), "acquire" ACQUIRE_DOC },
	{ "release", alone_release, METH_NOARGS, "release()\n--\n\nBy the thread that holds it." },
	{ "__enter__", alone_enter, METH_NOARGS, "__enter__()\n--\n\nacquire()." },
	{ "__exit__", alone_exit, METH_VARARGS, "__exit__(*exc)\n--\n\nrelease()." },
	{ NULL, NULL, 0, NULL },
};
static PyMethodDef rwlock_methods[] = {
	{ "close", handle_py_close, METH_NOARGS, "close()\n--\n\nEnd the object's use." },
	{ "acquire_read", KEYWORDS(read_acquire), "acquire_read" ACQUIRE_DOC },
	{ "acquire_write", KEYWORDS(write_acquire), "acquire_write" ACQUIRE_DOC },
	{ "release_read", read_release, METH_NOARGS,
	  "release_read()\n--\n\nBy the thread that holds it for reading." },
	{ "release_write", write_release, METH_NOARGS,
	  "release_write()\n--\n\nBy the thread that holds it for writing." },
	{ "_enter_read", read_enter, METH_NOARGS, NULL },
	{ "_enter_write", write_enter, METH_NOARGS, NULL },
	{ "_exit_read", read_exit, METH_VARARGS, NULL },
	{ "_exit_write", write_exit, METH_VARARGS, NULL },
	{ NULL, NULL, 0, NULL },
};
static PyGetSetDef lock_getters[] = {
	HANDLE_CLOSED,
	{ "id", py_id, NULL, "Its number.", NULL },
	{ "owner_dead", py_dead, NULL,
	  "Who had it before the present holder died with it: check what it guards.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot lock_slots[] = {
	{ Py_tp_doc,
	  "Lock(id, *, cluster=None, strict=False)\n--\n\n"
	  "The cluster's lock of that number (32 bits); each thread takes it for itself.\n"
	  "When a holder dies the next one gets it, with owner_dead set; strict: it gets\n"
	  "OwnerDead: raised by acquire() with the lock held, by with without." },
	{ Py_tp_init, lock_init },
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_methods, lock_methods },
	{ Py_tp_getset, lock_getters },
	{ 0, NULL },
};
static PyType_Spec lock_spec = {
	.name = "dsm._dsm.Lock",
	.basicsize = sizeof(struct lock),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = lock_slots,
};

static PyType_Slot rwlock_slots[] = {
	{ Py_tp_doc,
	  "RWLock(id, *, cluster=None, strict=False)\n--\n\n"
	  "The cluster's reader-writer lock of that number; they are apart from those of Lock." },
	{ Py_tp_init, lock_init },
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_methods, rwlock_methods },
	{ Py_tp_getset, lock_getters },
	{ 0, NULL },
};
static PyType_Spec rwlock_spec = {
	.name = "dsm._dsm.RWLock",
	.basicsize = sizeof(struct lock),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = rwlock_slots,
};

int lock_setup(PyObject *module)
{
	PyTypeObject *type;

	return type_add(module, &lock_spec, &type) || type_add(module, &rwlock_spec, &type) ? -1
											    : 0;
}
