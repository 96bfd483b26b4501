// SPDX-License-Identifier: MIT
/* Requests to the module over generic netlink. */
#include <errno.h>
#include <linux/netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/pager/kmod.h"

int kmod_ctl_open(struct kmod_ctl *c)
{
	int on = 1;

	c->why[0] = 0;
	c->sock = nl_socket_alloc();
	if (!c->sock)
		return -ENOMEM;
	if (genl_connect(c->sock)) {
		kmod_ctl_close(c);
		return -EPROTONOSUPPORT;
	}
	c->family = genl_ctrl_resolve(c->sock, DSM_GENL_NAME);
	if (c->family < 0) {
		kmod_ctl_close(c);
		return -ENODEV;
	}
	/* A dump of many pages must not be cut by a small default. */
	(void)nl_socket_set_buffer_size(c->sock, 1 << 20, 0);
	(void)setsockopt(nl_socket_get_fd(c->sock), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	return 0;
}

void kmod_ctl_close(struct kmod_ctl *c)
{
	if (c->sock)
		nl_socket_free(c->sock);
	c->sock = NULL;
}

struct nl_msg *kmod_ctl_new(struct kmod_ctl *c, enum dsm_cmd cmd, bool dump)
{
	struct nl_msg *msg = nlmsg_alloc();

	if (msg && !genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, c->family, 0, dump ? NLM_F_DUMP : 0,
				(uint8_t)cmd, DSM_GENL_VERSION)) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

struct asking {
	struct kmod_ctl *c;
	kmod_answer_fn fn;
	void *ctx;
	int err;
	bool done;
};

static int on_answer(struct nl_msg *msg, void *arg)
{
	struct nlattr *attrs[DSM_A_MAX_ATTR + 1];
	struct asking *ask = arg;
	struct genlmsghdr *genl = nlmsg_data(nlmsg_hdr(msg));

	if (genl->cmd == DSM_CMD_REQS_NTF)
		return NL_SKIP;
	if (ask->fn && !genlmsg_parse(nlmsg_hdr(msg), 0, attrs, DSM_A_MAX_ATTR, NULL))
		ask->fn(ask->ctx, attrs);
	return NL_OK;
}

/* Messages that the module sends by itself have no number of ours; all else is the answer. */
static int on_seq(struct nl_msg *msg, void *arg)
{
	(void)msg;
	(void)arg;
	return NL_OK;
}

static int on_ack(struct nl_msg *msg, void *arg)
{
	struct asking *ask = arg;

	(void)msg;
	ask->done = true;
	return NL_STOP;
}

/* The end of a dump carries what the module's last step returned. */
static int on_finish(struct nl_msg *msg, void *arg)
{
	struct asking *ask = arg;
	struct nlmsghdr *head = nlmsg_hdr(msg);

	if (nlmsg_datalen(head) >= (int)sizeof(int) && *(int *)nlmsg_data(head) < 0)
		ask->err = *(int *)nlmsg_data(head);
	ask->done = true;
	return NL_STOP;
}

/* The text of an extended acknowledgement: attributes behind the request that it quotes. */
static void keep_why(struct kmod_ctl *c, struct nlmsgerr *error)
{
	struct nlmsghdr *head = (struct nlmsghdr *)((char *)error - NLMSG_HDRLEN);
	size_t at = sizeof(*error);
	struct nlattr *text;

	if (!(head->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(head->nlmsg_flags & NLM_F_CAPPED))
		at += NLMSG_ALIGN(error->msg.nlmsg_len) - NLMSG_HDRLEN;
	if (at > (size_t)nlmsg_datalen(head))
		return;
	text = nla_find((struct nlattr *)((char *)error + at), nlmsg_datalen(head) - (int)at,
			NLMSGERR_ATTR_MSG);
	if (text)
		nla_strlcpy(c->why, text, sizeof(c->why));
}

static int on_error(struct sockaddr_nl *who, struct nlmsgerr *error, void *arg)
{
	struct asking *ask = arg;

	(void)who;
	keep_why(ask->c, error);
	ask->err = error->error;
	ask->done = true;
	return NL_STOP;
}

static int receive(struct kmod_ctl *c, struct nl_cb *cb, struct asking *ask)
{
	while (!ask->done) {
		int err = nl_recvmsgs(c->sock, cb);

		if (err < 0 && !ask->done)
			return err == -NLE_NOMEM ? -ENOBUFS : -EIO;
	}
	return ask->err;
}

int kmod_ctl_ask(struct kmod_ctl *c, struct nl_msg *msg, int put_err, kmod_answer_fn fn, void *ctx)
{
	struct asking ask = { .c = c, .fn = fn, .ctx = ctx };
	struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
	int err = -ENOMEM;

	c->why[0] = 0;
	if (!msg || put_err || !cb)
		goto out;
	nl_cb_set(cb, NL_CB_SEQ_CHECK, NL_CB_CUSTOM, on_seq, NULL);
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_answer, &ask);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_ack, &ask);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_finish, &ask);
	nl_cb_err(cb, NL_CB_CUSTOM, on_error, &ask);
	err = nl_send_auto(c->sock, msg) < 0 ? -EIO : receive(c, cb, &ask);
out:
	if (cb)
		nl_cb_put(cb);
	if (msg)
		nlmsg_free(msg);
	return err;
}
