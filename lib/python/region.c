// SPDX-License-Identifier: MIT
/* dsm.Region: a region of a cluster as a buffer. */
#include <dsm/dsm.h>

#include "lib/python/module.h"

struct region {
	struct handle h;
	dsm_region_t *region;
};

static PyTypeObject *region_type, *page_type;

static void region_shut(struct handle *h)
{
	dsm_region_close(((struct region *)h)->region);
}

static const struct handle_kind region_kind = { "region", region_shut };

/* The context that @r belongs to. */
static dsm_t *ctx_of(const struct region *r)
{
	return ((struct cluster *)r->h.parent)->ctx;
}

/* Another program may make it, or delete it, at the same time. */
static int open_or_create(dsm_t *ctx, const char *name, uint64_t size, bool exclusive,
			  dsm_region_t **ret)
{
	int err = exclusive ? -ENOENT : dsm_region_open(ctx, name, ret);

	if (err == -ENOENT && size)
		err = dsm_region_create(ctx, name, size, ret);
	if (err == -EEXIST && !exclusive)
		err = dsm_region_open(ctx, name, ret);
	return err;
}

static int region_init(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "name", "size", "cluster", "exclusive", NULL };
	struct region *r = (struct region *)self;
	const char *name = "default";
	unsigned long long size = 0;
	PyObject *cluster = NULL;
	int exclusive = 0, err;
	struct cluster *c;

	if (!PyArg_ParseTupleAndKeywords(args, named, "|sK$Op", names, &name, &size, &cluster,
					 &exclusive))
		return -1;
	c = r->h.open ? NULL : cluster_of(cluster);
	if (!c) {
		if (r->h.open)
			error_raise(-EBUSY, "this region is open already");
		return -1;
	}
	err = RELEASED(&c->h, open_or_create(c->ctx, name, size, exclusive, &r->region));
	if (err) {
		error_raise(err, "cannot open region '%s'", name);
	} else if (dsm_region_size(r->region) < size) {
		error_raise(-EINVAL, "region '%s' has %llu bytes, not %llu", name,
			    (unsigned long long)dsm_region_size(r->region), size);
		dsm_region_close(r->region);
	} else {
		handle_open(&r->h, &c->h, &region_kind);
	}
	Py_DECREF((PyObject *)c);
	return r->h.open ? 0 : -1;
}

static int region_buffer(PyObject *self, Py_buffer *view, int flags)
{
	struct region *r = (struct region *)self;

	if (handle_check(&r->h))
		return -1;
	return handle_export(&r->h, self, dsm_region_base(r->region), dsm_region_size(r->region),
			     false, view, flags);
}

static void region_unbuffer(PyObject *self, Py_buffer *view)
{
	(void)view;
	((struct region *)self)->h.exports--;
}

/* Where byte @offset of an open region is; @size bytes must follow. NULL with an exception. */
static void *place(struct region *r, PyObject *offset, uint64_t size)
{
	uint64_t off, whole;

	if (handle_check(&r->h))
		return NULL;
	whole = dsm_region_size(r->region);
	if (size > whole || number_get(offset, whole - size, "offset", &off))
		return NULL;
	return (char *)dsm_region_base(r->region) + off;
}

static PyObject *py_alloc(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "size", "offset", NULL };
	struct region *r = (struct region *)self;
	PyObject *offset = NULL;
	Py_ssize_t size;
	uint64_t off = 0;
	void *ptr;
	int err;

	if (!PyArg_ParseTupleAndKeywords(args, named, "n|O", names, &size, &offset) ||
	    handle_check(&r->h))
		return NULL;
	if (offset && offset != Py_None && number_get(offset, INT64_MAX, "offset", &off))
		return NULL;
	if (size <= 0)
		return error_raise(-EINVAL, "cannot allocate %zd bytes", size);
	err = offset && offset != Py_None
		      ? RELEASED(&r->h, dsm_alloc_at(r->region, off, (size_t)size, &ptr))
		      : RELEASED(&r->h, dsm_alloc(r->region, (size_t)size, &ptr));
	if (err)
		return error_raise(err, "cannot allocate %zd bytes in region '%s'", size,
				   dsm_region_name(r->region));
	return PyLong_FromUnsignedLongLong(
		(uint64_t)((char *)ptr - (char *)dsm_region_base(r->region)));
}

static PyObject *py_release(PyObject *self, PyObject *offset)
{
	struct region *r = (struct region *)self;
	void *ptr = place(r, offset, 1);
	int err;

	if (!ptr)
		return NULL;
	err = RELEASED(&r->h, dsm_release(ctx_of(r), ptr));
	if (err)
		return error_raise(err, "cannot release what is no allocation");
	Py_RETURN_NONE;
}

static PyObject *py_prefetch(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "offset", "size", "write", NULL };
	struct region *r = (struct region *)self;
	PyObject *offset;
	Py_ssize_t size;
	int write = 0, err;
	void *ptr;

	if (!PyArg_ParseTupleAndKeywords(args, named, "On|p", names, &offset, &size, &write))
		return NULL;
	ptr = place(r, offset, size > 0 ? (uint64_t)size : 0);
	if (!ptr)
		return NULL;
	err = RELEASED(&r->h, dsm_prefetch(ctx_of(r), ptr, (size_t)size,
					   write ? DSM_PREFETCH_FOR_WRITE : 0));
	if (err)
		return error_raise(err, "cannot prefetch");
	Py_RETURN_NONE;
}

static PyObject *py_page(PyObject *self, PyObject *offset)
{
	struct region *r = (struct region *)self;
	void *ptr = place(r, offset, 1);
	dsm_page_info_t info;
	int err;

	if (!ptr)
		return NULL;
	err = RELEASED(&r->h, dsm_page_info_get(ctx_of(r), ptr, &info));
	if (err)
		return error_raise(err, "cannot ask about this page");
	return record_make(
		page_type,
		(PyObject *[]){ PyLong_FromUnsignedLong(info.owner_id),
				PyUnicode_FromString(dsm_page_state_to_string((int)info.state)),
				PyLong_FromUnsignedLongLong(info.global_addr),
				PyLong_FromUnsignedLongLong(info.version),
				PyBool_FromLong(info.dirty) },
		5);
}

static PyObject *py_wait(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "offset", "expected", "timeout", NULL };
	struct region *r = (struct region *)self;
	PyObject *offset, *timeout = NULL;
	unsigned int expected;
	struct wait w;
	void *ptr;
	int err;

	if (!PyArg_ParseTupleAndKeywords(args, named, "OI|O", names, &offset, &expected, &timeout))
		return NULL;
	ptr = place(r, offset, 4);
	if (!ptr || wait_begin(&w, timeout, SLICE_US))
		return NULL;
	err = WAIT(&r->h, &w, dsm_wait(ctx_of(r), ptr, expected, us_));
	if (err)
		return error_raise(err, "waiting for a word of region '%s'",
				   dsm_region_name(r->region));
	Py_RETURN_NONE;
}

static PyObject *py_wake(PyObject *self, PyObject *offset)
{
	struct region *r = (struct region *)self;
	void *ptr = place(r, offset, 4);
	int n;

	if (!ptr)
		return NULL;
	n = RELEASED(&r->h, dsm_wake(ctx_of(r), ptr));
	return n < 0 ? error_raise(n, "cannot wake") : PyLong_FromLong(n);
}

static PyObject *py_name(PyObject *self, void *unused)
{
	const struct region *r = (struct region *)self;

	(void)unused;
	return handle_check(&r->h) ? NULL : PyUnicode_FromString(dsm_region_name(r->region));
}

static PyObject *py_address(PyObject *self, void *unused)
{
	const struct region *r = (struct region *)self;

	(void)unused;
	return handle_check(&r->h) ? NULL : PyLong_FromVoidPtr(dsm_region_base(r->region));
}

static Py_ssize_t region_length(PyObject *self)
{
	const struct region *r = (struct region *)self;

	return handle_check(&r->h) ? -1 : (Py_ssize_t)dsm_region_size(r->region);
}

static PyMethodDef methods[] = {
	HANDLE_METHODS,
	{ "alloc", KEYWORDS(py_alloc),
	  "alloc(size, offset=None)\n--\n\n"
	  "Allocate whole pages, zeroed (at offset, if given); the offset of the first byte." },
	{ "release", py_release, METH_O,
	  "release(offset, /)\n--\n\nGive back what alloc() gave, on any node." },
	{ "prefetch", KEYWORDS(py_prefetch),
	  "prefetch(offset, size, write=False)\n--\n\nAsk for pages without waiting: a hint." },
	{ "page", py_page, METH_O, "page(offset, /)\n--\n\nThe page of this byte: a PageInfo." },
	{ "wait", KEYWORDS(py_wait),
	  "wait(offset, expected, timeout=None)\n--\n\n"
	  "Sleep while the 32-bit word at offset is expected. It may return for no reason: look "
	  "again." },
	{ "wake", py_wake, METH_O,
	  "wake(offset, /)\n--\n\nWake this node's threads that wait at offset; how many." },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef getters[] = {
	HANDLE_CLOSED,
	{ "name", py_name, NULL, "The region's name.", NULL },
	{ "address", py_address, NULL, "Where it is mapped: the same on every node.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot slots[] = {
	{ Py_tp_doc,
	  "Region(name='default', size=0, *, cluster=None, exclusive=False)\n--\n\n"
	  "A region of the cluster, a buffer of bytes. size > 0: made when it is not there;\n"
	  "exclusive: Exists when it is. len() is its size." },
	{ Py_tp_init, region_init },
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_methods, methods },
	{ Py_tp_getset, getters },
	{ Py_sq_length, region_length },
	{ Py_bf_getbuffer, region_buffer },
	{ Py_bf_releasebuffer, region_unbuffer },
	{ 0, NULL },
};
static PyType_Spec spec = {
	.name = "dsm._dsm.Region",
	.basicsize = sizeof(struct region),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = slots,
};

static PyStructSequence_Field page_fields[] = {
	{ "owner_id", "node that may write it; where none may, its home" },
	{ "state", "'INVALID', 'SHARED', 'MODIFIED' or 'PENDING', at this node" },
	{ "offset", "of its first byte in the region" },
	{ "version", "of its content: grows with each writer" },
	{ "dirty", "written here since it was fetched" },
	{ NULL, NULL },
};
static PyStructSequence_Desc page_desc = { "dsm.PageInfo", "One page, as this node sees it.",
					   page_fields, 5 };

int region_setup(PyObject *module)
{
	if (record_add(module, &page_desc, &page_type))
		return -1;
	return type_add(module, &spec, &region_type);
}
