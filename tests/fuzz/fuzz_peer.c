// SPDX-License-Identifier: MIT
/*
 * A node of the cluster gone mad: a live agent with a peer whose frames are
 * well-formed but say anything. Frames that the checks pass reach the core.
 * It may close the link; it must not crash, and must go on serving.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "agent/client/topic_head.h"
#include "agent/net/wire.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/messages.h"
#include "tests/unit/agent_rig.h"

const unsigned int fuzz_runs = 20000;

static int peer = -1;
static uint64_t seq;
static unsigned int turn;
static int topics[2]; /* sessions */

/* Sends @m with as much body as it says it has: @body's bytes, then zeroes. */
static void put(const struct core_msg *m, const uint8_t *body, size_t size)
{
	static uint8_t frame[WIRE_FRAME_MAX + CORE_MSG_RECS * sizeof(struct rec_region)];
	struct wire_header header;
	size_t want = wire_body_size(m) - sizeof(*m);

	if (peer < 0 || sizeof(header) + sizeof(*m) + want > sizeof(frame))
		return;
	wire_seal(&header, m, ++seq);
	memcpy(frame, &header, sizeof(header));
	memcpy(frame + sizeof(header), m, sizeof(*m));
	memset(frame + sizeof(header) + sizeof(*m), 0, want);
	if (size)
		memcpy(frame + sizeof(header) + sizeof(*m), body, size < want ? size : want);
	if (send(peer, frame, sizeof(header) + sizeof(*m) + want, MSG_NOSIGNAL) < 0) {
		close(peer);
		peer = -1;
	}
}

static void turn_and_drain(void)
{
	static char scrap[65536];
	ssize_t got = -1;

	for (int i = 0; i < 3; i++)
		uv_run(&rig.loop, UV_RUN_NOWAIT);
	while (peer >= 0 && (got = recv(peer, scrap, sizeof(scrap), MSG_DONTWAIT)) > 0)
		;
	if (peer < 0 || got)
		return;
	close(peer); /* the agent has hung up */
	peer = -1;
}

/* Becomes a member as an honest node would, as far as it goes. */
static void join(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(rig.cfg[0].port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct core_msg m = { .type = MSG_HELLO, .a = 1000 + turn, .arg = 9, .name = "dsm" };

	peer = socket(AF_INET, SOCK_STREAM, 0);
	/* Each frame arrives before the next is thought up. */
	setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	if (peer < 0 || connect(peer, (struct sockaddr *)&sa, sizeof(sa)))
		abort();
	seq = 0;
	put(&m, NULL, 0);
	m = (struct core_msg){ .type = MSG_JOIN, .a = 1000 + turn, .b = 16, .arg = 9 };
	put(&m, NULL, 0);
	turn_and_drain();
	m = (struct core_msg){ .type = MSG_JOIN_READY, .arg = 1 };
	put(&m, NULL, 0);
	turn_and_drain();
}

/* What messages.c names: one that is subscribed to, and one that is published, with a value. */
static void open_topics(void)
{
	for (uint32_t role = TOPIC_SUBSCRIBE; role <= TOPIC_PUBLISH; role++) {
		struct client_req req = {
			.type = CLIENT_TOPIC_OPEN, .arg = role, .count = 64, .length = 8
		};
		char name[] = "fuzzed 0";
		int s = rig_session(0, HELLO_PROGRAM, NULL);
		struct client_rep rep;

		name[7] = (char)('0' + role - TOPIC_SUBSCRIBE);
		rig_send(s, &req, name);
		if (!rig_receive(s, &rep, NULL, NULL) || rep.err)
			abort();
		topics[role - TOPIC_SUBSCRIBE] = s;
	}
}

static void check_still_serving(void)
{
	struct client_req req = { .type = CLIENT_STATUS };
	int s = rig_session(0, HELLO_ADMIN, NULL);

	if (rig_ask(s, &req, NULL))
		abort();
	close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct core_info info;
	struct core_msg m;

	if (!rig.running[0]) {
		rig_open();
		if (rig_start(0, NULL))
			abort();
		open_topics();
	}
	if (size < sizeof(struct wire_header) + sizeof(m))
		return 0;
	memcpy(&m, data + sizeof(struct wire_header), sizeof(m));
	if (peer < 0)
		join();
	/* The agent's own view, and mostly the node that it takes us for: else all is dropped as old. */
	core_info_get(rig.agent[0].core, &info);
	if (turn % 8)
		m.epoch = info.epoch;
	if (turn % 4)
		m.src = (uint16_t)(info.nid + 1);
	put(&m, data + sizeof(struct wire_header) + sizeof(m),
	    size - sizeof(struct wire_header) - sizeof(m));
	turn_and_drain();
	if (turn++ % 200 == 0)
		check_still_serving();
	/* The places of the many that came and went are taken: a fresh agent. */
	if (turn % 400 == 0) {
		close(peer);
		peer = -1;
		close(topics[0]);
		close(topics[1]);
		rig_close();
	}
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t ret[FUZZ_INPUT_MAX])
{
	return messages_frame(2 * i, 1, ret);
}
