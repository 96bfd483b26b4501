// SPDX-License-Identifier: MIT
/* What a dsm.Heap looks like: whole or not, full or not, and a picture. */
#include <dsm/heap_report.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/python/heap.h"

static PyTypeObject *report_type;

PyObject *heap_report(PyObject *self, PyObject *unused)
{
	struct heap *p = (struct heap *)self;
	struct dsm_heap_report r;
	int err;

	(void)unused;
	if (handle_check(&p->h))
		return NULL;
	err = RELEASED(&p->h, dsm_heap_report(p->heap, &r));
	if (err < 0)
		return error_last(err);
	return record_make(report_type,
			   (PyObject *[]){ PyLong_FromUnsignedLongLong(r.runs),
					   PyLong_FromUnsignedLongLong(r.bytes),
					   PyLong_FromUnsignedLongLong(r.used),
					   PyLong_FromUnsignedLongLong(r.used_bytes),
					   PyLong_FromUnsignedLongLong(r.free),
					   PyLong_FromUnsignedLongLong(r.free_bytes),
					   PyLong_FromUnsignedLongLong(r.largest_free),
					   PyLong_FromUnsignedLongLong(r.freeing),
					   PyLong_FromUnsignedLongLong(r.meta_bytes),
					   PyFloat_FromDouble(r.external),
					   PyFloat_FromDouble(r.internal) },
			   11);
}

/* Called with the GIL released: takes it for the list. */
static int fault_add(void *context, uint64_t off, const char *what)
{
	PyGILState_STATE state = PyGILState_Ensure();
	PyObject *fault = Py_BuildValue("(Ks)", (unsigned long long)off, what);
	int err = !fault || PyList_Append(context, fault);

	Py_XDECREF(fault);
	PyGILState_Release(state);
	return err;
}

PyObject *heap_validate(PyObject *self, PyObject *unused)
{
	struct heap *p = (struct heap *)self;
	PyObject *faults;
	int n;

	(void)unused;
	if (handle_check(&p->h))
		return NULL;
	faults = PyList_New(0);
	if (!faults)
		return NULL;
	n = RELEASED(&p->h, dsm_heap_validate(p->heap, fault_add, faults));
	if (n >= 0 && !PyErr_Occurred())
		return faults;
	Py_DECREF(faults);
	return PyErr_Occurred() ? NULL : error_last(n);
}

/* What @write says to a stream, as str. */
static PyObject *written(struct heap *p, int (*write)(dsm_heap_t *heap, FILE *out, bool way),
			 bool way)
{
	PyObject *text = NULL;
	char *bytes = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&bytes, &size);
	int err;

	if (!out)
		return PyErr_NoMemory();
	err = RELEASED(&p->h, write(p->heap, out, way));
	if (fclose(out) && err >= 0)
		err = -ENOMEM;
	text = err < 0 ? error_last(err) : PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)size, "replace");
	free(bytes);
	return text;
}

PyObject *heap_dump(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "json", NULL };
	struct heap *p = (struct heap *)self;
	int json = 0;

	if (!PyArg_ParseTupleAndKeywords(args, named, "|p", names, &json) || handle_check(&p->h))
		return NULL;
	return written(p, dsm_heap_dump, json);
}

static int draw(dsm_heap_t *heap, FILE *out, bool svg)
{
	return svg ? dsm_heap_picture_svg(heap, out) : dsm_heap_picture(heap, out, NULL);
}

PyObject *heap_picture(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "svg", NULL };
	struct heap *p = (struct heap *)self;
	int svg = 0;

	if (!PyArg_ParseTupleAndKeywords(args, named, "|p", names, &svg) || handle_check(&p->h))
		return NULL;
	return written(p, draw, svg);
}

static PyStructSequence_Field fields[] = {
	{ "runs", "pieces of the segment that it has" },
	{ "bytes", "of these" },
	{ "used", "blocks in use" },
	{ "used_bytes", "their usable bytes" },
	{ "free", "free places" },
	{ "free_bytes", "their bytes" },
	{ "largest_free", "bytes of the largest" },
	{ "freeing", "blocks freed and on their way back" },
	{ "meta_bytes", "headers, tables, alignment" },
	{ "external", "share of the free bytes not in the largest free place" },
	{ "internal", "share of the usable bytes that nobody asked for" },
	{ NULL, NULL },
};
static PyStructSequence_Desc desc = { "dsm.HeapReport", "A heap as a whole.", fields, 11 };

int heap_report_setup(PyObject *module)
{
	return record_add(module, &desc, &report_type);
}
