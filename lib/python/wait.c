// SPDX-License-Identifier: MIT
/*
 * Waits that ^C ends. libdsm sleeps through signals; so the main thread, the
 * only one where Python runs their handlers, sleeps in slices and looks in between.
 */
#include <time.h>
#include <unistd.h>

#include "lib/python/module.h"

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int wait_begin(struct wait *w, PyObject *timeout, uint64_t slice_us)
{
	double seconds;

	w->slice_us = gettid() == getpid() ? slice_us : DSM_FOREVER;
	w->end_ns = UINT64_MAX;
	if (!timeout || timeout == Py_None)
		return 0;
	seconds = PyFloat_AsDouble(timeout);
	if (seconds == -1.0 && PyErr_Occurred())
		return -1;
	if (!(seconds >= 0)) {
		PyErr_SetString(PyExc_ValueError, "a timeout is None, or a number of seconds >= 0");
		return -1;
	}
	/* Longer than a century: none. */
	if (seconds < 3e9)
		w->end_ns = seconds > 0 ? now_ns() + (uint64_t)(seconds * 1e9) : 0;
	return 0;
}

static uint64_t left_us(const struct wait *w)
{
	uint64_t now;

	if (w->end_ns == UINT64_MAX)
		return DSM_FOREVER;
	if (!w->end_ns)
		return 0;
	now = now_ns();
	return now < w->end_ns ? (w->end_ns - now + 999) / 1000 : 0;
}

uint64_t wait_slice(struct wait *w)
{
	uint64_t left = left_us(w);

	return left < w->slice_us ? left : w->slice_us;
}

bool wait_again(struct wait *w, int *result)
{
	if (*result != -ETIMEDOUT)
		return false;
	if (PyErr_CheckSignals()) {
		*result = -EINTR;
		return false;
	}
	return left_us(w) > 0;
}
