// SPDX-License-Identifier: MIT
/* dsm.Heap: blocks of a segment, named by their offset. */
#include <string.h>

#include "lib/python/heap.h"

static void heap_shut(struct handle *h)
{
	dsm_heap_close(((struct heap *)h)->heap);
}

static const struct handle_kind heap_kind = { "heap", heap_shut };

static const char *const strategies[] = { "size_classes", "first_fit", "best_fit", "worst_fit" };
#define STRATEGIES (sizeof(strategies) / sizeof(strategies[0]))

static int strategy_number(const char *name, uint32_t *ret)
{
	for (uint32_t i = 0; i < STRATEGIES; i++) {
		if (!strcmp(name, strategies[i])) {
			*ret = i;
			return 0;
		}
	}
	PyErr_Format(
		PyExc_ValueError,
		"strategy must be 'size_classes', 'first_fit', 'best_fit' or 'worst_fit', not '%s'",
		name);
	return -1;
}

/* Somebody else may make it at the same time. */
static int open_or_create(dsm_segment_t *seg, const struct dsm_heap_options *o, bool create,
			  bool exclusive, dsm_heap_t **ret)
{
	int err = exclusive ? -ENOENT : dsm_heap_open(seg, ret);

	if (err == -ENOENT && create)
		err = dsm_heap_create(seg, o, ret);
	if (err == -EEXIST && !exclusive)
		err = dsm_heap_open(seg, ret);
	return err;
}

static int heap_init(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "segment", "strategy", "guards",    "poison", "log",
				 "reserve", "create",	"exclusive", NULL };
	struct heap *p = (struct heap *)self;
	struct dsm_heap_options o = { 0 };
	const char *strategy = strategies[0];
	unsigned long long reserve = 0;
	int guards = 0, poison = 0, log = 0, create = 1, exclusive = 0, err;
	PyObject *where;
	struct segment *s;

	if (!PyArg_ParseTupleAndKeywords(args, named, "O|$spppKpp", names, &where, &strategy,
					 &guards, &poison, &log, &reserve, &create, &exclusive) ||
	    strategy_number(strategy, &o.strategy))
		return -1;
	s = segment_parent(&p->h, &heap_kind, where);
	if (!s)
		return -1;
	o.flags = (guards ? DSM_HEAP_GUARDS : 0) | (poison ? DSM_HEAP_POISON : 0) |
		  (log ? DSM_HEAP_LOG : 0);
	o.reserve = reserve;
	err = RELEASED(&s->h, open_or_create(s->seg, &o, create, exclusive, &p->heap));
	return segment_child(&p->h, s, &heap_kind, err);
}

/* The offset, or a negative errno: what fails tells by 0 and errno. */
static int64_t allocate(dsm_heap_t *heap, size_t size, size_t align, bool zero)
{
	uint64_t off = align  ? dsm_heap_aligned_alloc(heap, align, size)
		       : zero ? dsm_heap_calloc(heap, 1, size)
			      : dsm_heap_alloc(heap, size);

	if (!off)
		return -errno;
	if (align && zero)
		memset(dsm_heap_ptr(heap, off), 0, size);
	return (int64_t)off;
}

static int64_t reallocate(dsm_heap_t *heap, uint64_t off, size_t size)
{
	uint64_t moved = dsm_heap_realloc(heap, off, size);

	return moved ? (int64_t)moved : -errno;
}

static PyObject *offset_or_error(int64_t off)
{
	return off < 0 ? error_last((int)off) : PyLong_FromLongLong(off);
}

static PyObject *py_alloc(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "size", "align", "zero", NULL };
	struct heap *p = (struct heap *)self;
	Py_ssize_t size, align = 0;
	int zero = 0;

	if (!PyArg_ParseTupleAndKeywords(args, named, "n|np", names, &size, &align, &zero) ||
	    handle_check(&p->h))
		return NULL;
	if (size < 0 || align < 0)
		return error_raise(-EINVAL, "a size or alignment below 0");
	return offset_or_error(CALL(&p->h, allocate(p->heap, (size_t)size, (size_t)align, zero)));
}

static PyObject *py_realloc(PyObject *self, PyObject *args)
{
	struct heap *p = (struct heap *)self;
	PyObject *offset;
	Py_ssize_t size;
	uint64_t off;

	if (!PyArg_ParseTuple(args, "On", &offset, &size) || handle_check(&p->h) ||
	    number_get(offset, INT64_MAX, "offset", &off))
		return NULL;
	if (size < 0)
		return error_raise(-EINVAL, "a size below 0");
	return offset_or_error(CALL(&p->h, reallocate(p->heap, off, (size_t)size)));
}

static PyObject *py_free(PyObject *self, PyObject *offset)
{
	struct heap *p = (struct heap *)self;
	uint64_t off;

	if (handle_check(&p->h) || number_get(offset, INT64_MAX, "offset", &off))
		return NULL;
	return error_or_none(CALL(&p->h, dsm_heap_free(p->heap, off)));
}

static PyObject *py_usable(PyObject *self, PyObject *offset)
{
	struct heap *p = (struct heap *)self;
	uint64_t off;

	if (handle_check(&p->h) || number_get(offset, INT64_MAX, "offset", &off))
		return NULL;
	return PyLong_FromSize_t(CALL(&p->h, dsm_heap_usable_size(p->heap, off)));
}

static PyObject *py_view(PyObject *self, PyObject *args)
{
	struct heap *p = (struct heap *)self;
	PyObject *offset, *length = Py_None;
	uint64_t off, size, usable;

	if (!PyArg_ParseTuple(args, "O|O", &offset, &length) || handle_check(&p->h) ||
	    number_get(offset, INT64_MAX, "offset", &off))
		return NULL;
	usable = CALL(&p->h, dsm_heap_usable_size(p->heap, off));
	if (!usable)
		return error_raise(-EINVAL, "no block begins at offset %llu",
				   (unsigned long long)off);
	size = usable;
	if (length != Py_None && number_get(length, usable, "size", &size))
		return NULL;
	return buffer_view(&p->h, dsm_heap_ptr(p->heap, off), size, false);
}

static PyObject *py_flush(PyObject *self, PyObject *unused)
{
	struct heap *p = (struct heap *)self;

	(void)unused;
	if (handle_check(&p->h))
		return NULL;
	return error_or_none(CALL(&p->h, dsm_heap_flush(p->heap)));
}

static PyObject *py_strategy(PyObject *self, void *unused)
{
	struct heap *p = (struct heap *)self;
	uint32_t number;

	(void)unused;
	if (handle_check(&p->h))
		return NULL;
	number = dsm_heap_strategy(p->heap);
	return PyUnicode_FromString(number < STRATEGIES ? strategies[number] : "unknown");
}

static PyMethodDef methods[] = {
	HANDLE_METHODS,
	{ "alloc", KEYWORDS(py_alloc),
	  "alloc(size, align=0, zero=False)\n--\n\n"
	  "A block of at least size bytes, aligned to 16 (or align); its offset. Full." },
	{ "realloc", py_realloc, METH_VARARGS,
	  "realloc(offset, size, /)\n--\n\nMake a block larger or smaller; its offset from now "
	  "on." },
	{ "free", py_free, METH_O,
	  "free(offset, /)\n--\n\nFree a block, whoever allocated it; 0 does nothing. Invalid: "
	  "none begins\n"
	  "there. Views of it must not be used any more." },
	{ "usable_size", py_usable, METH_O,
	  "usable_size(offset, /)\n--\n\nBytes of the block that may be used; 0: none begins "
	  "there." },
	{ "view", py_view, METH_VARARGS,
	  "view(offset, size=None, /)\n--\n\nA writable memoryview of a block, or its first size "
	  "bytes." },
	{ "flush", py_flush, METH_NOARGS,
	  "flush()\n--\n\nHand back at once what this thread freed of others' blocks." },
	{ "report", heap_report, METH_NOARGS,
	  "report()\n--\n\nThe heap as a whole: a HeapReport." },
	{ "validate", heap_validate, METH_NOARGS,
	  "validate()\n--\n\nWhat is damaged: a list of (offset, words), at rest." },
	{ "dump", KEYWORDS(heap_dump),
	  "dump(json=False)\n--\n\nEvery run and every block, as text or as one JSON object." },
	{ "picture", KEYWORDS(heap_picture),
	  "picture(svg=False)\n--\n\nThe map of blocks, for a terminal or as an SVG image." },
	{ NULL, NULL, 0, NULL },
};
static PyGetSetDef getters[] = {
	HANDLE_CLOSED,
	{ "strategy", py_strategy, NULL, "As it was created with.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};
static PyType_Slot slots[] = {
	{ Py_tp_doc, "Heap(segment, *, strategy='size_classes', guards=False, poison=False, "
		     "log=False, reserve=0, "
		     "create=True, exclusive=False)\n--\n\n"
		     "The heap of a segment, which has one at most; made where it is not there. "
		     "The other options\n"
		     "are those of one that is made: strategy is size_classes, first_fit, best_fit "
		     "or worst_fit,\n"
		     "guards show writes beyond a block, poison fills blocks, log notes every "
		     "operation." },
	{ Py_tp_init, heap_init },
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_methods, methods },
	{ Py_tp_getset, getters },
	{ 0, NULL },
};
static PyType_Spec spec = {
	.name = "dsm._dsm.Heap",
	.basicsize = sizeof(struct heap),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = slots,
};

int heap_setup(PyObject *module)
{
	PyTypeObject *type;

	return heap_report_setup(module) || type_add(module, &spec, &type) ? -1 : 0;
}
