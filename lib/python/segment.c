// SPDX-License-Identifier: MIT
/* dsm.Segment: the memory that heaps, maps, rings and channels live in. */
#include <string.h>

#include "lib/python/module.h"

PyTypeObject *segment_type;
static PyTypeObject *info_type, *root_type;

static void segment_shut(struct handle *h)
{
	dsm_segment_close(((struct segment *)h)->seg);
}

static const struct handle_kind segment_kind = { "segment", segment_shut };

static bool in_cluster(const char *uri)
{
	return !strncmp(uri, "dsm:", 4);
}

/* Made when asked for and missing; somebody else may do the same now. */
static int open_or_create(const char *uri, struct dsm_segment_options *o, bool create,
			  dsm_segment_t **ret)
{
	return create ? dsm_segment_create(uri, o, ret) : dsm_segment_open(uri, o, ret);
}

static int segment_start(struct segment *s, const char *uri, struct dsm_segment_options *o,
			 bool create, PyObject *cluster)
{
	struct cluster *c = NULL;
	int err;

	if (in_cluster(uri)) {
		c = cluster_of(cluster);
		if (!c)
			return -1;
		o->ctx = c->ctx;
	}
	s->h.remote = c;
	err = RELEASED(&s->h, open_or_create(uri, o, create, &s->seg));
	if (err)
		error_last(err);
	else
		handle_open(&s->h, c ? &c->h : NULL, &segment_kind);
	Py_XDECREF((PyObject *)c);
	return err ? -1 : 0;
}

static int segment_init(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "uri",	   "size",	"max_size", "mode",
				 "create", "exclusive", "cluster",  NULL };
	struct segment *s = (struct segment *)self;
	struct dsm_segment_options o = { 0 };
	unsigned long long size = 0, max_size = 0;
	PyObject *cluster = NULL;
	int create = 0, exclusive = 0;
	const char *uri;

	if (!PyArg_ParseTupleAndKeywords(args, named, "s|K$KIppO", names, &uri, &size, &max_size,
					 &o.mode, &create, &exclusive, &cluster))
		return -1;
	if (s->h.open) {
		error_raise(-EBUSY, "this segment is open already");
		return -1;
	}
	o.size = size;
	o.max_size = max_size;
	o.flags = exclusive ? 0 : DSM_SEGMENT_EXISTING;
	create |= exclusive || size || max_size;
	if (!create)
		o.flags = 0;
	return segment_start(s, uri, &o, create, cluster);
}

struct segment *segment_of(PyObject *argument)
{
	struct segment *s;

	if (PyUnicode_Check(argument)) {
		PyObject *args = PyTuple_Pack(1, argument);
		PyObject *named = Py_BuildValue("{s:O}", "create", Py_True);

		s = args && named
			    ? (struct segment *)PyObject_Call((PyObject *)segment_type, args, named)
			    : NULL;
		Py_XDECREF(args);
		Py_XDECREF(named);
		return s;
	}
	if (!PyObject_TypeCheck(argument, segment_type)) {
		PyErr_SetString(PyExc_TypeError, "segment must be a dsm.Segment or a URI");
		return NULL;
	}
	s = (struct segment *)argument;
	return handle_check(&s->h) ? NULL : (struct segment *)Py_NewRef(argument);
}

struct segment *segment_parent(const struct handle *h, const struct handle_kind *kind,
			       PyObject *argument)
{
	if (h->open) {
		error_raise(-EBUSY, "this %s is open already", kind->name);
		return NULL;
	}
	return segment_of(argument);
}

int segment_child(struct handle *h, struct segment *s, const struct handle_kind *kind, int err)
{
	if (err)
		error_last(err);
	else
		handle_open(h, &s->h, kind);
	Py_DECREF((PyObject *)s);
	return err ? -1 : 0;
}

PyObject *segment_remove(PyObject *args, int (*take_away)(dsm_segment_t *seg, const char *name))
{
	PyObject *where, *result;
	struct segment *s;
	const char *name;

	if (!PyArg_ParseTuple(args, "Os", &where, &name))
		return NULL;
	s = segment_of(where);
	if (!s)
		return NULL;
	result = error_or_none(RELEASED(&s->h, take_away(s->seg, name)));
	Py_DECREF((PyObject *)s);
	return result;
}

static PyObject *py_grow(PyObject *self, PyObject *size)
{
	struct segment *s = (struct segment *)self;
	uint64_t bytes;

	if (handle_check(&s->h) || number_get(size, INT64_MAX, "size", &bytes))
		return NULL;
	return error_or_none(RELEASED(&s->h, dsm_segment_grow(s->seg, bytes)));
}

static PyObject *py_info(PyObject *self, PyObject *unused)
{
	struct segment *s = (struct segment *)self;
	struct dsm_segment_info i;
	int err;

	(void)unused;
	if (handle_check(&s->h))
		return NULL;
	err = CALL(&s->h, dsm_segment_info(s->seg, &i));
	if (err < 0)
		return error_last(err);
	return record_make(
		info_type,
		(PyObject *[]){
			PyLong_FromUnsignedLongLong(i.id), PyLong_FromUnsignedLongLong(i.size),
			PyLong_FromUnsignedLongLong(i.max_size),
			PyLong_FromUnsignedLongLong(i.free_bytes),
			PyFloat_FromDouble((double)i.created_ns / 1e9),
			PyLong_FromUnsignedLong(i.creator_pid),
			PyLong_FromUnsignedLong(i.creator_uid),
			PyLong_FromUnsignedLong(i.participants), PyLong_FromUnsignedLong(i.version),
			PyLong_FromUnsignedLong(i.roots), PyLong_FromUnsignedLong(i.recovered) },
		11);
}

static PyObject *root_value(const struct dsm_root *r)
{
	return record_make(
		root_type,
		(PyObject *[]){ PyUnicode_DecodeUTF8(r->name,
						     (Py_ssize_t)strnlen(r->name, sizeof(r->name)),
						     "replace"),
				PyUnicode_FromString(dsm_root_kind_name(r->kind)),
				PyLong_FromUnsignedLongLong(r->offset) },
		3);
}

static int roots_add(PyObject *list, const struct dsm_root *roots, int n)
{
	for (int i = 0; i < n; i++) {
		PyObject *root = root_value(&roots[i]);

		if (!root || PyList_Append(list, root)) {
			Py_XDECREF(root);
			return -1;
		}
		Py_DECREF(root);
	}
	return 0;
}

static PyObject *py_roots(PyObject *self, PyObject *unused)
{
	struct segment *s = (struct segment *)self;
	struct dsm_root some[16];
	PyObject *list;
	int n = 0;

	(void)unused;
	if (handle_check(&s->h))
		return NULL;
	list = PyList_New(0);
	for (uint32_t from = 0; list; from = some[n - 1].index + 1) {
		n = CALL(&s->h, dsm_segment_root_list(s->seg, from, some, 16));
		if (n > 0 && !roots_add(list, some, n))
			continue;
		if (n < 0)
			error_last(n);
		if (n)
			Py_CLEAR(list);
		break;
	}
	return list;
}

static PyObject *py_root_get(PyObject *self, PyObject *name)
{
	struct segment *s = (struct segment *)self;
	const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
	struct dsm_root root;
	int err;

	if (!text || handle_check(&s->h))
		return NULL;
	err = CALL(&s->h, dsm_segment_root_get(s->seg, text, &root));
	return err < 0 ? error_last(err) : root_value(&root);
}

static PyObject *py_root_set(PyObject *self, PyObject *args)
{
	struct segment *s = (struct segment *)self;
	const char *name;
	PyObject *offset;
	uint64_t off;

	if (!PyArg_ParseTuple(args, "sO", &name, &offset) || handle_check(&s->h) ||
	    number_get(offset, INT64_MAX, "offset", &off))
		return NULL;
	return error_or_none(CALL(&s->h, dsm_segment_root_set(s->seg, name, off)));
}

static PyObject *py_root_remove(PyObject *self, PyObject *name)
{
	struct segment *s = (struct segment *)self;
	const char *text = PyUnicode_AsUTF8AndSize(name, NULL);

	if (!text || handle_check(&s->h))
		return NULL;
	return error_or_none(CALL(&s->h, dsm_segment_root_remove(s->seg, text)));
}

static PyObject *py_recover(PyObject *self, PyObject *unused)
{
	struct segment *s = (struct segment *)self;
	int n;

	(void)unused;
	if (handle_check(&s->h))
		return NULL;
	n = RELEASED(&s->h, dsm_segment_recover(s->seg));
	return n < 0 ? error_last(n) : PyLong_FromLong(n);
}

static PyObject *py_view(PyObject *self, PyObject *args)
{
	struct segment *s = (struct segment *)self;
	PyObject *offset, *length;
	uint64_t off, size;
	char *ptr;

	if (!PyArg_ParseTuple(args, "OO", &offset, &length) || handle_check(&s->h) ||
	    number_get(offset, INT64_MAX, "offset", &off) ||
	    number_get(length, INT64_MAX, "size", &size))
		return NULL;
	ptr = dsm_segment_ptr(s->seg, off);
	if (!ptr || (size && dsm_segment_ptr(s->seg, off + size - 1) != ptr + size - 1))
		return error_raise(-EINVAL, "[%llu, +%llu) is not in the segment",
				   (unsigned long long)off, (unsigned long long)size);
	return buffer_view(&s->h, ptr, size, false);
}

static PyObject *py_uri(PyObject *self, void *unused)
{
	struct segment *s = (struct segment *)self;

	(void)unused;
	return handle_check(&s->h) ? NULL : PyUnicode_FromString(dsm_segment_uri(s->seg));
}

static PyMethodDef methods[] = {
	HANDLE_METHODS,
	{ "grow", py_grow, METH_O,
	  "grow(size, /)\n--\n\nHave at least size bytes, while others use it." },
	{ "info", py_info, METH_NOARGS, "info()\n--\n\nThe segment as a whole: a SegmentInfo." },
	{ "roots", py_roots, METH_NOARGS, "roots()\n--\n\nWhat has a name in it: a list of Root." },
	{ "root_get", py_root_get, METH_O, "root_get(name, /)\n--\n\nThe Root of that name." },
	{ "root_set", py_root_set, METH_VARARGS,
	  "root_set(name, offset, /)\n--\n\nName an offset, or change what the name means." },
	{ "root_remove", py_root_remove, METH_O,
	  "root_remove(name, /)\n--\n\nForget a name that root_set() gave." },
	{ "recover", py_recover, METH_NOARGS,
	  "recover()\n--\n\nClean up after participants that were killed, now; how many." },
	{ "view", py_view, METH_VARARGS,
	  "view(offset, size, /)\n--\n\nA writable memoryview of these bytes." },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef getters[] = {
	HANDLE_CLOSED,
	{ "uri", py_uri, NULL, "As given when it was opened.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot slots[] = {
	{ Py_tp_doc,
	  "Segment(uri, size=0, *, max_size=0, mode=0o600, create=False, exclusive=False, "
	  "cluster=None)"
	  "\n--\n\n"
	  "'shm:NAME' is memory of this host, 'dsm:REGION' a region of the cluster. With a size, "
	  "or\n"
	  "create=True, it is made when it is not there; exclusive: Exists when it is." },
	{ Py_tp_init, segment_init },
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_methods, methods },
	{ Py_tp_getset, getters },
	{ 0, NULL },
};
static PyType_Spec spec = {
	.name = "dsm._dsm.Segment",
	.basicsize = sizeof(struct segment),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = slots,
};

static PyStructSequence_Field info_fields[] = {
	{ "id", "random, its own" },
	{ "size", "bytes that are there" },
	{ "max_size", "bytes it may grow to" },
	{ "free_bytes", "of size, not given to any structure" },
	{ "created", "seconds since 1970" },
	{ "creator_pid", "process that made it" },
	{ "creator_uid", "its user" },
	{ "participants", "slots in use" },
	{ "version", "of the layout" },
	{ "roots", "named roots" },
	{ "recovered", "deaths cleaned up after" },
	{ NULL, NULL },
};
static PyStructSequence_Desc info_desc = { "dsm.SegmentInfo", "A segment as a whole.", info_fields,
					   11 };
static PyStructSequence_Field root_fields[] = {
	{ "name", "its name" },
	{ "kind", "'user', 'heap', 'map', 'ring', 'listener' or 'channel'" },
	{ "offset", "what it names" },
	{ NULL, NULL },
};
static PyStructSequence_Desc root_desc = { "dsm.Root", "A named place in a segment.", root_fields,
					   3 };

int segment_setup(PyObject *module)
{
	if (record_add(module, &info_desc, &info_type) ||
	    record_add(module, &root_desc, &root_type))
		return -1;
	return type_add(module, &spec, &segment_type);
}
