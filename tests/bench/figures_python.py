# SPDX-License-Identifier: MIT
"""Python: messages between two processes, beside the pipes of multiprocessing."""
import os

from figures import BUILD, NO_TARGET, SAME, SPLIT, TOP, Target, cpus, figure, output_of, record

SCRIPT = os.path.join(TOP, "tests", "bench", "python_channel.py")


def measure(name, pipe, runs, targets):
    environment = dict(os.environ, PYTHONPATH=os.path.join(BUILD, "python"))
    for placement, target in targets:
        words = [SCRIPT, ",".join(map(str, cpus(placement, 2))), name, pipe]
        values, floors = [], []
        for _ in range(runs):
            got = output_of(words, env=environment)
            values.append(got[name])
            floors.append(got[pipe])
        record(name, placement, "k/s", values, floors, target)


@figure
def python_channel(runs):
    measure("python_channel", "pipe", runs,
            ((SPLIT, Target("median", least=300)), (SAME, NO_TARGET)))


@figure
def python_channel_batch(runs):
    measure("python_channel_batch", "pipe_stream", runs,
            ((SPLIT, Target("median", least=1000)), (SAME, Target("median", least=1000))))
