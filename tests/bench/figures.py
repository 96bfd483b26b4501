# SPDX-License-Identifier: MIT
"""How each figure of the speed table is measured."""
import json
import os
import shutil
import statistics
import subprocess
import tempfile

from lab.node import BUILD, TOP, Node, joined
from lab.vm import Shell, VmLab
from lab.wait import Failure

RESULTS = []
FIGURES = {}
SAME, SPLIT = "same", "split"


class Target:
    """A bound on a row's key, or none."""

    def __init__(self, key=None, most=None, least=None):
        self.key, self.most, self.least = key, most, least

    def met(self, row):
        """None: there is no target."""
        if not self.key:
            return None
        value = row[self.key]
        return value <= self.most if self.most is not None else value >= self.least

    def text(self, row):
        if not self.key:
            return ""
        bound = f"at most {self.most}" if self.most is not None else f"at least {self.least}"
        return f"{self.key if self.key == 'ratio' else ''} {bound}: " \
               f"{'met' if self.met(row) else 'MISSED'}".strip()


NO_TARGET = Target()


def figure(function):
    FIGURES[function.__name__] = function
    return function


def record(name, placement, unit, values, floors, target):
    """Adds a row; VALUES and FLOORS were measured in turns."""
    median, floor = statistics.median(values), statistics.median(floors)
    RESULTS.append(({
        "name": name, "median": round(median, 3), "min": round(min(values), 3),
        "max": round(max(values), 3), "unit": unit, "floor": round(floor, 3),
        "ratio": round(median / floor, 3), "runs": len(values), "placement": placement,
    }, target))


def output_of(words, seconds=120, **keywords):
    """Runs WORDS; returns {name: value} of the lines NAME VALUE UNIT that it prints."""
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, text=True,
                          timeout=seconds, check=False, **keywords)
    if done.returncode:
        raise Failure(f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}")
    return parse(done.stdout)


def parse(text):
    """{name: value} of the lines NAME VALUE UNIT."""
    values = {}
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 3:
            values[parts[0]] = float(parts[1])
    return values


def tool(name):
    return os.path.join(BUILD, name)


def cpus(placement, count):
    return [0 if placement == SAME else i % 2 for i in range(count)]


def floors(placement):
    """One run of the floor program: {remote_fault_limit, tcp_round_trip, wp_fault, ...}"""
    a, b = cpus(placement, 2)
    return output_of([tool("floor_remote"), "local", f"{a},{b}", 4096])


class Nodes:
    """COUNT agents on loopback, pinned; a context."""

    def __init__(self, count, placement, options=()):
        self.directory = tempfile.mkdtemp(prefix="dsmbench-")
        self.cpus = cpus(placement, count)
        self.nodes = []
        for i, cpu in enumerate(self.cpus):
            node = Node(self.directory, None, 0, 19900 + i, "uffd", options)
            node.enter = ["taskset", "-c", str(cpu)]
            node.options += ["--no-discovery", "--cluster", f"bench-{os.getpid()}"]
            if i:
                node.options += ["--join", "127.0.0.1:19900"]
            self.nodes.append(node)

    def __enter__(self):
        for node in self.nodes:
            node.start()
            joined(self.nodes[:self.nodes.index(node) + 1])
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.crash()
        shutil.rmtree(self.directory, ignore_errors=True)

    def bench(self, name, *arguments):
        """One run of dsm_bench over all nodes."""
        return output_of([tool("dsm_bench"), name, ",".join(str(n.port) for n in self.nodes),
                          ",".join(map(str, self.cpus)), *arguments],
                         env=self.nodes[0].environment)


def against(name, nodes, placement, runs, bench, floor, target, unit="us", key=None):
    """Measures bench and floor in turns; FLOOR(values of the floor program) gives the floor."""
    values, lows = [], []
    with Nodes(nodes, placement) as group:
        for _ in range(runs):
            lows.append(floor(floors(placement)))
            values.append(group.bench(bench)[key or bench])
    record(name, placement, unit, values, lows, target)


def round_trip(floor):
    return floor["tcp_round_trip"]


@figure
def read_miss_uffd(runs):
    for placement, target in ((SAME, Target("ratio", most=1.5)), (SPLIT, NO_TARGET)):
        against("read_miss_uffd", 3, placement, runs, "read_miss",
                lambda f: f["remote_fault_limit"], target)


@figure
def write_upgrade(runs):
    for placement, target in ((SAME, Target("ratio", most=1.6)), (SPLIT, NO_TARGET)):
        against("write_upgrade", 2, placement, runs, "write_upgrade",
                lambda f: f["wp_fault"] + f["tcp_round_trip"], target)


@figure
def lock_again(runs):
    values, lows = [], []
    with Nodes(1, SAME) as group:
        for _ in range(runs):
            lows.append(output_of([tool("floor_mutex"), 0])["robust_mutex"])
            values.append(group.bench("lock_again")["lock_again"])
    record("lock_again", SAME, "ns", values, lows, Target("median", most=50))


@figure
def lock_handoff(runs):
    for placement in (SAME, SPLIT):
        against("lock_handoff", 2, placement, runs, "lock_handoff", round_trip,
                Target("ratio", most=2))
        against("lock_contended", 2, placement, runs, "lock_contended", round_trip, NO_TARGET)


@figure
def barrier(runs):
    for count, target in ((2, Target("ratio", most=1.6)), (4, NO_TARGET), (8, NO_TARGET)):
        for placement in (SAME, SPLIT):
            against(f"barrier_{count}", count, placement, runs, "barrier", round_trip, target)


@figure
def heat_speedup(runs):
    mpi, ours = [], []
    subprocess.run(["make", "-s", "-C", TOP, "build/release/floor_heat_mpi"], check=True)
    with Nodes(2, SPLIT) as group:
        for _ in range(runs):
            alone = output_of(mpirun(1))["heat_mpi"]
            mpi.append(alone / output_of(mpirun(2))["heat_mpi"])
            sequential = heat(group.nodes[:1], group.cpus, 1)
            ours.append(sequential / heat(group.nodes, group.cpus, 2))
    record("heat_speedup", SPLIT, "x", ours, mpi, Target("median", least=1.3))


def mpirun(ranks):
    # TCP between the ranks, as between two machines; never shared memory.
    return ["mpirun", "--allow-run-as-root", "--oversubscribe", "-np", ranks, "--mca", "btl",
            "tcp,self", tool("floor_heat_mpi"), 1024, 100]


def heat(nodes, placed, count):
    """The time of the slowest of COUNT heat programs in ms."""
    programs = [subprocess.Popen(
        ["taskset", "-c", str(cpu), tool("heat"), "--size", "1024", "--sweeps", "100", "--nodes",
         str(count), "--json"], stdout=subprocess.PIPE, text=True,
        env=dict(node.environment, DSM_PORT=str(node.port))) for node, cpu in zip(nodes, placed)]
    texts = [program.communicate(timeout=60)[0] for program in programs]
    if any(program.returncode for program in programs):
        raise Failure(f"heat failed: {texts}")
    return max(json.loads(text)["seconds"] for text in texts) * 1000


def script_figure(name, script, unit, target, runs):
    """A figure whose script prints lines NAME VALUE FLOOR, one per run."""
    values, lows = [], []
    done = subprocess.run([os.path.join(TOP, script), str(runs)], stdout=subprocess.PIPE,
                          text=True, timeout=900, check=False)
    for line in done.stdout.splitlines():
        parts = line.split()
        if len(parts) >= 3 and parts[0] == name:
            values.append(float(parts[1]))
            lows.append(float(parts[2]))
    if done.returncode or not values:
        raise Failure(f"{script} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    record(name, "vm", unit, values, lows, target)


@figure
def read_miss_kmod_vm(runs):
    """Home and warmer are two nodes of one machine, the reader is in the other one."""
    directory = tempfile.mkdtemp(prefix="dsmbench-")
    lab = VmLab(directory)
    values, lows = [], []
    try:
        lab.begin("read_miss_kmod_vm")
        one, two = lab.machines
        options = ["--dead-time", "8000"]
        nodes = [lab.node(1, 9900, options), lab.node(2, 9900, options), lab.node(1, 9901, options)]
        for i, node in enumerate(nodes, 1):
            node.start()
            joined(nodes[:i], seconds=30)
        for _ in range(runs):
            server = Shell(one, "floor_remote server 10.99.0.1 7777; exit")
            floor = parse(two.run("floor_remote client 10.99.0.1 7777 500", seconds=60))
            server.read_all(20)
            lows.append(floor["remote_fault_limit"])
            sides = [Shell(node.machine, f"dsm_bench read_miss {node.port} side {i} 3 500; exit")
                     for i, node in enumerate(nodes)]
            said = [side.read_all(120) for side in sides]
            values.append(parse("\n".join(said))["read_miss"])
    finally:
        lab.power_off()
        shutil.rmtree(directory, ignore_errors=True)
    record("read_miss_kmod_vm", "vm", "us", values, lows, Target("ratio", most=1.4))


@figure
def kmod_path(runs):
    script_figure("kmod_path", "tests/vm/bench-kmod-path", "ns", Target("ratio", most=1.25), runs)
