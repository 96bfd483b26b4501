/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where each field of the interface stands: programs that were built against
 * an older header rely on it. A field that moves, grows or changes places with another one
 * does not compile; new ones come where reserved ones were, or at the end of struct dsm_stats.
 */
#ifndef DSM_KMOD_UAPI_LAYOUT_H
#define DSM_KMOD_UAPI_LAYOUT_H

#include <linux/build_bug.h>
#include <linux/dsm.h>
#include <linux/stddef.h>

/* What a field's size is follows from the next one's place, and from sizeof in the header. */
#define AT(type, field, offset)	static_assert(offsetof(struct type, field) == (offset))

AT(dsm_info, api, 0);
AT(dsm_info, page_size, 4);
AT(dsm_info, size, 8);
AT(dsm_info, base, 16);
AT(dsm_info, port, 24);
AT(dsm_info, region, 26);
AT(dsm_info, flags, 28);
AT(dsm_info, name, 32);

AT(dsm_attach, port, 0);
AT(dsm_attach, flags, 2);
AT(dsm_attach, reserved, 4);
AT(dsm_attach, name, 8);

AT(dsm_page, page, 0);
AT(dsm_page, state, 8);
AT(dsm_page, flags, 12);

AT(dsm_prefetch, offset, 0);
AT(dsm_prefetch, length, 8);
AT(dsm_prefetch, flags, 16);
AT(dsm_prefetch, reserved, 20);

AT(dsm_req, page, 0);
AT(dsm_req, count, 8);
AT(dsm_req, region, 12);
AT(dsm_req, flags, 14);

AT(dsm_run, page, 0);
AT(dsm_run, data, 8);
AT(dsm_run, count, 16);
AT(dsm_run, region, 20);
AT(dsm_run, mode, 22);
AT(dsm_run, result, 24);
AT(dsm_run, done, 28);

AT(dsm_runs, runs, 0);
AT(dsm_runs, count, 8);
AT(dsm_runs, flags, 12);

AT(dsm_send, head, 0);
AT(dsm_send, page, 8);
AT(dsm_send, count, 16);
AT(dsm_send, head_len, 20);
AT(dsm_send, socket, 24);
AT(dsm_send, region, 28);
AT(dsm_send, reserved, 30);
AT(dsm_send, reserved2, 32);

AT(dsm_answer, page, 0);
AT(dsm_answer, count, 8);
AT(dsm_answer, region, 12);
AT(dsm_answer, reserved, 14);
AT(dsm_answer, error, 16);
AT(dsm_answer, reserved2, 20);

AT(dsm_page_run, page, 0);
AT(dsm_page_run, count, 8);
AT(dsm_page_run, state, 12);
AT(dsm_page_run, reserved, 14);

AT(dsm_stats, faults_read, 0);
AT(dsm_stats, faults_write, 8);
AT(dsm_stats, faults_waited, 16);
AT(dsm_stats, waits_locked, 24);
AT(dsm_stats, requests, 32);
AT(dsm_stats, prefetches, 40);
AT(dsm_stats, handed, 48);
AT(dsm_stats, bells, 56);
AT(dsm_stats, bells_lost, 64);
AT(dsm_stats, installs, 72);
AT(dsm_stats, upgrades, 80);
AT(dsm_stats, drops, 88);
AT(dsm_stats, takes, 96);
AT(dsm_stats, downgrades, 104);
AT(dsm_stats, busy, 112);
AT(dsm_stats, failed, 120);
AT(dsm_stats, sigbus, 128);
AT(dsm_stats, killed, 136);
AT(dsm_stats, resident, 144);
AT(dsm_stats, pending, 152);
AT(dsm_stats, queued, 160);
AT(dsm_stats, regions, 168);
AT(dsm_stats, latency, 176);

#undef AT

#endif
