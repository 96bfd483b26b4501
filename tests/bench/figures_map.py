# SPDX-License-Identifier: MIT
"""Maps: the trace of map_trace.h, beside a private table, LMDB and redis."""
import os
import shutil
import subprocess
import tempfile

from figures import SAME, SPLIT, TOP, NO_TARGET, Nodes, Target, figure, output_of, record, tool
from lab.wait import until


def table():
    return output_of([tool("floor_map_table"), 0])


def lmdb():
    subprocess.run(["make", "-s", "-C", TOP, "build/release/floor_map_lmdb"], check=True)
    directory = tempfile.mkdtemp(prefix="dsmbench-", dir="/dev/shm")
    try:
        return output_of([tool("floor_map_lmdb"), directory, 0])
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def redis():
    """A server of its own, on the other processor."""
    directory = tempfile.mkdtemp(prefix="dsmbench-")
    socket = os.path.join(directory, "socket")
    server = subprocess.Popen(
        ["taskset", "-c", "1", "redis-server", "--port", "0", "--unixsocket", socket, "--save", "",
         "--appendonly", "no", "--dir", directory], stdout=subprocess.DEVNULL)
    try:
        until(lambda: os.path.exists(socket), 10, "redis listens")
        return output_of([tool("floor_map_redis"), socket, 0])
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(directory, ignore_errors=True)


def host(cpu=0):
    return output_of([tool("map_bench"), "host", cpu])


def compare(what, target, runs):
    """The map beside the private table, then what other stores take for the same."""
    ours, floors, others = [], [], {"lmdb": [], "redis": []}
    for _ in range(runs):
        floors.append(table()[f"table_{what}"])
        ours.append(host()[f"map_{what}"])
        others["lmdb"].append(lmdb()[f"lmdb_{what}"])
        others["redis"].append(redis()[f"redis_{what}"])
    record(f"map_{what}", SAME, "ns", ours, floors, target)
    record(f"map_{what} (lmdb)", SAME, "ns", others["lmdb"], floors, NO_TARGET)
    record(f"map_{what} (redis)", SPLIT, "ns", others["redis"], floors, NO_TARGET)


@figure
def map_get(runs):
    compare("get", Target("median", most=90), runs)


@figure
def map_set(runs):
    compare("set", Target("median", most=150), runs)


@figure
def map_get_2n(runs):
    """On the second of two nodes, every page there already; the floor is one host's, on its cpu."""
    ours, one_host = [], []
    with Nodes(2, SPLIT) as group:
        ports = ",".join(str(node.port) for node in group.nodes)
        places = ",".join(map(str, group.cpus))
        for _ in range(runs):
            one_host.append(host(group.cpus[1])["map_get"])
            ours.append(output_of([tool("map_bench"), "nodes", ports, places],
                                  env=group.nodes[0].environment)["map_get_2n"])
    record("map_get_2n", SPLIT, "ns", ours, one_host, Target("ratio", most=1.1))
