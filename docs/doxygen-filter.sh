#!/bin/sh
# SPDX-License-Identifier: MIT
# The comments name parameters as the kernel does, @name: Doxygen wants \p name.
exec sed -E 's/@([a-z_0-9]+)/\\p \1/g' "$1"
