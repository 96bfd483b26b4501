/* SPDX-License-Identifier: MIT */
/* Channel: channel.c reads and writes, channel_type.c opens, tells and has the tables. */
#ifndef DSM_PYTHON_CHANNEL_H
#define DSM_PYTHON_CHANNEL_H

#include <dsm/channel.h>

#include "lib/python/module.h"

struct channel {
	struct handle h;
	dsm_channel_t *ch;
	void *scratch; /* size bytes; used with the GIL only */
	size_t size;
	uint64_t number; /* of the value read last */
};

PyObject *channel_write(PyObject *self, PyObject *data);
PyObject *channel_read(PyObject *self, PyObject *unused);
PyObject *channel_read_newer(PyObject *self, PyObject *unused);
PyObject *channel_read_wait(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *channel_read_into(PyObject *self, PyObject *buffer);
PyObject *channel_exchange(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *channel_wait(PyObject *self, PyObject *args, PyObject *named);
PyObject *channel_take_over(PyObject *self, PyObject *unused);
PyObject *channel_reconnect(PyObject *self, PyObject *unused);
PyObject *channel_validate(PyObject *self, PyObject *unused);

/* Never NULL. */
const char *channel_role_name(unsigned int role);
const char *channel_state_name(unsigned int state);
/* 0, or -1 with ValueError. */
int channel_role_number(const char *name, uint32_t *ret);

int channel_setup(PyObject *module);

#endif
