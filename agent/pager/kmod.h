/* SPDX-License-Identifier: MIT */
/* Inside the kmod pager. */
#ifndef DSM_PAGER_KMOD_H
#define DSM_PAGER_KMOD_H

#include <linux/dsm.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/socket.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/pager/pager.h"

/* A socket of the module's netlink family; requests are answered before they return. */
struct kmod_ctl {
	struct nl_sock *sock;
	int family;
	char why[96]; /* what the module said was wrong with the last request; may be empty */
};

/* Gets the attributes of one answer, indexed by enum dsm_attr. */
typedef void (*kmod_answer_fn)(void *ctx, struct nlattr **attrs);

/* -ENODEV: the family is not there, the module not loaded. */
int kmod_ctl_open(struct kmod_ctl *c);
void kmod_ctl_close(struct kmod_ctl *c);

/* A request to be filled with nla_put_*; NULL: no memory. */
struct nl_msg *kmod_ctl_new(struct kmod_ctl *c, enum dsm_cmd cmd, bool dump);
/*
 * Sends @msg, which it frees (NULL, or @put_err not 0: -ENOMEM), and gives each
 * answer to @fn, which may be NULL. Returns 0 or the negative errno that the module gave.
 */
int kmod_ctl_ask(struct kmod_ctl *c, struct nl_msg *msg, int put_err, kmod_answer_fn fn, void *ctx);

struct pager {
	const struct pager_host *host;
	struct kmod_ctl ctl;
	int fd; /* bound */
};

/* Of pager_ops, in kmod_kept.c. */
int kmod_region_add(struct pager *p, uint16_t region, const char *name, uint64_t size);
int kmod_region_del(struct pager *p, uint16_t region);
int kmod_regions(struct pager *p,
		 void (*fn)(void *ctx, uint16_t region, const char *name, uint64_t size),
		 void *ctx);
int kmod_pages(struct pager *p,
	       void (*fn)(void *ctx, uint16_t region, uint64_t page, uint32_t count,
			  enum pager_prot prot),
	       void *ctx);
int kmod_identity_get(struct pager *p, struct pager_identity *ret);
int kmod_identity_set(struct pager *p, const struct pager_identity *id);

#endif
