// SPDX-License-Identifier: MIT
/*
 * floor_map_lmdb DIRECTORY CPU [COUNT]: LMDB in DIRECTORY (in memory, best), which it empties: a
 * transaction for each get and each put, nothing synced.
 */
#include <lmdb.h>
#include <unistd.h>

#include "tests/bench/map_trace.h"

static MDB_env *env;
static MDB_dbi table;
static MDB_txn *reading;

static void check(int err)
{
	if (!err)
		return;
	fprintf(stderr, "floor_map_lmdb: %s\n", mdb_strerror(err));
	exit(1);
}

static void put_one(MDB_txn *txn, const char *key, const char *value)
{
	MDB_val k = { TRACE_KEY, (void *)key }, v = { TRACE_VALUE, (void *)value };

	check(mdb_put(txn, table, &k, &v, 0));
}

static void get(const char *key, char *value)
{
	MDB_val k = { TRACE_KEY, (void *)key }, v;

	check(mdb_txn_renew(reading));
	check(mdb_get(reading, table, &k, &v));
	memcpy(value, v.mv_data, TRACE_VALUE);
	mdb_txn_reset(reading);
}

static void put(const char *key, char *value)
{
	MDB_txn *txn;

	check(mdb_txn_begin(env, NULL, 0, &txn));
	put_one(txn, key, value);
	check(mdb_txn_commit(txn));
}

static void open_filled(const char *directory)
{
	char value[TRACE_VALUE] = "";
	MDB_txn *txn;

	check(mdb_env_create(&env));
	check(mdb_env_set_mapsize(env, 256u << 20));
	check(mdb_env_open(env, directory, MDB_NOSYNC | MDB_WRITEMAP | MDB_NOTLS, 0600));
	check(mdb_txn_begin(env, NULL, 0, &txn));
	check(mdb_dbi_open(txn, NULL, 0, &table));
	for (unsigned int i = 0; i < TRACE_KEYS; i++)
		put_one(txn, trace_keys[i], value);
	check(mdb_txn_commit(txn));
	check(mdb_txn_begin(env, NULL, MDB_RDONLY, &reading));
	mdb_txn_reset(reading);
}

int main(int argc, char **argv)
{
	size_t count = argc > 3 ? (size_t)atol(argv[3]) : 300000;

	if (argc < 3)
		return 2;
	pin(atoi(argv[2]));
	trace_begin();
	open_filled(argv[1]);
	TRACE_RUN("lmdb_get", count, get(key, value));
	TRACE_RUN("lmdb_set", count, put(key, value));
	mdb_txn_abort(reading);
	mdb_env_close(env);
	return 0;
}
