#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the answers of `dsm stats --json`, one file per node, as one table.

    scripts/node_table.py FILE...
"""
import json
import sys

ROWS = (
    ("read faults", "faults.read", "{:.0f}"),
    ("write faults", "faults.write", "{:.0f}"),
    ("pages in", "pages.in", "{:.0f}"),
    ("pages out", "pages.out", "{:.0f}"),
    ("invalidations", "coherence.invalidations", "{:.0f}"),
    ("read fault p50, us", "latency.read.p50_us", "{:.1f}"),
    ("read fault p99, us", "latency.read.p99_us", "{:.1f}"),
    ("write fault p50, us", "latency.write.p50_us", "{:.1f}"),
    ("write fault p99, us", "latency.write.p99_us", "{:.1f}"),
    ("bytes received", "wire.bytes_in", "{:.0f}"),
    ("bytes sent", "wire.bytes_out", "{:.0f}"),
)


def value_at(document, path):
    for key in path.split("."):
        document = document[key]
    return document


def print_table(documents):
    """DOCUMENTS: the parsed answers."""
    head = [f"node {d['node']} ({d['pager']})" for d in documents]
    print(f"{'':22}" + "".join(f"{h:>18}" for h in head))
    for label, path, form in ROWS:
        print(f"{label:22}" + "".join(f"{form.format(value_at(d, path)):>18}" for d in documents))


def main():
    documents = []
    for name in sys.argv[1:]:
        with open(name, encoding="utf-8") as file:
            documents.append(json.load(file))
    print_table(sorted(documents, key=lambda d: d["node"]))


if __name__ == "__main__":
    main()
