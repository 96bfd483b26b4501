// SPDX-License-Identifier: MIT
/* The object behind each memoryview of shared memory: it keeps what it looks into open. */
#include "lib/python/module.h"

struct buffer {
	PyObject_HEAD struct handle *owner; /* a reference */
	void *ptr;
	size_t size;
	bool readonly;
};

static PyTypeObject *buffer_type;

static int buffer_get(PyObject *self, Py_buffer *view, int flags)
{
	struct buffer *b = (struct buffer *)self;

	return handle_export(b->owner, self, b->ptr, b->size, b->readonly, view, flags);
}

static void buffer_release(PyObject *self, Py_buffer *view)
{
	(void)view;
	((struct buffer *)self)->owner->exports--;
}

static void buffer_dealloc(PyObject *self)
{
	struct buffer *b = (struct buffer *)self;
	PyTypeObject *type = Py_TYPE(self);
	freefunc release = PyType_GetSlot(type, Py_tp_free);

	Py_XDECREF((PyObject *)b->owner);
	release(self);
	Py_DECREF(type);
}

PyObject *buffer_view(struct handle *owner, void *ptr, size_t size, bool readonly)
{
	allocfunc make = PyType_GetSlot(buffer_type, Py_tp_alloc);
	struct buffer *b = (struct buffer *)make(buffer_type, 0);
	PyObject *view;

	if (!b)
		return NULL;
	Py_INCREF((PyObject *)owner);
	b->owner = owner;
	b->ptr = ptr;
	b->size = size;
	b->readonly = readonly;
	view = PyMemoryView_FromObject((PyObject *)b);
	Py_DECREF((PyObject *)b);
	return view;
}

int buffer_setup(PyObject *module)
{
	static PyType_Slot slots[] = {
		{ Py_tp_doc, "Shared memory behind a memoryview." },
		{ Py_tp_dealloc, buffer_dealloc },
		{ Py_bf_getbuffer, buffer_get },
		{ Py_bf_releasebuffer, buffer_release },
		{ 0, NULL },
	};
	static PyType_Spec spec = {
		.name = "dsm._dsm.Buffer",
		.basicsize = sizeof(struct buffer),
		.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
		.slots = slots,
	};

	return type_add(module, &spec, &buffer_type);
}
