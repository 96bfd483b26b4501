# SPDX-License-Identifier: MIT
TOOLS += python_peer
python_peer_SRCS := tests/python/peer.c
python_peer_DEPS := $(B)/libdsm.a
