// SPDX-License-Identifier: MIT
/*
 * Packets of programs: a live agent is sent anything at all on its client
 * socket. It must answer or hang up, and go on serving others.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/client/topic_head.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/agent_rig.h"

const unsigned int fuzz_runs = 20000;

#define SESSIONS 4

static int sessions[SESSIONS];
static unsigned int turn;

static void start_agent(void)
{
	rig_open();
	if (rig_start(0, NULL))
		abort();
	for (int i = 0; i < SESSIONS; i++)
		sessions[i] = -1;
}

static void drain(int session)
{
	static char scrap[CLIENT_PACKET_MAX];

	while (recv(session, scrap, sizeof(scrap), MSG_DONTWAIT) > 0)
		;
}

static void check_still_serving(void)
{
	struct client_req req = { .type = CLIENT_STATUS };
	int s = rig_session(0, HELLO_ADMIN, NULL);

	if (rig_ask(s, &req, NULL))
		abort();
	close(s);
}

/*
 * LEAVE, and the end of an owner, are right to end the agent, and a log level would
 * have it tell of every bad packet: they are not for this test.
 */
static int is_left_out(const struct client_req *req, size_t size)
{
	return size >= sizeof(*req) &&
	       (req->type == CLIENT_LEAVE || req->type == CLIENT_LOG_LEVEL ||
		(req->type == CLIENT_HELLO && (req->id & HELLO_OWNER)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int *s = &sessions[turn % SESSIONS];
	struct client_req req = { 0 };

	if (!rig.running[0])
		start_agent();
	memcpy(&req, data, size < sizeof(req) ? size : sizeof(req));
	if (!size || is_left_out(&req, size))
		return 0;
	if (*s < 0)
		*s = turn & 64 ? rig_session(0, HELLO_PROGRAM, NULL) : rig_connect(0);
	turn++;
	if (send(*s, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 || turn % 97 == 0) {
		close(*s);
		*s = -1;
	}
	for (int i = 0; i < 3; i++)
		uv_run(&rig.loop, UV_RUN_NOWAIT);
	if (*s >= 0)
		drain(*s);
	if (turn % 500 == 0)
		check_still_serving();
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t ret[FUZZ_INPUT_MAX])
{
	static const struct client_req plain[] = {
		{ .type = CLIENT_HELLO, .arg = CLIENT_PROTO_VERSION, .id = HELLO_PROGRAM },
		{ .type = CLIENT_HELLO, .arg = CLIENT_PROTO_VERSION, .id = HELLO_THREAD, .key = 1 },
		{ .type = CLIENT_REGION_ATTACH, .name = "default" },
		{ .type = CLIENT_REGION_UFFD, .a = 0x200000000000 },
		{ .type = CLIENT_REGION_DETACH },
		{ .type = CLIENT_STATUS },
		{ .type = CLIENT_LIST, .arg = LIST_LOCAL_PAGES },
		{ .type = CLIENT_LIST, .arg = LIST_GLOBAL_PAGES },
		{ .type = CLIENT_QUERY, .length = 6 },
		{ .type = CLIENT_QUERY, .length = 6 },
		{ .type = CLIENT_TOPIC_OPEN, .length = 6, .arg = TOPIC_SUBSCRIBE, .count = 64 },
		{ .type = CLIENT_TOPIC_OPEN, .length = 6, .arg = TOPIC_PUBLISH | TOPIC_TAKE },
		{ .type = CLIENT_TOPIC_CHANGED },
		{ .type = CLIENT_PIPES },
	};
	const unsigned int nplain = sizeof(plain) / sizeof(plain[0]);
	struct client_req req = { .type = CLIENT_OP,
				  .key = 3,
				  .count = 1,
				  .timeout_us = 1000,
				  .id = 1,
				  .name = "fuzzed" };

	if (i >= nplain + OP_READY)
		return 0;
	if (i < nplain)
		req = plain[i];
	else
		req.arg = i - nplain + 1;
	memcpy(ret, &req, sizeof(req));
	memcpy(ret + sizeof(req), i % 2 ? "status" : "events", req.length);
	return sizeof(req) + req.length;
}
