// SPDX-License-Identifier: MIT
/* dsm.Channel: opening it, and what it tells about itself. */
#include <stdlib.h>
#include <string.h>

#include "lib/python/channel.h"

static PyTypeObject *info_type, *seat_type, *flow_type;

static void channel_shut(struct handle *h)
{
	struct channel *c = (struct channel *)h;

	dsm_channel_close(c->ch);
	free(c->scratch);
	c->scratch = NULL;
}

static const struct handle_kind channel_kind = { "channel", channel_shut };

static int channel_start(struct channel *c, struct handle *parent)
{
	c->size = dsm_channel_size(c->ch);
	c->scratch = malloc(c->size ? c->size : 1);
	if (!c->scratch) {
		dsm_channel_close(c->ch);
		PyErr_NoMemory();
		return -1;
	}
	handle_open(&c->h, parent, &channel_kind);
	return 0;
}

/*
 * By the URI of memory of this host libdsm finds a segment that was made anew;
 * in a cluster, the segment is one of ours, so that it belongs to our node.
 */
static int channel_open(struct channel *c, PyObject *where, const char *name,
			const struct dsm_channel_options *o)
{
	const char *uri = PyUnicode_Check(where) ? PyUnicode_AsUTF8AndSize(where, NULL) : NULL;
	struct segment *s = NULL;
	int err, result;

	if (PyErr_Occurred())
		return -1;
	if (uri && strncmp(uri, "dsm:", 4)) {
		err = RELEASED(&c->h, dsm_channel_connect(uri, name, o, &c->ch));
	} else {
		s = segment_of(where);
		if (!s)
			return -1;
		err = RELEASED(&s->h, dsm_channel_open(s->seg, name, o, &c->ch));
	}
	if (err) {
		error_last(err);
		result = -1;
	} else {
		result = channel_start(c, s ? &s->h : NULL);
	}
	Py_XDECREF((PyObject *)s);
	return result;
}

/* Seconds as milliseconds, at least one. 0, or -1 with ValueError. */
static int milliseconds(double seconds, const char *what, uint32_t *ret)
{
	if (!(seconds >= 0 && seconds < 4e6)) {
		PyErr_Format(PyExc_ValueError, "%s must be a number of seconds", what);
		return -1;
	}
	*ret = (uint32_t)(seconds * 1000 + 0.5);
	if (seconds > 0 && !*ret)
		*ret = 1;
	return 0;
}

static int stale_number(const char *name, uint32_t *ret)
{
	static const char *const names[] = { "timeout", "at_once", "never" };

	for (uint32_t i = 0; i < 3; i++) {
		if (!strcmp(name, names[i])) {
			*ret = i;
			return 0;
		}
	}
	PyErr_Format(PyExc_ValueError, "stale must be 'timeout', 'at_once' or 'never', not '%s'",
		     name);
	return -1;
}

static int channel_init(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = { "segment",  "name",	  "role",	 "size",
				 "stale",    "take_over", "stale_after", "retry",
				 "attempts", "total",	  "observe",	 NULL };
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	struct channel *c = (struct channel *)self;
	const char *name = "channel", *role = "auto", *stale = "timeout", *observe = "master";
	double stale_after = 0.1, retry = 0.1, total = 5;
	int take_over = 0;
	PyObject *where;

	if (!PyArg_ParseTupleAndKeywords(args, named, "O|ss$IspddIds", names, &where, &name, &role,
					 &o.size, &stale, &take_over, &stale_after, &retry,
					 &o.attempts, &total, &observe) ||
	    channel_role_number(role, &o.role) || stale_number(stale, &o.stale) ||
	    channel_role_number(observe, &o.observe) ||
	    milliseconds(stale_after, "stale_after", &o.stale_ms) ||
	    milliseconds(retry, "retry", &o.retry_ms) || milliseconds(total, "total", &o.total_ms))
		return -1;
	if (c->h.open) {
		error_raise(-EBUSY, "this channel is open already");
		return -1;
	}
	o.take_over = take_over != 0;
	return channel_open(c, where, name, &o);
}

static PyObject *py_remove(PyObject *type, PyObject *args)
{
	(void)type;
	return segment_remove(args, dsm_channel_remove);
}

static PyObject *seat(const struct dsm_channel_seat_info *s)
{
	return record_make(seat_type,
			   (PyObject *[]){ PyUnicode_FromString(channel_state_name(s->state)),
					   PyLong_FromUnsignedLong(s->pid),
					   PyLong_FromUnsignedLong(s->node),
					   PyLong_FromUnsignedLong(s->seated),
					   PyLong_FromUnsignedLongLong(s->beats),
					   PyFloat_FromDouble((double)s->silent_us / 1e6),
					   PyFloat_FromDouble((double)s->since_ns / 1e9) },
			   7);
}

static PyObject *flow(const struct dsm_channel_flow_info *f)
{
	return record_make(flow_type,
			   (PyObject *[]){ PyLong_FromUnsignedLongLong(f->written),
					   PyLong_FromUnsignedLongLong(f->read),
					   PyLong_FromUnsignedLongLong(f->missed),
					   PyFloat_FromDouble(f->rate),
					   PyFloat_FromDouble(f->read_rate),
					   PyLong_FromUnsignedLong(f->newest) },
			   6);
}

static PyObject *py_info(PyObject *self, PyObject *unused)
{
	struct channel *c = (struct channel *)self;
	struct dsm_channel_info i;
	int err;

	(void)unused;
	if (handle_check(&c->h))
		return NULL;
	err = CALL(&c->h, dsm_channel_info(c->ch, &i));
	if (err < 0)
		return error_last(err);
	return record_make(info_type,
			   (PyObject *[]){ PyLong_FromUnsignedLong(i.size),
					   PyUnicode_FromString(channel_role_name(i.role)),
					   PyLong_FromUnsignedLong(i.reconnects),
					   PyLong_FromUnsignedLong(i.attempts), seat(&i.master),
					   seat(&i.slave), flow(&i.from_master),
					   flow(&i.from_slave) },
			   8);
}

static PyObject *py_role(PyObject *self, void *unused)
{
	struct channel *c = (struct channel *)self;

	(void)unused;
	return handle_check(&c->h) ? NULL
				   : PyUnicode_FromString(channel_role_name(
					     (unsigned int)dsm_channel_role(c->ch)));
}

static PyObject *py_peer(PyObject *self, void *unused)
{
	struct channel *c = (struct channel *)self;
	unsigned int state;

	(void)unused;
	if (handle_check(&c->h))
		return NULL;
	state = (unsigned int)CALL(&c->h, dsm_channel_peer(c->ch));
	return PyUnicode_FromString(channel_state_name(state));
}

static PyObject *py_size(PyObject *self, void *unused)
{
	(void)unused;
	return PyLong_FromSize_t(((struct channel *)self)->size);
}

static PyObject *py_number(PyObject *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLongLong(((struct channel *)self)->number);
}

static PyObject *py_iternext(PyObject *self)
{
	return channel_read_wait(self, NULL, 0);
}

static PyMethodDef methods[] = {
	HANDLE_METHODS,
	{ "write", channel_write, METH_O,
	  "write(data, /)\n--\n\nMake this our newest value: bytes, str or any buffer. Never "
	  "waits." },
	{ "read", channel_read, METH_NOARGS,
	  "read()\n--\n\nThe other side's newest value, seen before or not; None: there never was "
	  "one." },
	{ "read_newer", channel_read_newer, METH_NOARGS,
	  "read_newer()\n--\n\nA value newer than the last one read here, or None." },
	{ "read_wait", FAST(channel_read_wait),
	  "read_wait(timeout=None, /)\n--\n\nThe same, waited for; Timeout." },
	{ "read_into", channel_read_into, METH_O,
	  "read_into(buffer, /)\n--\n\nread() into a writable buffer; the value's size." },
	{ "exchange", FAST(channel_exchange),
	  "exchange(data, timeout=None, /)\n--\n\nwrite(data), then read_wait(timeout)." },
	{ "wait", KEYWORDS(channel_wait),
	  "wait(timeout=None, after=None)\n--\n\n"
	  "Wait for a value newer than number after (None: than the last one read here), without\n"
	  "reading it; its number." },
	{ "take_over", channel_take_over, METH_NOARGS,
	  "take_over()\n--\n\nSlave: take the seat of a master that is gone." },
	{ "reconnect", channel_reconnect, METH_NOARGS,
	  "reconnect()\n--\n\nReconnecting that has ended begins again." },
	{ "info", py_info, METH_NOARGS, "info()\n--\n\nThe channel as a whole: a ChannelInfo." },
	{ "validate", channel_validate, METH_NOARGS,
	  "validate()\n--\n\nLook over all of it; Damaged names what is wrong." },
	{ "remove", py_remove, METH_VARARGS | METH_STATIC,
	  "remove(segment, name, /)\n--\n\nRemove a channel that nobody sits in." },
	{ NULL, NULL, 0, NULL },
};
static PyGetSetDef getters[] = {
	HANDLE_CLOSED,
	{ "role", py_role, NULL, "The seat it has now: 'master', 'slave' or 'observer'.", NULL },
	{ "peer", py_peer, NULL, "The other side: 'absent', 'live', 'stale' or 'lost'.", NULL },
	{ "size", py_size, NULL, "Most bytes of a value.", NULL },
	{ "number", py_number, NULL, "Number of the value read last; from 1, without gaps.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};
static PyType_Slot slots[] = {
	{ Py_tp_doc, "Channel(segment, name='channel', role='auto', *, size=0, stale='timeout', "
		     "take_over=False, "
		     "stale_after=0.1, retry=0.1, attempts=50, total=5.0, observe='master')\n--\n\n"
		     "The last value of each direction between two endpoints. role: 'auto' is "
		     "master where that seat\n"
		     "is free, else slave; 'observer' only reads. size: most bytes of a value, 0: "
		     "4096. stale: when\n"
		     "operations give up on a silent peer with Disconnected: on 'timeout' of "
		     "reconnecting (every\n"
		     "retry seconds, attempts times, for total seconds), 'at_once' or 'never'." },
	{ Py_tp_init, channel_init },
	{ Py_tp_dealloc, handle_dealloc },
	{ Py_tp_methods, methods },
	{ Py_tp_getset, getters },
	{ Py_tp_iter, Py_NewRef },
	{ Py_tp_iternext, py_iternext },
	{ 0, NULL },
};
static PyType_Spec spec = {
	.name = "dsm._dsm.Channel",
	.basicsize = sizeof(struct channel),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = slots,
};

static PyStructSequence_Field seat_fields[] = {
	{ "state", "'absent', 'live', 'stale' or 'lost'" },
	{ "pid", "of who has it; 0: nobody" },
	{ "node", "its node id, or 0" },
	{ "seated", "how often it was taken" },
	{ "beats", "heartbeats of who has it" },
	{ "silent", "seconds since the last one" },
	{ "since", "when it was taken, seconds since 1970" },
	{ NULL, NULL },
};
static PyStructSequence_Desc seat_desc = { "dsm.ChannelSeat", "A seat of a channel.", seat_fields,
					   7 };
static PyStructSequence_Field flow_fields[] = {
	{ "written", "values written: the newest one's number" },
	{ "read", "values that the other seat has read" },
	{ "missed", "values replaced before" },
	{ "rate", "written a second" },
	{ "read_rate", "read a second" },
	{ "newest", "bytes of the newest value" },
	{ NULL, NULL },
};
static PyStructSequence_Desc flow_desc = { "dsm.ChannelFlow", "A direction of a channel.",
					   flow_fields, 6 };
static PyStructSequence_Field info_fields[] = {
	{ "size", "most bytes of a value" },
	{ "role", "of this object" },
	{ "reconnects", "how often a peer came back" },
	{ "attempts", "looks for the peer in the present silence" },
	{ "master", "a ChannelSeat" },
	{ "slave", "a ChannelSeat" },
	{ "from_master", "a ChannelFlow" },
	{ "from_slave", "a ChannelFlow" },
	{ NULL, NULL },
};
static PyStructSequence_Desc info_desc = { "dsm.ChannelInfo", "A channel as a whole.", info_fields,
					   8 };

int channel_setup(PyObject *module)
{
	PyTypeObject *type;

	if (record_add(module, &seat_desc, &seat_type) ||
	    record_add(module, &flow_desc, &flow_type) ||
	    record_add(module, &info_desc, &info_type))
		return -1;
	return type_add(module, &spec, &type);
}
