// SPDX-License-Identifier: MIT
/* dsm.segments() and dsm.unlink(): segments by name. */
#include <string.h>

#include "lib/python/module.h"

/* NULL: the segments of this host. Others: a reference to their cluster. 0, or -1 with an exception. */
static int where(PyObject *argument, struct cluster **ret)
{
	*ret = argument && argument != Py_None ? cluster_of(argument) : NULL;
	return PyErr_Occurred() ? -1 : 0;
}

static PyObject *py_segments(PyObject *module, PyObject *args)
{
	PyObject *argument = NULL, *list;
	struct cluster *c;
	char **uris;
	int n;

	(void)module;
	if (!PyArg_ParseTuple(args, "|O", &argument) || where(argument, &c))
		return NULL;
	n = c ? RELEASED(&c->h, dsm_segment_list(c->ctx, &uris)) : dsm_segment_list(NULL, &uris);
	Py_XDECREF((PyObject *)c);
	if (n < 0)
		return error_last(n);
	list = PyList_New(0);
	for (int i = 0; list && i < n; i++) {
		PyObject *uri = PyUnicode_DecodeFSDefault(uris[i]);

		if (!uri || PyList_Append(list, uri))
			Py_CLEAR(list);
		Py_XDECREF(uri);
	}
	dsm_segment_list_free(uris);
	return list;
}

static PyObject *py_unlink(PyObject *module, PyObject *args, PyObject *named)
{
	static char *names[] = { "uri", "cluster", NULL };
	PyObject *argument = NULL;
	struct cluster *c = NULL;
	const char *uri;
	int err;

	(void)module;
	if (!PyArg_ParseTupleAndKeywords(args, named, "s|O", names, &uri, &argument))
		return NULL;
	if (!strncmp(uri, "dsm:", 4)) {
		c = cluster_of(argument);
		if (!c)
			return NULL;
	}
	err = c ? RELEASED(&c->h, dsm_segment_unlink(uri, c->ctx)) : dsm_segment_unlink(uri, NULL);
	Py_XDECREF((PyObject *)c);
	return error_or_none(err);
}

static PyMethodDef functions[] = {
	{ "segments", py_segments, METH_VARARGS,
	  "segments(cluster=None, /)\n--\n\nThe URIs of the segments of this host, or of a "
	  "Cluster." },
	{ "unlink", KEYWORDS(py_unlink),
	  "unlink(uri, cluster=None)\n--\n\n"
	  "Remove a segment's name: who has it open goes on with it (shm), or gets SIGBUS (dsm)." },
	{ NULL, NULL, 0, NULL },
};

int directory_setup(PyObject *module)
{
	return PyModule_AddFunctions(module, functions);
}
