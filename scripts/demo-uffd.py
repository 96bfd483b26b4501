#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One memory over two network namespaces of this machine: no module, no VM.

Two agents without any configuration find each other by broadcast; heat runs on both over
one shared grid, and its result is compared bit for bit with a sequential run. Then both use
one map.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "tests", "cluster")]

from lab import process  # noqa: E402
from lab.lan import Lan  # noqa: E402
from lab.node import BUILD, cluster  # noqa: E402
from node_table import print_table  # noqa: E402

NODES = 2
HEAT = ["--method", "sor", "--size", "512", "--sweeps", "400", "--nodes", str(NODES), "--progress",
        "--verify"]


def pass_on(number, stream):
    """Copies a program's output with the node's number before each line."""
    for line in stream:
        # In one piece: both nodes' lines come at once.
        sys.stdout.write(f"[{number}] {line.decode(errors='replace').rstrip()}\n")
        sys.stdout.flush()


def run_on_all(nodes, command):
    """command(number) on every node at once; True when all ended well."""
    path = os.path.abspath(BUILD) + ":" + os.environ.get("PATH", "/usr/bin:/bin")
    programs = [process.spawn(node.enter + command(number),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=dict(node.environment, DSM_PORT=str(node.port), PATH=path))
                for number, node in enumerate(nodes, 1)]
    readers = [threading.Thread(target=pass_on, args=(number, program.stdout))
               for number, program in enumerate(programs, 1)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return all([program.wait(60) == 0 for program in programs])


def main():
    start = time.monotonic()
    directory = tempfile.mkdtemp(prefix="dsmdemo-")
    lan = None
    try:
        print(f"{NODES} hosts (network namespaces), one agent each, userfaultfd pager")
        lan = Lan(NODES)
        nodes = cluster(directory, lan, NODES)
        print(f"they found each other by broadcast {time.monotonic() - start:.1f} s after the start")
        print("heat " + " ".join(HEAT), flush=True)
        good = run_on_all(nodes, lambda number: [os.path.join(BUILD, "heat"), *HEAT])
        good &= run_on_all(nodes, lambda number: [os.path.join(HERE, "demo-map.sh"), str(number)])
        print_table([node.query("stats") for node in nodes])
        print(f"{'equal bit for bit' if good else 'FAILED'}, "
              f"{time.monotonic() - start:.1f} s in all")
        return 0 if good else 1
    finally:
        process.kill_all()
        if lan:
            lan.close()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
