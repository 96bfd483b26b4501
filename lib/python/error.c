// SPDX-License-Identifier: MIT
/* Exceptions carry the C error: errno, and the words that libdsm had for it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/python/module.h"

PyObject *error_base;

/* One exception of the module, and the errnos that become it. */
struct error_class {
	const char *name, *doc;
	PyObject **also; /* a further base: code that knows only Python's own catches it too */
	int errnos[4];
	PyObject *type;
};

static struct error_class classes[] = {
	{ "dsm.Conflict", "The entry is another one than the caller knew.", NULL, { 0 }, NULL },
	{ "dsm.Timeout",
	  "The time given was over before it happened.",
	  &PyExc_TimeoutError,
	  { ETIMEDOUT },
	  NULL },
	{ "dsm.OwnerDead",
	  "Who held the lock before died with it: look at what it guards.",
	  NULL,
	  { EOWNERDEAD },
	  NULL },
	{ "dsm.NotFound",
	  "There is nothing of that name.",
	  &PyExc_FileNotFoundError,
	  { ENOENT },
	  NULL },
	{ "dsm.Exists", "The name is taken.", &PyExc_FileExistsError, { EEXIST }, NULL },
	{ "dsm.Full",
	  "No memory is left for it, or no place.",
	  NULL,
	  { ENOSPC, ENOMEM, EUSERS, ENOBUFS },
	  NULL },
	{ "dsm.Busy", "Somebody else uses it now.", NULL, { EBUSY, EAGAIN }, NULL },
	{ "dsm.Invalid",
	  "An argument that makes no sense here.",
	  &PyExc_ValueError,
	  { EINVAL, EMSGSIZE, E2BIG, EMEDIUMTYPE },
	  NULL },
	{ "dsm.Damaged",
	  "No segment of this library, or a damaged one.",
	  NULL,
	  { EBADMSG, EPROTO, ESTALE, EUCLEAN },
	  NULL },
	{ "dsm.Disconnected",
	  "The other side, or the node's agent, has gone.",
	  &PyExc_ConnectionError,
	  { ENOTCONN, EPIPE, ECONNRESET, ESHUTDOWN },
	  NULL },
};
static struct error_class *const conflict = &classes[0];
#define CLASSES (sizeof(classes) / sizeof(classes[0]))

static PyObject *class_of(int number)
{
	for (size_t i = 0; i < CLASSES; i++) {
		for (size_t k = 0; k < 4; k++) {
#ifndef DSM_MUTANT_PYTHON_ERRORS_ALIKE
			if (number && classes[i].errnos[k] == number)
				return classes[i].type;
#endif
		}
	}
	return error_base;
}

static PyObject *raise_text(PyObject *type, int err, const char *text)
{
	PyObject *value;

	/* What a signal's handler raised goes first. */
	if (PyErr_Occurred())
		return NULL;
	value = PyObject_CallFunction(type, "is", -err, text);
	if (value)
		PyErr_SetObject(type, value);
	Py_XDECREF(value);
	return NULL;
}

PyObject *error_raise(int err, const char *format, ...)
{
	char text[256], whole[384];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	snprintf(whole, sizeof(whole), "%s: %s", text, strerror(-err));
	return raise_text(class_of(-err), err, whole);
}

PyObject *error_last(int err)
{
	char text[384];
	const char *words = dsm_last_error();

	snprintf(text, sizeof(text), "%s", *words ? words : strerror(-err));
	return raise_text(class_of(-err), err, text);
}

PyObject *error_conflict(void)
{
	return raise_text(conflict->type, -ESTALE, dsm_last_error());
}

PyObject *error_or_none(int err)
{
	if (err < 0)
		return error_last(err);
	Py_RETURN_NONE;
}

static int add(PyObject *module, const char *name, PyObject *type)
{
	return type && !PyModule_AddObjectRef(module, strchr(name, '.') + 1, type) ? 0 : -1;
}

int error_setup(PyObject *module)
{
	error_base = PyErr_NewExceptionWithDoc(
		"dsm.Error", "What libdsm refused: errno is its number, strerror its words.",
		PyExc_OSError, NULL);
	if (add(module, "dsm.Error", error_base))
		return -1;
	for (size_t i = 0; i < CLASSES; i++) {
		struct error_class *c = &classes[i];
		PyObject *bases = c->also ? PyTuple_Pack(2, error_base, *c->also)
					  : PyTuple_Pack(1, error_base);

		if (!bases)
			return -1;
		c->type = PyErr_NewExceptionWithDoc(c->name, c->doc, bases, NULL);
		Py_DECREF(bases);
		if (add(module, c->name, c->type))
			return -1;
	}
	return 0;
}
