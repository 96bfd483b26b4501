# SPDX-License-Identifier: MIT
"""Rings between two processes, beside what two processes can do at all."""
from figures import (NO_TARGET, SAME, SPLIT, Target, cpus, figure, output_of, record, tool)


def sides(placement):
    return ",".join(map(str, cpus(placement, 2)))


def beside_floor(name, placement, unit, runs, ours, floor, target):
    """One run of each after the other: the machine may place its CPUs anew between runs."""
    values, lows = [], []
    for _ in range(runs):
        lows.append(output_of([tool("floor_ring"), sides(placement), 10000000, floor])[floor])
        values.append(output_of([tool("ring_bench"), sides(placement), 10000000, ours])[ours])
    record(name, placement, unit, values, lows, target)


@figure
def ring_rate(runs):
    beside_floor("ring_rate", SPLIT, "M/s", runs, "ring_rate", "slots_64", Target("median", least=20))
    beside_floor("ring_rate_batch", SPLIT, "M/s", runs, "ring_rate_batch", "slots_64", NO_TARGET)
    beside_floor("ring_rate", SAME, "M/s", runs, "ring_rate", "slots_64", NO_TARGET)


@figure
def ring_rtt_spin(runs):
    beside_floor("ring_rtt_spin", SPLIT, "us", runs, "ring_rtt", "spin_round_trip",
                 Target("median", most=0.3))


@figure
def ring_rtt_sleep(runs):
    """Waiting as it is by default: on one processor that is to give it to the other side."""
    beside_floor("ring_rtt_sleep", SAME, "us", runs, "ring_rtt", "futex_round_trip",
                 Target("median", most=2.5))


@figure
def ring_rtt_futex(runs):
    """With waits that sleep at once (DSM_RING_SLEEP)."""
    beside_floor("ring_rtt_futex", SAME, "us", runs, "ring_rtt_futex", "futex_round_trip", NO_TARGET)
