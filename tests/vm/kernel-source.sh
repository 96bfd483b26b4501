#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Fetches the parts of the kernel's source that tests and lint use, and prints where they are.
set -euo pipefail
# shellcheck source=tests/vm/kernel.sh
. "$(dirname "${BASH_SOURCE[0]}")/kernel.sh"
vm_source >&2
echo "$VM_DIR/source"
