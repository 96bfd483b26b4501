// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages from the page cache to a socket, behind the bytes that announce them:
 * one call and one copy, where reading and sending take two of each.
 */
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/pagemap.h>
#include <linux/socket.h>
#include <linux/uaccess.h>

#include "dsm.h"

struct dsm_parcel {
	struct kvec parts[1 + DSM_SEND_PAGES_MAX];
	struct folio *folios[DSM_SEND_PAGES_MAX];
	u32 held;
	u8 head[DSM_SEND_HEAD_MAX];
};

static int dsm_send_check(const struct dsm_region *region, const struct dsm_send *send)
{
	if (send->page >= dsm_region_pages(region) ||
	    send->count > dsm_region_pages(region) - send->page)
		return -ERANGE;
	return 0;
}

/* References keep the bytes; no lock is held while the socket takes them. */
static int dsm_parcel_hold(struct dsm_parcel *parcel, struct dsm_region *region,
			   const struct dsm_send *send)
{
	struct folio *folio;

	while (parcel->held < send->count) {
		folio = dsm_page_lock(region, send->page + parcel->held);
		if (!folio)
			return -ENOENT;
		folio_unlock(folio);
		parcel->folios[parcel->held++] = folio;
		parcel->parts[parcel->held].iov_base = folio_address(folio);
		parcel->parts[parcel->held].iov_len = PAGE_SIZE;
	}
	return 0;
}

static long dsm_parcel_send(struct dsm_parcel *parcel, const struct dsm_send *send)
{
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	struct socket *sock;
	int err;

	sock = sockfd_lookup(send->socket, &err);
	if (!sock)
		return err;
	/* What a socket without connection or stream makes of a part is nobody's business. */
	if (sock->type == SOCK_STREAM)
		err = kernel_sendmsg(sock, &msg, parcel->parts, 1 + send->count,
				     send->head_len + send->count * PAGE_SIZE);
	else
		err = -EOPNOTSUPP;
	sockfd_put(sock);
	return err;
}

static long dsm_send_pages(struct dsm_region *region, const struct dsm_send *send)
{
	struct dsm_parcel parcel;
	long ret = dsm_send_check(region, send);

	if (ret)
		return ret;
	parcel.held = 0;
	parcel.parts[0].iov_base = parcel.head;
	parcel.parts[0].iov_len = send->head_len;
	if (copy_from_user(parcel.head, u64_to_user_ptr(send->head), send->head_len))
		return -EFAULT;
	ret = dsm_parcel_hold(&parcel, region, send);
	if (!ret)
		ret = dsm_parcel_send(&parcel, send);
	while (parcel.held)
		folio_put(parcel.folios[--parcel.held]);
	return ret;
}

long dsm_ioctl_send(struct dsm_file *df, void __user *arg)
{
	struct dsm_node *node = dsm_file_node(df);
	struct dsm_region *region;
	struct dsm_send send;
	long ret;

	/* Pages that are not always mapped would have to be copied once more. */
	if (IS_ENABLED(CONFIG_HIGHMEM))
		return -EOPNOTSUPP;
	if (!node)
		return -EPERM;
	if (copy_from_user(&send, arg, sizeof(send)))
		return -EFAULT;
	if (send.reserved || send.reserved2 || !send.count || send.count > DSM_SEND_PAGES_MAX ||
	    send.head_len > DSM_SEND_HEAD_MAX)
		return -EINVAL;
	region = dsm_region_find(node, send.region);
	if (!region)
		return -ENOENT;
	ret = dsm_send_pages(region, &send);
	dsm_region_put(region);
	return ret;
}
