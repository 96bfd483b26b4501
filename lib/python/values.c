// SPDX-License-Identifier: MIT
/* Python values from C ones and back. */
#include <string.h>

#include "lib/python/module.h"

int type_add(PyObject *module, PyType_Spec *spec, PyTypeObject **ret)
{
	*ret = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
	return *ret ? PyModule_AddType(module, *ret) : -1;
}

int record_add(PyObject *module, PyStructSequence_Desc *desc, PyTypeObject **ret)
{
	*ret = PyStructSequence_NewType(desc);
	return *ret ? PyModule_AddObjectRef(module, strrchr(desc->name, '.') + 1, (PyObject *)*ret)
		    : -1;
}

PyObject *record_make(PyTypeObject *type, PyObject *const *values, int n)
{
	PyObject *record = PyStructSequence_New(type);
	bool whole = record;

	for (int i = 0; i < n; i++) {
		whole &= values[i] != NULL;
		if (record)
			PyStructSequence_SetItem(record, i, values[i]);
		else
			Py_XDECREF(values[i]);
	}
	if (!whole)
		Py_CLEAR(record);
	return record;
}

int bytes_get(PyObject *o, Py_buffer *ret)
{
	Py_ssize_t size;
	const char *text;

	if (!PyUnicode_Check(o))
		return PyObject_GetBuffer(o, ret, PyBUF_SIMPLE);
	text = PyUnicode_AsUTF8AndSize(o, &size);
	return text ? PyBuffer_FillInfo(ret, o, (void *)text, size, 1, PyBUF_SIMPLE) : -1;
}

int number_get(PyObject *o, uint64_t max, const char *what, uint64_t *ret)
{
	PyObject *number = PyNumber_Index(o);
	unsigned long long value;

	if (!number)
		return -1;
	value = PyLong_AsUnsignedLongLong(number);
	Py_DECREF(number);
	if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError))
		return -1;
	if (PyErr_Occurred() || value > max) {
		PyErr_Clear();
		PyErr_Format(PyExc_ValueError, "%s must be between 0 and %llu", what,
			     (unsigned long long)max);
		return -1;
	}
	*ret = value;
	return 0;
}
