# SPDX-License-Identifier: MIT
"""Heaps: the trace of heap_trace.h, beside mimalloc and Boost's shared memory."""
import subprocess

from figures import SAME, SPLIT, TOP, NO_TARGET, Target, cpus, figure, output_of, record, tool


def peers(placement):
    """One run each of the peers' programs."""
    subprocess.run(["make", "-s", "-C", TOP, "build/release/floor_heap_mi",
                    "build/release/floor_heap_boost"], check=True)
    words = ",".join(map(str, cpus(placement, 2)))
    return lambda name: output_of([tool(name), words])


def heap(what, placement, strategy, name):
    words = ",".join(map(str, cpus(placement, 2)))
    count = 3000000 if strategy == 0 else 1000000
    return output_of([tool("heap_bench"), what, words, strategy, count])[name]


def compare(row, what, placement, target, peer, strategy=0, name=None):
    """Measures a heap and PEER, a program and its line, in turns."""
    program, line = peer
    run, values, lows = peers(placement), [], []

    def measured(runs):
        for _ in range(runs):
            lows.append(run(program)[line])
            values.append(heap(what, placement, strategy, name or row))
        record(row, placement, "ns", values, lows, target)
    return measured


@figure
def heap_pair(runs):
    compare("heap_pair", "pair", SAME, Target("median", most=25),
            ("floor_heap_mi", "mimalloc_pair"))(runs)


@figure
def heap_pair_2p(runs):
    """Two processes at once need two processors: there is no placing them on the same one."""
    compare("heap_pair_2p", "pair_2p", SPLIT, Target("median", most=30),
            ("floor_heap_boost", "boost_pair_2p"))(runs)


@figure
def heap_remote_free(runs):
    compare("heap_remote_free", "remote", SPLIT, Target("median", most=200),
            ("floor_heap_mi", "mimalloc_remote"))(runs)
    compare("heap_remote_free", "remote", SAME, NO_TARGET,
            ("floor_heap_mi", "mimalloc_remote"))(runs)


def fit(number, row):
    def run(runs):
        compare(row, "pair", SAME, Target("median", most=200), ("floor_heap_boost", "boost_pair"),
                number, "heap_pair")(runs)
    run.__name__ = row
    figure(run)


fit(1, "heap_first_fit")
fit(2, "heap_best_fit")
fit(3, "heap_worst_fit")
