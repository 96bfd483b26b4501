# SPDX-License-Identifier: MIT
"""Last values, beside a plain sequence lock that does the same."""
from figures import NO_TARGET, SAME, SPLIT, Target, figure, output_of, record, tool

LIMITS = {
    "channel_write_64": ("ns", SAME, Target("median", most=10)),
    "channel_read_64": ("ns", SAME, Target("median", most=15)),
    "channel_write_4k": ("ns", SAME, Target("median", most=150)),
    "channel_read_4k": ("ns", SAME, Target("median", most=180)),
    "channel_read_4k_hot": ("ns", SPLIT, NO_TARGET),
    "channel_read_4k_hot_p99": ("us", SPLIT, Target("median", most=2)),
}


@figure
def channel(runs):
    results = [output_of([tool("channel_bench"), 0, 1]) for _ in range(runs)]
    for name, (unit, placement, target) in LIMITS.items():
        record(name, placement, unit, [r[name] for r in results],
               [r[name.replace("channel", "floor", 1)] for r in results], target)
