// SPDX-License-Identifier: MIT
/* Reading and writing a dsm.Map. */
#include <stdlib.h>

#include "lib/python/map.h"

#define ON_STACK 1024

PyObject *map_value(const struct map *m, const void *p, size_t size)
{
	return m->text ? PyUnicode_DecodeUTF8(p, (Py_ssize_t)size, NULL)
		       : PyBytes_FromStringAndSize(p, (Py_ssize_t)size);
}

PyObject *map_failed(int err)
{
	return err == -ESTALE ? error_conflict() : error_last(err);
}

/* Milliseconds of a time to live in seconds; None: 0. 0, or -1 with an exception. */
static int ttl_get(PyObject *ttl, uint64_t *ret)
{
	double seconds;

	*ret = 0;
	if (ttl == Py_None)
		return 0;
	seconds = PyFloat_AsDouble(ttl);
	if (seconds == -1.0 && PyErr_Occurred())
		return -1;
	if (!(seconds > 0 && seconds < 1e15)) {
		PyErr_SetString(PyExc_ValueError, "ttl must be a number of seconds > 0, or None");
		return -1;
	}
	*ret = seconds < 0.001 ? 1 : (uint64_t)(seconds * 1000);
	return 0;
}

/* The value of @key, @ret_version its version; NULL where there is none, without an exception. */
static PyObject *lookup(struct map *m, const Py_buffer *key, uint64_t *ret_version)
{
	char stack[ON_STACK], *room = stack;
	size_t size = sizeof(stack);
	PyObject *value = NULL;
	ssize_t got;

	for (;;) {
		got = CALL(&m->h, dsm_map_get(m->map, key->buf, (size_t)key->len, room, size,
					      ret_version));
		if (got <= (ssize_t)size)
			break;
		/* It may be replaced by a longer one each time. */
		size = (size_t)got;
		if (room != stack)
			free(room);
		room = malloc(size);
		if (!room)
			return PyErr_NoMemory();
	}
	if (got >= 0)
		value = map_value(m, room, (size_t)got);
	else if (got != -ENOENT)
		map_failed((int)got);
	if (room != stack)
		free(room);
	return value;
}

static PyObject *find(PyObject *self, PyObject *key, uint64_t *ret_version)
{
	struct map *m = (struct map *)self;
	PyObject *value;
	Py_buffer k;

	if (handle_check(&m->h) || bytes_get(key, &k))
		return NULL;
	value = lookup(m, &k, ret_version);
	PyBuffer_Release(&k);
	return value;
}

PyObject *map_subscript(PyObject *self, PyObject *key)
{
	PyObject *value = find(self, key, NULL);

	if (!value && !PyErr_Occurred())
		PyErr_SetObject(PyExc_KeyError, key);
	return value;
}

PyObject *map_get(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	PyObject *value;

	if (n < 1 || n > 2) {
		PyErr_SetString(PyExc_TypeError, "get() takes a key and a default");
		return NULL;
	}
	value = find(self, args[0], NULL);
	if (!value && !PyErr_Occurred())
		value = Py_NewRef(n > 1 ? args[1] : Py_None);
	return value;
}

PyObject *map_get_versioned(PyObject *self, PyObject *key)
{
	uint64_t version = 0;
	PyObject *value = find(self, key, &version);

	if (!value && !PyErr_Occurred())
		PyErr_SetObject(PyExc_KeyError, key);
	return value ? Py_BuildValue("(NK)", value, (unsigned long long)version) : NULL;
}

/* What the functions below do to a key and a value. */
struct change {
	enum { SET, ADD, CAS } what;
	uint64_t ttl_ms;
	uint64_t version; /* CAS: that must be there; the new one afterwards */
};

static int change_do(struct map *m, const Py_buffer *k, const Py_buffer *v, struct change *c)
{
	size_t ks = (size_t)k->len, vs = (size_t)v->len;

	if (c->what == ADD)
		return dsm_map_add(m->map, k->buf, ks, v->buf, vs, c->ttl_ms, &c->version);
	if (c->what == CAS)
		return dsm_map_cas(m->map, k->buf, ks, c->version, v->buf, vs, &c->version);
	if (c->ttl_ms)
		return dsm_map_set_ttl(m->map, k->buf, ks, v->buf, vs, c->ttl_ms, &c->version);
	return dsm_map_set(m->map, k->buf, ks, v->buf, vs, &c->version);
}

/* 0, or -1 with an exception. */
static int change(PyObject *self, PyObject *key, PyObject *value, struct change *c)
{
	struct map *m = (struct map *)self;
	Py_buffer k, v;
	int err;

	if (handle_check(&m->h) || bytes_get(key, &k))
		return -1;
	if (bytes_get(value, &v)) {
		PyBuffer_Release(&k);
		return -1;
	}
	err = CALL(&m->h, change_do(m, &k, &v, c));
	PyBuffer_Release(&k);
	PyBuffer_Release(&v);
	if (err < 0)
		map_failed(err);
	return err < 0 ? -1 : 0;
}

/* 0, or -1 with an exception; KeyError where the key is absent. */
static int delete (PyObject *self, PyObject *key, const uint64_t *version)
{
	struct map *m = (struct map *)self;
	Py_buffer k;
	int err;

	if (handle_check(&m->h) || bytes_get(key, &k))
		return -1;
	err = version ? CALL(&m->h, dsm_map_delete_version(m->map, k.buf, (size_t)k.len, *version))
		      : CALL(&m->h, dsm_map_delete(m->map, k.buf, (size_t)k.len));
	PyBuffer_Release(&k);
	if (err == -ENOENT)
		PyErr_SetObject(PyExc_KeyError, key);
	else if (err < 0)
		map_failed(err);
	return err < 0 ? -1 : 0;
}

int map_assign(PyObject *self, PyObject *key, PyObject *value)
{
	struct change c = { .what = SET };

	return value ? change(self, key, value, &c) : delete (self, key, NULL);
}

static PyObject *changed(PyObject *self, PyObject *key, PyObject *value, struct change *c)
{
	return change(self, key, value, c) ? NULL : PyLong_FromUnsignedLongLong(c->version);
}

static PyObject *set_or_add(PyObject *self, PyObject *args, PyObject *named, struct change *c)
{
	static char *names[] = { "key", "value", "ttl", NULL };
	PyObject *key, *value, *ttl = Py_None;

	if (!PyArg_ParseTupleAndKeywords(args, named, "OO|O", names, &key, &value, &ttl) ||
	    ttl_get(ttl, &c->ttl_ms))
		return NULL;
	return changed(self, key, value, c);
}

PyObject *map_set(PyObject *self, PyObject *args, PyObject *named)
{
	struct change c = { .what = SET };

	return set_or_add(self, args, named, &c);
}

PyObject *map_add(PyObject *self, PyObject *args, PyObject *named)
{
	struct change c = { .what = ADD };

	return set_or_add(self, args, named, &c);
}

PyObject *map_cas(PyObject *self, PyObject *args)
{
	struct change c = { .what = CAS };
	PyObject *key, *version, *value;

	if (!PyArg_ParseTuple(args, "OOO", &key, &version, &value) ||
	    number_get(version, UINT64_MAX, "version", &c.version))
		return NULL;
	return changed(self, key, value, &c);
}

/* 1: @v is the value now; 0: another one is there; or a negative errno. */
static int insert(struct map *m, const Py_buffer *k, const Py_buffer *v)
{
	bool inserted = false;
	ssize_t got = dsm_map_get_or_insert(m->map, k->buf, (size_t)k->len, v->buf, (size_t)v->len,
					    NULL, 0, &inserted);

	return got < 0 ? (int)got : inserted;
}

PyObject *map_setdefault(PyObject *self, PyObject *args)
{
	struct map *m = (struct map *)self;
	PyObject *key, *value, *result = NULL;
	Py_buffer k, v;
	int got;

	if (!PyArg_ParseTuple(args, "OO", &key, &value) || handle_check(&m->h) ||
	    bytes_get(key, &k))
		return NULL;
	if (!bytes_get(value, &v)) {
		do {
			got = CALL(&m->h, insert(m, &k, &v));
			if (got < 0)
				map_failed(got);
			else
				result = got ? map_value(m, v.buf, (size_t)v.len)
					     : lookup(m, &k, NULL);
			/* Who was there may be deleted before it is read. */
		} while (!result && !PyErr_Occurred());
		PyBuffer_Release(&v);
	}
	PyBuffer_Release(&k);
	return result;
}

PyObject *map_delete(PyObject *self, PyObject *args)
{
	PyObject *key, *version = Py_None;
	uint64_t number = 0;

	if (!PyArg_ParseTuple(args, "O|O", &key, &version) ||
	    (version != Py_None && number_get(version, UINT64_MAX, "version", &number)) ||
	    delete (self, key, version == Py_None ? NULL : &number))
		return NULL;
	Py_RETURN_NONE;
}

PyObject *map_clear(PyObject *self, PyObject *unused)
{
	struct map *m = (struct map *)self;
	int64_t n;

	(void)unused;
	if (handle_check(&m->h))
		return NULL;
	n = RELEASED(&m->h, dsm_map_clear(m->map));
	return n < 0 ? map_failed((int)n) : PyLong_FromLongLong(n);
}

int map_contains(PyObject *self, PyObject *key)
{
	struct map *m = (struct map *)self;
	ssize_t got;
	Py_buffer k;

	if (handle_check(&m->h) || bytes_get(key, &k))
		return -1;
	got = CALL(&m->h, dsm_map_get(m->map, k.buf, (size_t)k.len, NULL, 0, NULL));
	PyBuffer_Release(&k);
	if (got >= 0 || got == -ENOENT)
		return got >= 0;
	map_failed((int)got);
	return -1;
}

Py_ssize_t map_length(PyObject *self)
{
	struct map *m = (struct map *)self;
	int64_t n;

	if (handle_check(&m->h))
		return -1;
	n = CALL(&m->h, dsm_map_count(m->map));
	if (n < 0)
		map_failed((int)n);
	return n < 0 ? -1 : (Py_ssize_t)n;
}
