# SPDX-License-Identifier: MIT
# Fuzz targets with their own driver; run under VARIANT=asan.
FUZZ := fuzz_wire fuzz_config
TOOLS += $(FUZZ)
fuzz_wire_SRCS := tests/fuzz/fuzz_wire.c tests/fuzz/messages.c tests/fuzz/driver.c agent/net/wire.c agent/net/wire_rules.c
fuzz_config_SRCS := tests/fuzz/fuzz_config.c tests/fuzz/driver.c agent/config_settings.c agent/net/addr.c
