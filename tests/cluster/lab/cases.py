# SPDX-License-Identifier: MIT
"""The list of cases, and the laboratory that each one gets."""
import os
import shutil
import tempfile
import time
import traceback

from . import process
from .lan import Lan
from .node import TOP, Node, cluster
from .wait import Failure

CASES = []


def case(hosts=2, sizes=(), vm=False):
    """Marks a function as a case on HOSTS hosts, or as one case per size in SIZES.

    VM: it is about machines and the module, and runs nowhere else.
    """
    def mark(function):
        for size in sizes or (hosts,):
            suffix = f"_{size}" if sizes else ""
            CASES.append((function.__name__ + suffix, size, function, vm))
        return function
    return mark


class Lab:
    """What a case works with: hosts, a directory, a pager."""

    def __init__(self, hosts, pager):
        self.name, self.hosts, self.pager = None, hosts, pager
        self.directory = tempfile.mkdtemp(prefix="dsmlab-")
        self.lan = None
        self.nodes = []

    def begin(self, name):
        self.name = name

    def node(self, host, port=9900, options=()):
        """A node at HOST of the laboratory's LAN, not started."""
        if not self.lan:
            self.lan = Lan(self.hosts)
        node = Node(self.directory, self.lan, host, port, self.pager, options)
        self.nodes.append(node)
        return node

    def local_node(self, port, options=()):
        """A node on the machine itself, for cases with several agents at one host."""
        node = Node(self.directory, None, 0, port, self.pager, options)
        self.nodes.append(node)
        return node

    def cluster(self, options=()):
        """One node per host, joined."""
        self.lan = Lan(self.hosts)
        self.nodes = cluster(self.directory, self.lan, self.hosts, self.pager, options)
        return self.nodes

    def inspect(self):
        """Raises Failure where something went wrong that no case looks at."""

    def close(self, keep_logs):
        for node in self.nodes:
            node.forget_session()
        process.kill_all()
        if self.lan:
            self.lan.close()
        kept = os.path.join(TOP, "build", "test", "cluster", self.name)
        shutil.rmtree(kept, ignore_errors=True)
        if keep_logs:
            shutil.copytree(self.directory, kept, ignore=shutil.ignore_patterns("*.sock"))
        shutil.rmtree(self.directory, ignore_errors=True)


def report_logs(lab):
    """Prints the end of every agent's log and of its programs'."""
    for node in lab.nodes:
        for what, read in (("agent", node.log), ("programs", node.program_log)):
            try:
                lines = read().splitlines()
            except (OSError, Failure):
                continue
            for line in lines[-15:]:
                print(f"    {what} of {node}: {line}")


def report_state(lab):
    """Prints what the living agents and programs are at."""
    for node in lab.nodes:
        for command in ("lock list", "barrier list", "stats"):
            try:
                answer = str(node.query(command))
            except (OSError, Failure, ValueError) as error:
                answer = str(error)
            print(f"    {node}: {command}: {answer[:1000]}")
        for program in node.programs:
            print(f"    {node}: program {program.state()}")


def run(name, function, lab):
    """Runs one case in LAB; True when it held."""
    start = time.monotonic()
    error = None
    try:
        lab.begin(name)
        function(lab)
        lab.inspect()
    except Failure as failure:
        error = str(failure)
    except Exception:
        error = traceback.format_exc().rstrip()
    finally:
        if error:
            report_logs(lab)
            report_state(lab)
        lab.close(keep_logs=bool(error))
    seconds = time.monotonic() - start
    print(f"{'FAILED' if error else 'ok':6} {name:40} {seconds:6.1f} s"
          + (f"  {error}" if error else ""), flush=True)
    return not error
