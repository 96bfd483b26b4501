#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real agents and real programs: in network namespaces of one machine, or in two machines.

    tests/cluster/run.py [--vm] [--list] [CASE...]

Namespaces and the userfaultfd pager, unless --vm: then two virtual machines with the module, and
those of the cases that fit in there. Needs root. A case may be named by a part of its name. The logs of a failed one stay in
build/test/cluster/.
"""
import argparse
import importlib
import shutil
import signal
import sys
import tempfile

sys.dont_write_bytecode = True  # leave the source tree as it is

from lab import cases, process
from lab.vm import VmLab

MODULES = ("joining", "work", "death", "network", "frames", "replay", "limits", "terminals", "topics", "module")

# Of the cases for namespaces, those that mean something with the module in two machines.
IN_MACHINES = (
    "master_leaves_cleanly", "heat_is_bit_for_bit_equal_2",
    "lock_protects_a_counter_2", "atomics_count_across_nodes_2", "barrier_separates_rounds_2",
    "same_address_on_every_node", "two_programs_of_one_node", "counters_tell_what_happened",
    "killed_lock_holder_hands_over", "killed_program_leaves_its_pages",
    "exhausted_pool_is_a_clean_error", "bare_touch_beyond_the_pool_is_sigbus",
)


def run_in_namespaces(chosen):
    """How many failed."""
    return sum(not cases.run(name, function, cases.Lab(hosts, "uffd"))
               for name, hosts, function, _ in chosen)


def run_in_machines(chosen):
    directory = tempfile.mkdtemp(prefix="dsmlab-")
    lab = VmLab(directory)
    failed = 0
    try:
        for name, hosts, function, _ in chosen:
            lab.hosts = hosts
            failed += not cases.run(name, function, lab)
    finally:
        lab.power_off()
        shutil.rmtree(directory, ignore_errors=True)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--vm", action="store_true", help="two virtual machines, the module")
    parser.add_argument("--list", action="store_true", help="only list the cases")
    parser.add_argument("case", nargs="*")
    options = parser.parse_args()

    for module in MODULES:
        importlib.import_module(f"cases_{module}")
    chosen = [c for c in cases.CASES
              if (c[3] or c[0] in IN_MACHINES if options.vm else not c[3])
              and (not options.case or any(part in c[0] for part in options.case))]
    if options.list:
        for name, hosts, *_ in chosen:
            print(f"{name} ({hosts} hosts)")
        return 0
    # Being told to stop ends in the same clean-up as an error.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = 0
    try:
        failed = run_in_machines(chosen) if options.vm else run_in_namespaces(chosen)
    finally:
        process.kill_all()
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
