# SPDX-License-Identifier: MIT
# Fuzz targets with their own driver; `make test` runs them under VARIANT=asan.
FUZZ := fuzz_wire fuzz_config fuzz_client fuzz_peer fuzz_segment fuzz_heap fuzz_map fuzz_ring fuzz_channel
TOOLS += $(FUZZ)
fuzz_wire_SRCS := tests/fuzz/fuzz_wire.c tests/fuzz/messages.c tests/fuzz/driver.c agent/net/wire.c agent/net/wire_rules.c
fuzz_config_SRCS := tests/fuzz/fuzz_config.c tests/fuzz/driver.c agent/config_settings.c agent/net/addr.c
fuzz_client_SRCS := tests/fuzz/fuzz_client.c tests/fuzz/driver.c tests/unit/agent_rig.c $(AGENT_RIG)
fuzz_client_LIBS := libuv jansson
fuzz_peer_SRCS := tests/fuzz/fuzz_peer.c tests/fuzz/messages.c tests/fuzz/driver.c tests/unit/agent_rig.c $(AGENT_RIG)
fuzz_peer_LIBS := libuv jansson
fuzz_segment_SRCS := tests/fuzz/fuzz_segment.c tests/fuzz/driver.c $(LIBDSM_SRCS)
fuzz_heap_SRCS := tests/fuzz/fuzz_heap.c tests/fuzz/driver.c $(LIBDSM_SRCS)
fuzz_map_SRCS := tests/fuzz/fuzz_map.c tests/fuzz/stores.c tests/fuzz/driver.c $(LIBDSM_SRCS)
fuzz_ring_SRCS := tests/fuzz/fuzz_ring.c tests/fuzz/fenced.c tests/fuzz/stores.c tests/fuzz/driver.c tests/unit/ring_use.c $(LIBDSM_SRCS)
fuzz_channel_SRCS := tests/fuzz/fuzz_channel.c tests/fuzz/fenced.c tests/fuzz/stores.c tests/fuzz/driver.c $(LIBDSM_SRCS)
