#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws time, memory and fragmentation of the same trace under each strategy of a heap.

    tests/bench/plot_heap.py [FILE]     FILE: build/heap-strategies.svg
"""
import os
import subprocess
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PROGRAM = os.path.join(TOP, "build", "release", "heap_profile")
STRATEGIES = (("size classes", "#7a5195"), ("first fit", "#1f5fa8"), ("best fit", "#2a9d5c"),
              ("worst fit", "#d1495b"))
PANELS = (("ns a pair of free and allocate", lambda row: row[1]),
          ("MiB the heap has, 3.1 of it in use", lambda row: row[2] / 2 ** 20),
          ("% of the free bytes outside the largest free place", lambda row: row[4]),
          ("% of the blocks' bytes that nobody asked for", lambda row: row[5]))
WIDTH, HEIGHT, LEFT, TOP_SPACE, GAP = 760, 170, 60, 40, 50


def rows_of(strategy):
    """One run: rows of numbers as heap_profile prints them."""
    done = subprocess.run([PROGRAM, str(strategy)], stdout=subprocess.PIPE, text=True, check=True)
    return [[float(word) for word in line.split()] for line in done.stdout.splitlines()]


def panel(y, title, value, runs):
    """One diagram with all strategies, its upper edge at Y."""
    most = max(value(row) for run in runs for row in run) * 1.08 or 1
    last = runs[0][-1][0]
    out = [f'<text x="{LEFT}" y="{y - 8}" font-size="13">{title}</text>',
           f'<rect x="{LEFT}" y="{y}" width="{WIDTH - LEFT - 20}" height="{HEIGHT}" fill="none" '
           'stroke="#999"/>']
    for step in range(5):
        at = y + HEIGHT - HEIGHT * step / 4
        out.append(f'<text x="{LEFT - 6}" y="{at + 4:.0f}" font-size="11" text-anchor="end">'
                   f'{most * step / 4:.3g}</text>')
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{at:.0f}" y2="{at:.0f}" '
                   'stroke="#e4e4e4"/>')
    for (_, colour), run in zip(STRATEGIES, runs):
        points = " ".join(f"{LEFT + (WIDTH - LEFT - 20) * row[0] / last:.1f},"
                          f"{y + HEIGHT * (1 - value(row) / most):.1f}" for row in run)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" '
                   'stroke-width="1.8"/>')
    return out


def picture(runs):
    """The whole image."""
    height = TOP_SPACE + len(PANELS) * (HEIGHT + GAP) + 10
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
           'font-family="sans-serif">', '<rect width="100%" height="100%" fill="white"/>']
    for i, (name, colour) in enumerate(STRATEGIES):
        out.append(f'<text x="{LEFT + i * 130}" y="18" font-size="13" fill="{colour}">'
                   f'{name}</text>')
    for i, (title, value) in enumerate(PANELS):
        out += panel(TOP_SPACE + 10 + i * (HEIGHT + GAP), title, value, runs)
    out.append(f'<text x="{LEFT}" y="{height - 12}" font-size="12">over '
               f'{runs[0][-1][0] / 1e6:g} million pairs, 16 to 4095 bytes, 4096 live blocks</text>')
    return "\n".join(out + ["</svg>", ""])


def main():
    target = sys.argv[1] if len(sys.argv) > 1 else os.path.join(TOP, "build",
                                                                "heap-strategies.svg")
    runs = [rows_of(i) for i in range(len(STRATEGIES))]
    with open(target, "w", encoding="utf-8") as file:
        file.write(picture(runs))
    for (name, _), run in zip(STRATEGIES, runs):
        print(f"{name:14} {sorted(row[1] for row in run)[len(run) // 2]:7.1f} ns a pair, "
              f"{run[-1][2] / 2 ** 20:6.2f} MiB, external {run[-1][4]:5.1f} %, "
              f"internal {run[-1][5]:5.1f} %")
    print(f"drawn into {os.path.relpath(target)}")


if __name__ == "__main__":
    main()
