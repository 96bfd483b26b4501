#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real agents and real programs in network namespaces of one machine.

    tests/cluster/run.py [--pager uffd|kmod] [--list] [CASE...]

Needs root. A case may be named by a part of its name. The logs of a failed one stay in
build/test/cluster/.
"""
import argparse
import importlib
import signal
import sys

sys.dont_write_bytecode = True  # leave the source tree as it is

from lab import cases, process

MODULES = ("joining", "work", "death", "network", "limits", "terminals")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--pager", default="uffd", choices=("uffd", "kmod"))
    parser.add_argument("--list", action="store_true", help="only list the cases")
    parser.add_argument("case", nargs="*")
    options = parser.parse_args()

    for module in MODULES:
        importlib.import_module(f"cases_{module}")
    chosen = [c for c in cases.CASES
              if not options.case or any(part in c[0] for part in options.case)]
    if options.list:
        for name, hosts, _ in chosen:
            print(f"{name} ({hosts} hosts)")
        return 0
    # Being told to stop ends in the same clean-up as an error.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = 0
    try:
        for name, hosts, function in chosen:
            failed += not cases.run(name, hosts, function, options.pager)
    finally:
        process.kill_all()
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
