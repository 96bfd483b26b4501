// SPDX-License-Identifier: MIT
/* dsm.Map: opening it, what it tells about itself, and its tables. */
#include "lib/python/map.h"

static PyTypeObject *stat_type;

static void map_shut(struct handle *h)
{
	dsm_map_close(((struct map *)h)->map);
}

static const struct handle_kind map_kind = { "map", map_shut };

static int map_init(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = {
		"segment", "name", "text", "entries", "create", "exclusive", NULL
	};
	struct map *m = (struct map *)self;
	struct dsm_map_options o = { 0 };
	unsigned long long entries = 0;
	int text = 0, create = 1, exclusive = 0, err;
	const char *name = "map";
	PyObject *where;
	struct segment *s;

	if (!PyArg_ParseTupleAndKeywords(args, named, "O|s$pKpp", names, &where, &name, &text,
					 &entries, &create, &exclusive))
		return -1;
	s = segment_parent(&m->h, &map_kind, where);
	if (!s)
		return -1;
	o.entries = entries;
	o.flags = exclusive ? 0 : DSM_MAP_EXISTING;
	m->text = text;
	err = create ? RELEASED(&s->h, dsm_map_create(s->seg, name, &o, &m->map))
		     : RELEASED(&s->h, dsm_map_open(s->seg, name, &m->map));
	return segment_child(&m->h, s, &map_kind, err);
}

static PyObject *py_remove(PyObject *type, PyObject *args)
{
	(void)type;
	return segment_remove(args, dsm_map_remove);
}

static PyObject *py_stat(PyObject *self, PyObject *unused)
{
	struct map *m = (struct map *)self;
	struct dsm_map_stat s;
	int err;

	(void)unused;
	if (handle_check(&m->h))
		return NULL;
	err = RELEASED(&m->h, dsm_map_stat(m->map, &s));
	if (err < 0)
		return map_failed(err);
	return record_make(stat_type,
			   (PyObject *[]){ PyLong_FromUnsignedLongLong(s.entries),
					   PyLong_FromUnsignedLongLong(s.expired),
					   PyLong_FromUnsignedLongLong(s.with_ttl),
					   PyLong_FromUnsignedLongLong(s.key_bytes),
					   PyLong_FromUnsignedLongLong(s.value_bytes),
					   PyLong_FromUnsignedLongLong(s.version),
					   PyLong_FromUnsignedLongLong(s.buckets),
					   PyLong_FromUnsignedLongLong(s.overflow),
					   PyLong_FromUnsignedLongLong(s.table_bytes),
					   PyLong_FromUnsignedLongLong(s.growing_to),
					   PyLong_FromUnsignedLongLong(s.moved),
					   PyLong_FromUnsignedLongLong(s.retired),
					   PyLong_FromUnsignedLong(s.longest_chain),
					   PyLong_FromUnsignedLong(s.stripes) },
			   14);
}

static PyObject *py_validate(PyObject *self, PyObject *unused)
{
	struct map *m = (struct map *)self;

	(void)unused;
	if (handle_check(&m->h))
		return NULL;
	return error_or_none(RELEASED(&m->h, dsm_map_validate(m->map)));
}

static PyObject *py_version(PyObject *self, void *unused)
{
	struct map *m = (struct map *)self;

	(void)unused;
	return handle_check(&m->h)
		       ? NULL
		       : PyLong_FromUnsignedLongLong(CALL(&m->h, dsm_map_version(m->map)));
}

static PyMethodDef methods[] = {
	HANDLE_METHODS,
	{ "get", FAST(map_get), "get(key, default=None, /)\n--\n\nThe value of key, or default." },
	{ "get_versioned", map_get_versioned, METH_O,
	  "get_versioned(key, /)\n--\n\n(value, version) of key; KeyError." },
	{ "set", KEYWORDS(map_set),
	  "set(key, value, ttl=None)\n--\n\n"
	  "Have key mean value, for ttl seconds or without an end; the new version." },
	{ "add", KEYWORDS(map_add),
	  "add(key, value, ttl=None)\n--\n\nThe same where key is absent; Exists." },
	{ "cas", map_cas, METH_VARARGS,
	  "cas(key, version, value, /)\n--\n\n"
	  "Replace the entry of this version (0: key is absent); the new version. Conflict." },
	{ "setdefault", map_setdefault, METH_VARARGS,
	  "setdefault(key, value, /)\n--\n\nThe value of key; where it is absent, value from now "
	  "on." },
	{ "delete", map_delete, METH_VARARGS,
	  "delete(key, version=None, /)\n--\n\nDelete key (where it has this version). KeyError, "
	  "Conflict." },
	{ "clear", map_clear, METH_NOARGS,
	  "clear()\n--\n\nDelete all that is there now; how many." },
	{ "scan", map_scan, METH_VARARGS,
	  "scan(prefix=b'', /)\n--\n\nAn iterator of Entry over the keys with that prefix, in no "
	  "order." },
	{ "watch", KEYWORDS(map_watch),
	  "watch(key, version, timeout=None)\n--\n\n"
	  "Wait until key's version is another one (0: absent); the new one. Timeout." },
	{ "wait", KEYWORDS(map_wait),
	  "wait(version, timeout=None)\n--\n\n"
	  "Wait until the map's own version is another one; the new one. Timeout." },
	{ "changes", KEYWORDS(map_changes),
	  "changes(prefix=b'', present=False)\n--\n\n"
	  "An iterator of Change over what happens to these keys from now on; with present, what "
	  "is\n"
	  "there already comes first." },
	{ "stat", py_stat, METH_NOARGS, "stat()\n--\n\nThe map as a whole: a MapStat." },
	{ "validate", py_validate, METH_NOARGS,
	  "validate()\n--\n\nCheck everything; Damaged names what is wrong." },
	{ "remove", py_remove, METH_VARARGS | METH_STATIC,
	  "remove(segment, name, /)\n--\n\nRemove a map and all that is in it." },
	{ NULL, NULL, 0, NULL },
};
static PyGetSetDef getters[] = {
	HANDLE_CLOSED,
	{ "version", py_version, NULL, "The map's own version: greater after every change.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};
static PyType_Slot slots[] = {
	{ Py_tp_doc,
	  "Map(segment, name='map', *, text=False, entries=0, create=True, exclusive=False)\n--\n\n"
	  "Keys to values, both bytes; with text=True both str. Given may be any of these or a "
	  "buffer.\n"
	  "entries: room from the start; it grows by itself. Made where it is not there;\n"
	  "create=False: NotFound; exclusive: Exists when it is." },
	{ Py_tp_init, map_init },
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_methods, methods },
	{ Py_tp_getset, getters },
	{ Py_tp_iter, map_iter },
	{ Py_mp_subscript, map_subscript },
	{ Py_mp_ass_subscript, map_assign },
	{ Py_mp_length, map_length },
	{ Py_sq_contains, map_contains },
	{ 0, NULL },
};
static PyType_Spec spec = {
	.name = "dsm._dsm.Map",
	.basicsize = sizeof(struct map),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = slots,
};

static PyStructSequence_Field stat_fields[] = {
	{ "entries", "entries, expired ones included" },
	{ "expired", "of these" },
	{ "with_ttl", "of these" },
	{ "key_bytes", "sum of the keys' sizes" },
	{ "value_bytes", "sum of the values' sizes" },
	{ "version", "of the map" },
	{ "buckets", "of the table that is filled" },
	{ "overflow", "buckets beyond these" },
	{ "table_bytes", "the tables' memory" },
	{ "growing_to", "buckets of the table it grows into; 0: none" },
	{ "moved", "buckets moved there already" },
	{ "retired", "old entries that readers may still look at" },
	{ "longest_chain", "entries in the fullest bucket" },
	{ "stripes", "writers of different stripes do not meet" },
	{ NULL, NULL },
};
static PyStructSequence_Desc stat_desc = { "dsm.MapStat", "A map as a whole.", stat_fields, 14 };

int map_setup(PyObject *module)
{
	PyTypeObject *type;

	if (record_add(module, &stat_desc, &stat_type) || map_walk_setup(module))
		return -1;
	return type_add(module, &spec, &type);
}
