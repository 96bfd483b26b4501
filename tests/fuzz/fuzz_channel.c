// SPDX-License-Identifier: MIT
/*
 * Channels in memory that somebody else has written: whatever is there, opening and using them
 * gives values or errors, and touches nothing else.
 */
#include <string.h>

#include "lib/channel/channel.h"
#include "tests/fuzz/fenced.h"
#include "tests/fuzz/stores.h"

const unsigned int fuzz_runs = 2000;

#define VALUE 100u

/* Words of the header, of a seat, of a flow's head and of a slot's. Not the lock. */
static uint8_t *place(void *channel, uint32_t which, uint32_t off)
{
	const struct dsm_channel *ch = channel;
	const struct slots *flow = &ch->place.flow[off & 1];
	struct channel_header *h = ch->place.header;

	switch (which / 2 % 4) {
	case 0:
		return (uint8_t *)h + off % 4 * 8;
	case 1:
		return (uint8_t *)&h->seat[off & 1] + off / 2 % 24 * 8;
	case 2:
		return (uint8_t *)flow->head + off / 2 % 24 * 8;
	default:
		return (uint8_t *)slots_slot(flow, off / 2 % SLOTS_COUNT) + off / 16 % 2 * 8;
	}
}

static void use(dsm_channel_t *ch)
{
	struct dsm_channel_info info;
	uint8_t buffer[4 * VALUE];
	uint64_t number;

	memset(buffer, 1, sizeof(buffer));
	for (size_t i = 0; i < 10; i++) {
		(void)dsm_channel_write(ch, buffer, i * VALUE / 9);
		MUST(dsm_channel_read(ch, buffer, sizeof(buffer), &number) <= (int)VALUE);
		MUST(dsm_channel_read(ch, buffer, 1, NULL) <= 1);
		MUST(dsm_channel_read_newer(ch, buffer, sizeof(buffer), &number) <= (int)VALUE);
	}
	(void)dsm_channel_read_timed(ch, buffer, sizeof(buffer), 10, NULL);
	(void)dsm_channel_wait(ch, DSM_CHANNEL_LAST_READ, 10, &number);
	(void)dsm_channel_peer(ch);
	(void)dsm_channel_info(ch, &info);
	(void)dsm_channel_validate(ch);
	(void)dsm_channel_take_over(ch);
	dsm_channel_reconnect(ch);
}

static void open_and_use(dsm_segment_t *s, uint32_t role, const struct dsm_channel_options *like)
{
	struct dsm_channel_options o = *like;
	dsm_channel_t *ch;

	o.role = role;
	o.size = 0;
	if (dsm_channel_open(s, "c", &o, &ch)) {
		MUST(dsm_last_error()[0]);
		return;
	}
	use(ch);
	dsm_channel_close(ch);
}

static void fuzz_channel(const uint8_t *data, size_t size)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	struct store stores[STORES_MAX];
	dsm_channel_t *master, *slave;
	unsigned int n;

	o.size = VALUE;
	o.retry_ms = 1;
	o.attempts = 1;
	o.take_over = size && data[0] & 1;
	o.role = DSM_CHANNEL_MASTER;
	MUST(!dsm_channel_open(fenced[0], "c", &o, &master));
	fenced_end();
	o.role = DSM_CHANNEL_SLAVE;
	MUST(!dsm_channel_open(fenced[1], "c", &o, &slave));
	use(master);
	use(slave);
	n = stores_find(data, size, place, master, stores);
	stores_do(stores, n);
	use(master);
	use(slave);
	open_and_use(fenced[0], DSM_CHANNEL_OBSERVER, &o);
	dsm_channel_close(master);
	dsm_channel_close(slave);
	/* Whoever comes next. */
	stores_do(stores, n);
	open_and_use(fenced[0], DSM_CHANNEL_AUTO, &o);
	(void)dsm_channel_remove(fenced[1], "c");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{

	fenced_begin("fuzz-channel");
	fuzz_channel(data, size);
	fenced_close();
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t ret[FUZZ_INPUT_MAX])
{
	static const uint64_t values[STORES_VALUES] = {
		0, 1, 64, 0x10000, 0x7fffffffffff, UINT64_MAX, 1ull << 63, 0x4ff
	};

	return stores_seed(i, 8, values, ret);
}
