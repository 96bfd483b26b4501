# SPDX-License-Identifier: MIT
"""Topics: a value there and back through two agents, beside a round trip of TCP."""
from figures import NO_TARGET, SAME, SPLIT, Nodes, figure, floors, output_of, record, round_trip, tool


def push(group, size):
    return output_of([tool("topic_bench"), ",".join(str(n.port) for n in group.nodes),
                      ",".join(map(str, group.cpus)), size], env=group.nodes[0].environment)


@figure
def push_round_trip(runs):
    """Two pushes, each to a reader that sleeps: four wakes of a process on each way more than TCP's."""
    for placement in (SAME, SPLIT):
        values, lows = [], []
        with Nodes(2, placement) as group:
            for _ in range(runs):
                lows.append(round_trip(floors(placement)))
                values.append(push(group, 64)["push_round_trip"])
        record("push_round_trip", placement, "us", values, lows, NO_TARGET)


@figure
def push_write(runs):
    """A write that another node wants, beside one that nobody elsewhere wants."""
    for size in (64, 4096):
        values, lows = [], []
        with Nodes(2, SPLIT) as group:
            for _ in range(runs):
                got = push(group, size)
                values.append(got["push_wanted"])
                lows.append(got["push_none"])
        record(f"push_write_{size}", SPLIT, "ns", values, lows, NO_TARGET)
