/* SPDX-License-Identifier: MIT */
/* Tells the service manager how the agent is, where there is one. */
#ifndef DSM_AGENT_NOTIFY_H
#define DSM_AGENT_NOTIFY_H

/* @state: lines like "READY=1"; sent to the socket in $NOTIFY_SOCKET, if it is set. */
void notify_system(const char *state);

#endif
