/* SPDX-License-Identifier: MIT */
/* Map: map.c reads and writes, map_walk.c goes through it and watches, map_type.c has the tables. */
#ifndef DSM_PYTHON_MAP_H
#define DSM_PYTHON_MAP_H

#include <dsm/map.h>

#include "lib/python/module.h"

struct map {
	struct handle h;
	dsm_map_t *map;
	bool text; /* keys and values are str */
};

/* A key or value as Python sees it: bytes, or str. */
PyObject *map_value(const struct map *m, const void *p, size_t size);
/* None, or the exception of a map: a version that was not the one is Conflict. */
PyObject *map_failed(int err);

/* map.c */
PyObject *map_subscript(PyObject *self, PyObject *key);
int map_assign(PyObject *self, PyObject *key, PyObject *value);
int map_contains(PyObject *self, PyObject *key);
Py_ssize_t map_length(PyObject *self);
PyObject *map_get(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *map_get_versioned(PyObject *self, PyObject *key);
PyObject *map_set(PyObject *self, PyObject *args, PyObject *named);
PyObject *map_add(PyObject *self, PyObject *args, PyObject *named);
PyObject *map_cas(PyObject *self, PyObject *args);
PyObject *map_setdefault(PyObject *self, PyObject *args);
PyObject *map_delete(PyObject *self, PyObject *args);
PyObject *map_clear(PyObject *self, PyObject *unused);

/* map_walk.c */
PyObject *map_iter(PyObject *self);
PyObject *map_scan(PyObject *self, PyObject *args);
PyObject *map_watch(PyObject *self, PyObject *args, PyObject *named);
PyObject *map_wait(PyObject *self, PyObject *args, PyObject *named);
PyObject *map_changes(PyObject *self, PyObject *args, PyObject *named);
int map_walk_setup(PyObject *module);

int map_setup(PyObject *module);

#endif
