# SPDX-License-Identifier: MIT
"""Last values, beside a plain sequence lock that does the same."""
import functools
import subprocess

from figures import NO_TARGET, SAME, SPLIT, Nodes, Target, figure, output_of, record, tool
from lab.wait import Failure

LIMITS = {
    "channel_write_64": ("ns", SAME, Target("median", most=10)),
    "channel_read_64": ("ns", SAME, Target("median", most=15)),
    "channel_write_4k": ("ns", SAME, Target("median", most=150)),
    "channel_read_4k": ("ns", SAME, Target("median", most=180)),
    "channel_read_4k_hot": ("ns", SPLIT, NO_TARGET),
    "channel_read_4k_hot_p99": ("us", SPLIT, Target("median", most=2)),
}


@functools.cache
def one_host(runs):
    """A run of the program measures all of them, whichever were asked for."""
    return [output_of([tool("channel_bench"), 0, 1]) for _ in range(runs)]


def of_one_host(name, unit, placement, target):
    def measure(runs):
        results = one_host(runs)
        record(name, placement, unit, [r[name] for r in results],
               [r[name.replace("channel", "floor", 1)] for r in results], target)
    measure.__name__ = name
    figure(measure)


for what, limits in LIMITS.items():
    of_one_host(what, *limits)


def read_there(group):
    """Written on the first node, read on the second."""
    end, environment = tool("channel_bench"), group.nodes[0].environment
    writer = subprocess.Popen(
        [end, "node", "write", str(group.nodes[0].port), str(group.cpus[0])],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        if writer.stdout.readline() != "ready\n":
            raise Failure("channel_bench: no writer")
        return output_of([end, "node", "read", group.nodes[1].port, group.cpus[1]],
                         env=environment)["channel_read_2n"]
    finally:
        writer.communicate("\n")


@figure
def channel_read_2n(runs):
    """4 KiB that came from another node; the floor is one host's figure."""
    ours = []
    with Nodes(2, SPLIT) as group:
        for _ in range(runs):
            ours.append(read_there(group))
    record("channel_read_2n", SPLIT, "ns", ours,
           [r["channel_read_4k"] for r in one_host(runs)], Target("ratio", most=1.1))
