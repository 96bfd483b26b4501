# SPDX-License-Identifier: MIT
# kmod_path: runs in a guest, see bench-kmod-path.
TOOLS += kmod_path
kmod_path_SRCS := tests/bench/kmod_path.c agent/pager/kmod_ctl.c
kmod_path_LIBS := libnl-genl-3.0
