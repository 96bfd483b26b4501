/* SPDX-License-Identifier: MIT */
/* Heap: heap.c gives and takes blocks, heap_report.c tells what it looks like. */
#ifndef DSM_PYTHON_HEAP_H
#define DSM_PYTHON_HEAP_H

#include <dsm/heap.h>

#include "lib/python/module.h"

struct heap {
	struct handle h;
	dsm_heap_t *heap;
};

PyObject *heap_report(PyObject *self, PyObject *unused);
PyObject *heap_validate(PyObject *self, PyObject *unused);
PyObject *heap_dump(PyObject *self, PyObject *args, PyObject *named);
PyObject *heap_picture(PyObject *self, PyObject *args, PyObject *named);
int heap_report_setup(PyObject *module);

#endif
