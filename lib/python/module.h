/* SPDX-License-Identifier: MIT */
/*
 * Inside the Python module: what its files share.
 *
 * Handles. Every object that stands for something open in libdsm begins with a
 * struct handle. A child (a map) holds a reference to its parent (a segment), so nothing is
 * freed under it; closing a parent closes its children first. Nothing is closed while a
 * buffer looks into its memory, or while another thread is in one of its calls.
 *
 * The GIL. All fields here are guarded by it. It is released around every call that
 * may wait (WAIT), and around every call at all on memory of a cluster, where a
 * page may have to come from another machine (CALL).
 */
#ifndef DSM_PYTHON_MODULE_H
#define DSM_PYTHON_MODULE_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include <dsm/context.h>
#include <dsm/segment.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

struct handle {
	PyObject_HEAD struct handle *parent; /* a reference, or NULL */
	struct handle *children;	     /* open ones, no references */
	struct handle *next, **link;
	const struct handle_kind *kind;
	Py_ssize_t exports; /* buffers over its memory that somebody holds */
	char *low, *high;  /* of a cluster's child: what they and its children's ever looked into */
	unsigned int busy; /* threads in a call without the GIL */
	bool open;
	bool remote; /* its memory may be on another machine */
};

/* What closing means for one type. */
struct handle_kind {
	const char *name;
	void (*shut)(struct handle *h); /* nobody uses it any more */
};

/* ------------------------------------------------------------ handles: handle.c */

/* @h is open from now on, under @parent (a reference is taken; NULL: none). */
void handle_open(struct handle *h, struct handle *parent, const struct handle_kind *kind);
/* 0, or -1 with BufferError or Busy set. Closed already: 0. */
int handle_close(struct handle *h);
/*
 * At the end of the program. Clusters are left whatever looks into their memory, so that other
 * nodes get its pages; of what is on this host, all that is not used is closed, so
 * that its peers see an end and no death.
 */
void handle_leave_all(void);
/* getbuffer of @self, whose memory [ptr, ptr + size) belongs to @h. 0, or -1 with an exception. */
int handle_export(struct handle *h, PyObject *self, void *ptr, size_t size, bool readonly,
		  Py_buffer *view, int flags);
/* 0, or -1 with Error (EBADF) set. */
int handle_check(const struct handle *h);
/* tp_dealloc of every handle. */
void handle_dealloc(PyObject *self);
/* close(), __enter__(), __exit__() of every handle; the getter of "closed". */
PyObject *handle_py_close(PyObject *self, PyObject *unused);
PyObject *handle_py_enter(PyObject *self, PyObject *unused);
PyObject *handle_py_exit(PyObject *self, PyObject *args);
PyObject *handle_py_closed(PyObject *self, void *unused);

#define HANDLE_METHODS                                                                             \
	{ "close", handle_py_close, METH_NOARGS,                                                   \
	  "close()\n--\n\nEnd its use; what it names stays. Closes what was opened in it." },      \
		{ "__enter__", handle_py_enter, METH_NOARGS, "__enter__()\n--\n\nItself." },       \
	{                                                                                          \
		"__exit__", handle_py_exit, METH_VARARGS, "__exit__(*exc)\n--\n\nclose()."         \
	}
#define HANDLE_CLOSED                                                                              \
	{                                                                                          \
		"closed", handle_py_closed, NULL, "True after close().", NULL                      \
	}

int buffer_setup(PyObject *module); /* buffer.c */
/* A memoryview of [ptr, ptr + size), which keeps @owner open; NULL with an exception. */
PyObject *buffer_view(struct handle *owner, void *ptr, size_t size, bool readonly);

/* ------------------------------------------------------------ errors: error.c */

extern PyObject *error_base;
/* Always NULL, with the exception for the negative errno @err set; @format says what failed. */
PyObject *error_raise(int err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same with the words of dsm_last_error(). */
PyObject *error_last(int err);
/* None, or error_last() where @err is negative. */
PyObject *error_or_none(int err);
/* Conflict, with the words of dsm_last_error(). */
PyObject *error_conflict(void);
int error_setup(PyObject *module);

/* ------------------------------------------------------------ waiting: wait.c */

/* A wait that signals interrupt: it is cut into slices on the main thread. */
struct wait {
	uint64_t end_ns; /* UINT64_MAX: none */
	uint64_t slice_us;
};

/* Longest time a signal goes unseen: in a structure; in a wait for turns, whose place is lost then. */
#define SLICE_US      100000u
#define SLICE_TURN_US 500000u

/* @timeout: seconds, None: no limit. 0, or -1 with an exception. */
int wait_begin(struct wait *w, PyObject *timeout, uint64_t slice_us);
/* Microseconds to wait now. */
uint64_t wait_slice(struct wait *w);
/* Whether to wait on after @result. Where a signal handler raised, *@result is -EINTR. */
bool wait_again(struct wait *w, int *result);

/* The result of @call, a wait of at most us_ microseconds of @h, repeated as long as @w says. */
#define WAIT(h, w, call)                                                                           \
	({                                                                                         \
		int result_;                                                                       \
		do {                                                                               \
			uint64_t us_ = wait_slice(w);                                              \
			PyThreadState *state_;                                                     \
                                                                                                   \
			(h)->busy++;                                                               \
			state_ = PyEval_SaveThread();                                              \
			result_ = (call);                                                          \
			PyEval_RestoreThread(state_);                                              \
			(h)->busy--;                                                               \
		} while (wait_again(w, &result_));                                                 \
		result_;                                                                           \
	})

/* The value of @call, made without the GIL. */
#define RELEASED(h, call)                                                                          \
	({                                                                                         \
		PyThreadState *state_;                                                             \
		__typeof__(call) result_;                                                          \
                                                                                                   \
		(h)->busy++;                                                                       \
		state_ = PyEval_SaveThread();                                                      \
		result_ = (call);                                                                  \
		PyEval_RestoreThread(state_);                                                      \
		(h)->busy--;                                                                       \
		result_;                                                                           \
	})
/* The value of @call, made without the GIL where the memory may be far away. */
#define CALL(h, call) ((h)->remote ? RELEASED(h, call) : (call))

/* ------------------------------------------------------------ clusters: cluster.c */

struct cluster {
	struct handle h;
	dsm_t *ctx;
};
/* A reference to the cluster that an argument means; NULL or None: the default one, opened if need be. */
struct cluster *cluster_of(PyObject *argument);
/* Opens @h under that cluster. 0, or -1 with an exception. */
int cluster_child(struct handle *h, PyObject *cluster, const struct handle_kind *kind);
int cluster_setup(PyObject *module);
int region_setup(PyObject *module);  /* region.c */
int lock_setup(PyObject *module);    /* lock.c: Lock and RWLock */
int barrier_setup(PyObject *module); /* barrier.c */

/* ------------------------------------------------------------ segments: segment.c */

struct segment {
	struct handle h;
	dsm_segment_t *seg;
};
extern PyTypeObject *segment_type;
/* A reference to the segment that an argument means: a Segment, or a URI to be opened. */
struct segment *segment_of(PyObject *argument);
/* The same for the __init__() of @h, which is not to be open. */
struct segment *segment_parent(const struct handle *h, const struct handle_kind *kind,
			       PyObject *argument);
/* Its end: @h is open in @s unless there is an @err. The reference goes. 0, or -1 with an exception. */
int segment_child(struct handle *h, struct segment *s, const struct handle_kind *kind, int err);
/* The function remove(segment, name) of a structure's type. */
PyObject *segment_remove(PyObject *args, int (*take_away)(dsm_segment_t *seg, const char *name));
int segment_setup(PyObject *module);
int directory_setup(PyObject *module); /* directory.c */
int heap_setup(PyObject *module);      /* heap.c */

/* ------------------------------------------------------------ small helpers: values.c */

/* Two fields of a PyMethodDef. */
#define KEYWORDS(f) (PyCFunction)(void (*)(void))(f), METH_VARARGS | METH_KEYWORDS
#define FAST(f)	    (PyCFunction)(void (*)(void))(f), METH_FASTCALL

/* Adds a type made from @spec to the module; *@ret, borrowed. 0 or -1. */
int type_add(PyObject *module, PyType_Spec *spec, PyTypeObject **ret);
/* A named tuple's type, added to the module. */
int record_add(PyObject *module, PyStructSequence_Desc *desc, PyTypeObject **ret);
/* A record; takes the references of all @n values. NULL when one is NULL. */
PyObject *record_make(PyTypeObject *type, PyObject *const *values, int n);
/* Bytes of str, or of anything with a buffer. Release with PyBuffer_Release(). 0 or -1. */
int bytes_get(PyObject *o, Py_buffer *ret);
/* A number in 0..@max. 0, or -1 with an exception that names @what. */
int number_get(PyObject *o, uint64_t max, const char *what, uint64_t *ret);

#endif
