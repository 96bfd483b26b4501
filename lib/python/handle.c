// SPDX-License-Identifier: MIT
/* What is open, in which order it is closed, and who looks into its memory. */
#include <sys/mman.h>

#include "lib/python/module.h"

/* Open ones without a parent, no references. */
static struct handle *tops;

void handle_open(struct handle *h, struct handle *parent, const struct handle_kind *kind)
{
	struct handle **list = parent ? &parent->children : &tops;

	h->kind = kind;
	h->open = true;
	h->parent = parent;
	if (parent) {
		Py_INCREF((PyObject *)parent);
		h->remote |= parent->remote;
	}
	h->next = *list;
	if (h->next)
		h->next->link = &h->next;
	h->link = list;
	*list = h;
}

static void unlink_child(struct handle *h)
{
	if (!h->link)
		return;
	*h->link = h->next;
	if (h->next)
		h->next->link = h->link;
	h->link = NULL;
}

static void shut(struct handle *h)
{
	while (h->children)
		shut(h->children);
	unlink_child(h);
	h->open = false;
	h->kind->shut(h);
}

static bool somebody_in(const struct handle *h)
{
	if (h->busy)
		return true;
	for (const struct handle *c = h->children; c; c = c->next) {
		if (somebody_in(c))
			return true;
	}
	return false;
}

static Py_ssize_t views(const struct handle *h)
{
	Py_ssize_t n = h->exports;

	for (const struct handle *c = h->children; c; c = c->next)
		n += views(c);
	return n;
}

int handle_close(struct handle *h)
{
	if (!h->open)
		return 0;
	if (somebody_in(h)) {
		error_raise(-EBUSY, "this %s is in use by another thread", h->kind->name);
		return -1;
	}
	if (views(h)) {
		PyErr_Format(PyExc_BufferError,
			     "cannot close this %s: %zd arrays or memoryviews look into its memory",
			     h->kind->name, views(h));
		return -1;
	}
	shut(h);
	return 0;
}

int handle_export(struct handle *h, PyObject *self, void *ptr, size_t size, bool readonly,
		  Py_buffer *view, int flags)
{
	struct handle *top = h;

	if (handle_check(h) ||
	    PyBuffer_FillInfo(view, self, ptr, (Py_ssize_t)size, readonly, flags))
		return -1;
	h->exports++;
	while (top->parent && top->parent->parent)
		top = top->parent;
	if (!top->low || (char *)ptr < top->low)
		top->low = ptr;
	if ((char *)ptr + size > top->high)
		top->high = (char *)ptr + size;
	return 0;
}

/* Memory that somebody still looks into. */
struct span {
	void *base;
	size_t size;
};
#define SPANS 64
#define PAGE  4096u

static int spans_find(const struct handle *cluster, struct span *ret)
{
	int n = 0;

	for (const struct handle *c = cluster->children; c && n < SPANS; c = c->next) {
		char *base = (char *)((uintptr_t)c->low & ~(uintptr_t)(PAGE - 1));

		if (views(c))
			ret[n++] = (struct span){ base, (size_t)(c->high - base) };
	}
	return n;
}

/*
 * Arrays may outlive this: what they look into becomes zeros, for nothing
 * that runs at the very end of a program to crash over.
 */
static void abandon(struct handle *h)
{
	struct span spans[SPANS];
	int n = spans_find(h, spans);

	shut(h);
	while (n--)
		(void)mmap(spans[n].base, spans[n].size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
			   0);
}

/* What nobody is in or looks into; the rest stays to the very end, like the host's memory itself. */
static void close_unused(struct handle *h)
{
	for (struct handle *c = h->children, *next; c; c = next) {
		next = c->next;
		close_unused(c);
	}
	if (!h->children && !h->busy && !h->exports)
		shut(h);
}

/* Closing a cluster lets other threads run: the list is begun anew each time. */
void handle_leave_all(void)
{
	while (tops) {
		struct handle *h = tops;

		Py_INCREF((PyObject *)h);
		if (!h->remote)
			close_unused(h);
		else if (!somebody_in(h))
			abandon(h);
		unlink_child(h);
		Py_DECREF((PyObject *)h);
	}
}

int handle_check(const struct handle *h)
{
	if (h->open)
		return 0;
	error_raise(-EBADF, "this %s is closed", h->kind ? h->kind->name : "object");
	return -1;
}

void handle_dealloc(PyObject *self)
{
	struct handle *h = (struct handle *)self;
	PyTypeObject *type = Py_TYPE(self);
	freefunc release = PyType_GetSlot(type, Py_tp_free);

	if (h->open)
		shut(h);
	Py_XDECREF((PyObject *)h->parent);
	release(self);
	Py_DECREF(type);
}

PyObject *handle_py_close(PyObject *self, PyObject *unused)
{
	(void)unused;
	if (handle_close((struct handle *)self))
		return NULL;
	Py_RETURN_NONE;
}

PyObject *handle_py_enter(PyObject *self, PyObject *unused)
{
	(void)unused;
	if (handle_check((struct handle *)self))
		return NULL;
	return Py_NewRef(self);
}

PyObject *handle_py_exit(PyObject *self, PyObject *args)
{
	(void)args;
	return handle_py_close(self, NULL);
}

PyObject *handle_py_closed(PyObject *self, void *unused)
{
	(void)unused;
	return PyBool_FromLong(!((struct handle *)self)->open);
}
