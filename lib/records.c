// SPDX-License-Identifier: MIT
#include "lib/records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int records_add(struct records *r, const void *bytes, size_t len)
{
	if (r->len + len > r->max) {
		size_t max = (r->len + len) * 2;
		uint8_t *grown = realloc(r->bytes, max);

		if (!grown)
			return -ENOMEM;
		r->bytes = grown;
		r->max = max;
	}
	memcpy(r->bytes + r->len, bytes, len);
	r->len += len;
	return 0;
}

/* All pieces are taken even when one of them cannot be kept: the session goes on. */
static int records_receive(struct session *s, struct records *r)
{
	uint8_t *buf = malloc(CLIENT_PACKET_MAX);
	int err = buf ? 0 : -ENOMEM, kept = 0;
	struct client_rep rep = { 0 };
	size_t len;

	while (!err && !(rep.flags & CLIENT_LAST)) {
		err = session_await_payload(s, &rep, buf, CLIENT_PACKET_MAX, &len);
		if (!err && !kept)
			kept = records_add(r, buf, len);
	}
	free(buf);
	return err ? err : kept;
}

int records_get(struct dsm *ctx, enum client_list list, struct records *r)
{
	struct client_req req = { .type = CLIENT_LIST, .arg = list };
	int err;

	if (atomic_load(&ctx->lost)) {
		err = context_revive(ctx);
		if (err)
			return err;
	}
	pthread_mutex_lock(&ctx->control_lock);
	err = session_tell(&ctx->control, &req);
	if (!err)
		err = records_receive(&ctx->control, r);
	pthread_mutex_unlock(&ctx->control_lock);
	if (err) {
		free(r->bytes);
		r->bytes = NULL;
	}
	return err;
}
