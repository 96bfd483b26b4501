#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The speed table: every figure beside the floor measured in the same run.

    tests/bench/bench.py [--runs N] [FIGURE...]

Writes build/bench.json. Needs root. Placements: "same" pins every process to
cpu 0, so that the cost of the code path alone is seen; "split" pins node 1 to cpu 0,
node 2 to cpu 1 and so on in turns, as on two machines with idle processors.
"""
import argparse
import glob
import importlib
import json
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "cluster")]

from figures import FIGURES, RESULTS  # noqa: E402
from lab import process  # noqa: E402

TOP = os.path.join(HERE, "..", "..")
for path in sorted(glob.glob(os.path.join(HERE, "figures_*.py"))):
    importlib.import_module(os.path.basename(path)[:-3])


def number(value):
    return "-" if value is None else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def table(rows):
    """Prints the rows of RESULTS under each other."""
    print(f"\n{'figure':20} {'placed':6} {'median':>9} {'min':>9} {'max':>9} {'unit':4} "
          f"{'floor':>9} {'ratio':>7}  target")
    missed = 0
    for row, target in rows:
        print(f"{row['name']:20} {row['placement']:6} {number(row['median']):>9} "
              f"{number(row['min']):>9} {number(row['max']):>9} {row['unit']:4} "
              f"{number(row['floor']):>9} {number(row['ratio']):>7}  {target.text(row)}")
        missed += target.met(row) is False
    print(f"{missed} missed" if missed else "every target met")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("figure", nargs="*", help="only these: " + " ".join(FIGURES))
    options = parser.parse_args()
    for name in options.figure:
        if name not in FIGURES:
            parser.error(f"no figure '{name}'; there are: {' '.join(FIGURES)}")
    broken = []
    try:
        for name in options.figure or FIGURES:
            print(f"measuring {name}", flush=True)
            try:
                FIGURES[name](options.runs)
            except Exception as error:
                broken.append(f"{name} could not be measured: {error}")
    finally:
        process.kill_all()
        # What was measured before an error is not lost.
        with open(os.path.join(TOP, "build", "bench.json"), "w", encoding="utf-8") as file:
            json.dump([row for row, _ in RESULTS], file, indent=1)
            file.write("\n")
    table(RESULTS)
    for line in broken:
        print(line)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
