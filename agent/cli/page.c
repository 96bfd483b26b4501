/* SPDX-License-Identifier: MIT */
/* dsm page show */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/args.h"
#include "agent/cli/session.h"
#include "agent/cli/table.h"
#include "agent/core/core.h"

/* A page that was named on the command line. */
struct place {
	uint16_t region;
	char name[CLIENT_NAME_MAX];
	uint64_t global; /* address in its region, rounded down to the page */
	uint64_t base;
};

static uint64_t doc_hex(json_t *doc, const char *path)
{
	return strtoull(doc_text(doc, path), NULL, 16);
}

static void place_set(struct place *p, json_t *region, uint64_t global)
{
	p->region = (uint16_t)doc_int(region, "region");
	snprintf(p->name, sizeof(p->name), "%s", doc_text(region, "name"));
	p->base = doc_hex(region, "base");
	p->global = global & ~4095ull;
}

/*
 * REGION:ADDR, or ADDR alone: a global address of the default region, or a
 * pointer of a program into any region. The two cannot be mistaken for each other:
 * regions are mapped far above their own size.
 */
static int place_find(json_t *regions, const char *word, struct place *ret)
{
	const char *colon = strrchr(word, ':');
	const char *name = colon ? word : "default";
	size_t i, len = colon ? (size_t)(colon - word) : strlen(name);
	uint64_t addr, base, size;
	json_t *r;

	if (args_number(colon ? colon + 1 : word, 0, UINT64_MAX, &addr) < 0)
		return cli_error(CLI_USAGE, "page show: '%s' is no ADDR and no REGION:ADDR", word);
	json_array_foreach(regions, i, r) {
		base = doc_hex(r, "base");
		size = (uint64_t)doc_int(r, "size");
		if (!colon && addr >= base && addr - base < size) {
			place_set(ret, r, addr - base);
			return CLI_OK;
		}
		if (strncmp(doc_text(r, "name"), name, len) || doc_text(r, "name")[len])
			continue;
		if (addr < size) {
			place_set(ret, r, addr);
			return CLI_OK;
		}
		if (colon)
			return cli_error(CLI_NOT_FOUND,
					 "page show: region '%.*s' ends at 0x%" PRIx64, (int)len,
					 name, size);
	}
	if (colon)
		return cli_error(CLI_NOT_FOUND, "page show: no region '%.*s'", (int)len, name);
	return cli_error(CLI_NOT_FOUND, "page show: no region has address 0x%" PRIx64, addr);
}

static const char *state_name(uint64_t state)
{
	static const char *const names[] = { "invalid", "shared", "modified", "pending" };

	return state < 4 ? names[state] : "unknown";
}

/* What the home says, and what only this node knows where it knows something. */
static json_t *page_document(struct session *s, const struct place *p, const struct client_rep *rep)
{
	uint64_t key = PAGE_KEY(p->region, p->global / 4096);
	char command[64];
	json_t *here;
	bool lost = false, busy = false;

	snprintf(command, sizeof(command), "page show 0x%" PRIx64, key);
	if (!session_query(s, command, &here)) {
		lost = doc_bool(here, "lost");
		busy = doc_bool(here, "busy");
		json_decref(here);
	}
	return json_pack("{s:o,s:i,s:s,s:o,s:o,s:s,s:I,s:I,s:s,s:I,s:I,s:b,s:b}", "key",
			 json_sprintf("0x%" PRIx64, key), "region", (int)p->region, "region_name",
			 p->name, "global_address", json_sprintf("0x%" PRIx64, p->global),
			 "address", json_sprintf("0x%" PRIx64, p->base + p->global), "state",
			 state_name(rep->val[0]), "home", (json_int_t)rep->val[4], "owner",
			 (json_int_t)rep->val[1], "directory_state", state_name(rep->val[5]),
			 "version", (json_int_t)rep->val[2], "sharers", (json_int_t)rep->val[3],
			 "lost", (int)lost, "busy", (int)busy);
}

static void page_print(json_t *doc)
{
	printf("page       %s:%s, mapped at %s\n", doc_text(doc, "region_name"),
	       doc_text(doc, "global_address"), doc_text(doc, "address"));
	printf("here       %s%s%s\n", doc_text(doc, "state"), doc_bool(doc, "lost") ? ", lost" : "",
	       doc_bool(doc, "busy") ? ", in a transaction" : "");
	printf("home       node %" PRId64 ": %s, owner node %" PRId64 ", %" PRId64
	       " sharers, version %" PRId64 "\n",
	       doc_int(doc, "home"), doc_text(doc, "directory_state"), doc_int(doc, "owner"),
	       doc_int(doc, "sharers"), doc_int(doc, "version"));
}

static int page_show(const struct cli *cli, struct session *s, const char *word)
{
	struct client_req req = { .type = CLIENT_OP };
	struct client_rep rep;
	struct place place;
	json_t *doc;
	int err, code;

	err = session_query(s, "region list", &doc);
	if (err)
		return session_explain(cli, "page show", err);
	code = place_find(json_object_get(doc, "regions"), word, &place);
	json_decref(doc);
	if (code)
		return code;
	req.key = PAGE_KEY(place.region, place.global / 4096);
	/* First the extent: a node that does not know the home cannot ask it. */
	req.arg = OP_LOOKUP;
	err = session_request(s, &req, &rep, SESSION_PATIENCE_MS);
	req.arg = OP_PAGE_QUERY;
	if (!err)
		err = session_request(s, &req, &rep, SESSION_PATIENCE_MS);
	if (err == -ENOENT)
		return cli_error(CLI_NOT_FOUND, "page show: nobody allocated %s:0x%" PRIx64,
				 place.name, place.global);
	if (err)
		return session_explain(cli, "page show", err);
	doc = page_document(s, &place, &rep);
	if (cli->json) {
		doc_print(doc);
		return CLI_OK;
	}
	page_print(doc);
	json_decref(doc);
	return CLI_OK;
}

int cmd_page_show(struct cli *cli, int argc, char **argv)
{
	struct session s = { .fd = -1 };
	const char *word;
	int code;

	args_parse(cli, argc, argv, "ADDR|REGION:ADDR",
		   "Show one page. ADDR is a global address of the default region (0x...), or a "
		   "pointer "
		   "as programs see it.",
		   &word, 1, 1);
	code = session_open(cli, &s);
	if (code)
		return code;
	code = page_show(cli, &s, word);
	session_close(&s);
	return code;
}
