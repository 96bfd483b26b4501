// SPDX-License-Identifier: MIT
/* Going through a dsm.Map, and waiting for it to change. */
#include "lib/python/map.h"

/* A walk, or a watcher: of one thread at a time. */
struct walk {
	struct handle h;
	dsm_map_iter_t *iter;
	dsm_map_watcher_t *watcher;
	bool keys; /* gives keys alone */
	bool used; /* a thread is at it */
};

static PyTypeObject *walk_type, *changes_type, *entry_type, *change_type;

static struct map *map_of(const struct walk *w)
{
	return (struct map *)w->h.parent;
}

static void walk_shut(struct handle *h)
{
	struct walk *w = (struct walk *)h;

	dsm_map_iter_end(w->iter);
	dsm_map_watcher_end(w->watcher);
}

static const struct handle_kind walk_kind = { "walk", walk_shut };

static struct walk *walk_make(PyTypeObject *type)
{
	allocfunc make = PyType_GetSlot(type, Py_tp_alloc);

	return (struct walk *)make(type, 0);
}

static PyObject *walk_begin(struct map *m, const void *prefix, size_t size, bool keys)
{
	struct walk *w;
	int err;

	if (handle_check(&m->h))
		return NULL;
	w = walk_make(walk_type);
	if (!w)
		return NULL;
	w->keys = keys;
	err = CALL(&m->h, dsm_map_iter_begin(m->map, prefix, size, &w->iter));
	if (!err) {
		handle_open(&w->h, &m->h, &walk_kind);
		return (PyObject *)w;
	}
	Py_DECREF((PyObject *)w);
	return map_failed(err);
}

PyObject *map_iter(PyObject *self)
{
	return walk_begin((struct map *)self, NULL, 0, true);
}

PyObject *map_scan(PyObject *self, PyObject *args)
{
	PyObject *prefix = NULL, *walk;
	Py_buffer p;

	if (!PyArg_ParseTuple(args, "|O", &prefix))
		return NULL;
	if (!prefix)
		return walk_begin((struct map *)self, NULL, 0, false);
	if (bytes_get(prefix, &p))
		return NULL;
	walk = walk_begin((struct map *)self, p.buf, (size_t)p.len, false);
	PyBuffer_Release(&p);
	return walk;
}

static PyObject *entry_value(const struct map *m, const struct dsm_map_entry *e)
{
	return record_make(entry_type,
			   (PyObject *[]){ map_value(m, e->key, e->key_size),
					   map_value(m, e->value, e->value_size),
					   PyLong_FromUnsignedLongLong(e->version),
					   e->expires_ns
						   ? PyFloat_FromDouble((double)e->expires_ns / 1e9)
						   : Py_NewRef(Py_None) },
			   4);
}

/* 0: the calling thread may use it; -1 with an exception. */
static int walk_enter(struct walk *w)
{
	if (handle_check(&w->h))
		return -1;
	if (!w->used) {
		w->used = true;
		return 0;
	}
	error_raise(-EBUSY, "another thread is at it");
	return -1;
}

static PyObject *walk_next(PyObject *self)
{
	struct walk *w = (struct walk *)self;
	struct dsm_map_entry e;
	PyObject *result = NULL;
	int got;

	/* Ended before: ended still. */
	if (!w->h.open || walk_enter(w))
		return NULL;
	got = CALL(&w->h, dsm_map_iter_next(w->iter, &e));
	if (got < 0)
		map_failed(got);
	else if (got)
		result = w->keys ? map_value(map_of(w), e.key, e.key_size)
				 : entry_value(map_of(w), &e);
	w->used = false;
	if (!got)
		(void)handle_close(&w->h);
	return result;
}

PyObject *map_watch(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "key", "version", "timeout", NULL };
	struct map *m = (struct map *)self;
	PyObject *key, *version, *timeout = NULL;
	uint64_t number, newest = 0;
	struct wait w;
	Py_buffer k;
	int err;

	if (!PyArg_ParseTupleAndKeywords(args, named, "OO|O", names, &key, &version, &timeout) ||
	    handle_check(&m->h) || number_get(version, UINT64_MAX, "version", &number) ||
	    wait_begin(&w, timeout, SLICE_US) || bytes_get(key, &k))
		return NULL;
	err = WAIT(&m->h, &w, dsm_map_watch(m->map, k.buf, (size_t)k.len, number, us_, &newest));
	PyBuffer_Release(&k);
	return err < 0 ? map_failed(err) : PyLong_FromUnsignedLongLong(newest);
}

PyObject *map_wait(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "version", "timeout", NULL };
	struct map *m = (struct map *)self;
	PyObject *version, *timeout = NULL;
	uint64_t number, newest = 0;
	struct wait w;
	int err;

	if (!PyArg_ParseTupleAndKeywords(args, named, "O|O", names, &version, &timeout) ||
	    handle_check(&m->h) || number_get(version, UINT64_MAX, "version", &number) ||
	    wait_begin(&w, timeout, SLICE_US))
		return NULL;
	err = WAIT(&m->h, &w, dsm_map_watch_all(m->map, number, us_, &newest));
	return err < 0 ? map_failed(err) : PyLong_FromUnsignedLongLong(newest);
}

PyObject *map_changes(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "prefix", "present", NULL };
	struct map *m = (struct map *)self;
	PyObject *prefix = NULL;
	Py_buffer p = { 0 };
	struct walk *w;
	int present = 0, err;

	if (!PyArg_ParseTupleAndKeywords(args, named, "|Op", names, &prefix, &present) ||
	    handle_check(&m->h))
		return NULL;
	w = walk_make(changes_type);
	if (!w || (prefix && bytes_get(prefix, &p))) {
		Py_XDECREF((PyObject *)w);
		return NULL;
	}
	err = CALL(&m->h, dsm_map_watcher_begin(m->map, p.buf, (size_t)p.len,
						present ? DSM_MAP_WATCH_PRESENT : 0, &w->watcher));
	if (prefix)
		PyBuffer_Release(&p);
	if (!err) {
		handle_open(&w->h, &m->h, &walk_kind);
		return (PyObject *)w;
	}
	Py_DECREF((PyObject *)w);
	return map_failed(err);
}

static PyObject *change_value(const struct map *m, const struct dsm_map_event *e)
{
	static const char *const kinds[] = { "", "added", "changed", "deleted" };
	unsigned int kind = (unsigned int)e->kind;

	return record_make(
		change_type,
		(PyObject *[]){ PyUnicode_FromString(kind < 4 ? kinds[kind] : ""),
				map_value(m, e->entry.key, e->entry.key_size),
				e->entry.value ? map_value(m, e->entry.value, e->entry.value_size)
					       : Py_NewRef(Py_None),
				PyLong_FromUnsignedLongLong(e->entry.version) },
		4);
}

static PyObject *next_change(struct walk *w, PyObject *timeout)
{
	struct dsm_map_event e;
	PyObject *result;
	struct wait wait;
	int err;

	if (wait_begin(&wait, timeout, SLICE_US) || walk_enter(w))
		return NULL;
	err = WAIT(&w->h, &wait, dsm_map_watcher_next(w->watcher, us_, &e));
	result = err < 0 ? map_failed(err) : change_value(map_of(w), &e);
	w->used = false;
	return result;
}

static PyObject *py_next(PyObject *self, PyObject *args)
{
	PyObject *timeout = NULL;

	return PyArg_ParseTuple(args, "|O", &timeout) ? next_change((struct walk *)self, timeout)
						      : NULL;
}

static PyObject *changes_next(PyObject *self)
{
	return next_change((struct walk *)self, NULL);
}

static PyMethodDef changes_methods[] = {
	HANDLE_METHODS,
	{ "next", py_next, METH_VARARGS,
	  "next(timeout=None, /)\n--\n\nThe next Change, waited for; Timeout." },
	{ NULL, NULL, 0, NULL },
};
static PyGetSetDef getters[] = {
	HANDLE_CLOSED,
	{ NULL, NULL, NULL, NULL, NULL },
};
static PyType_Slot walk_slots[] = {
	{ Py_tp_doc, "A walk over a Map." },
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_iter, Py_NewRef },
	{ Py_tp_iternext, walk_next },
	{ 0, NULL },
};
static PyType_Slot changes_slots[] = {
	{ Py_tp_doc, "The changes of a Map as they come, without an end: an iterator of Change." },
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_methods, changes_methods },
	{ Py_tp_getset, getters },
	{ Py_tp_iter, Py_NewRef },
	{ Py_tp_iternext, changes_next },
	{ 0, NULL },
};
static PyType_Spec walk_spec = {
	.name = "dsm._dsm.Walk",
	.basicsize = sizeof(struct walk),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = walk_slots,
};
static PyType_Spec changes_spec = {
	.name = "dsm._dsm.Changes",
	.basicsize = sizeof(struct walk),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = changes_slots,
};

static PyStructSequence_Field entry_fields[] = {
	{ "key", "the key" },
	{ "value", "the value" },
	{ "version", "of the entry" },
	{ "expires", "seconds since 1970, or None" },
	{ NULL, NULL },
};
static PyStructSequence_Desc entry_desc = { "dsm.Entry", "An entry of a Map.", entry_fields, 4 };
static PyStructSequence_Field change_fields[] = {
	{ "kind", "'added', 'changed' or 'deleted' (or expired)" },
	{ "key", "the key" },
	{ "value", "the value; None: deleted" },
	{ "version", "of the entry; deleted: the last one seen" },
	{ NULL, NULL },
};
static PyStructSequence_Desc change_desc = { "dsm.Change", "A change of a Map.", change_fields, 4 };

int map_walk_setup(PyObject *module)
{
	if (record_add(module, &entry_desc, &entry_type) ||
	    record_add(module, &change_desc, &change_type) ||
	    type_add(module, &walk_spec, &walk_type))
		return -1;
	return type_add(module, &changes_spec, &changes_type);
}
