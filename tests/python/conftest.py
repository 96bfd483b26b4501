# SPDX-License-Identifier: MIT
"""Two nodes on loopback, segments over both kinds of memory, and programs on the other side."""
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

import pytest

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("DSM_BUILD", os.path.join(TOP, "build", "release"))
sys.path.insert(0, os.path.join(BUILD, "python"))

import dsm  # noqa: E402

DEADLINE = 20
numbers = itertools.count(1)


def until(condition, seconds=DEADLINE):
    """Looks again until CONDITION() is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.002)


class Nodes:
    """Two agents. This process uses the first one, and programs may use either."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="dsm-python-")
        # Below the ports that the system gives out by itself.
        self.ports = [12000 + os.getpid() % 1500 * 8 + i for i in range(2)]
        self.agents = []

    def environment(self, node=0):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("DSM_")}
        return dict(clean, DSM_RUNDIR=self.directory, DSM_CONFIG="/dev/null", DSM_PAGER="uffd",
                    DSM_NO_DISCOVERY="yes", DSM_DSMD=os.path.join(BUILD, "dsmd"),
                    DSM_BUILD=BUILD, DSM_PORT=str(self.ports[node]),
                    PYTHONPATH=os.path.join(BUILD, "python"))

    def start(self):
        for i, port in enumerate(self.ports):
            words = ["setpriv", "--pdeathsig", "KILL", os.path.join(BUILD, "dsmd"),
                     "--port", str(port), "--pager", "uffd", "--run-dir", self.directory,
                     "--chunks", "32768", "--log-level", "error"]
            if i:
                words += ["--join", f"127.0.0.1:{self.ports[0]}"]
            self.agents.append(subprocess.Popen(words, env=self.environment(i)))
            until(lambda p=port, n=i + 1: self.members(p) == n)

    def members(self, port):
        """How many nodes the one at PORT knows; 0: it does not serve yet."""
        try:
            with dsm.Cluster(port, rundir=self.directory, start=False, anywhere=True) as cluster:
                return cluster.status().node_count
        except dsm.NotFound:
            return 0

    def stop(self):
        for agent in self.agents:
            agent.kill()
            agent.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture(scope="session")
def nodes():
    group = Nodes()
    os.environ.update({k: v for k, v in group.environment().items() if k.startswith("DSM_")})
    try:
        group.start()
        yield group
        dsm._dsm._leave()
    finally:
        group.stop()


@pytest.fixture(scope="session")
def other(nodes):
    """The second node, in this process too."""
    with dsm.Cluster(nodes.ports[1], rundir=nodes.directory, start=False, anywhere=True) as cluster:
        yield cluster


def fresh(kind):
    """The URI of a segment that is not there, and is not there afterwards."""
    name = f"{kind}:py{os.getpid()}-{next(numbers)}"
    yield name
    try:
        dsm.unlink(name)
    except dsm.NotFound:
        pass


@pytest.fixture(params=["shm", "dsm"])
def uri(request):
    if request.param == "dsm":
        request.getfixturevalue("nodes")
    yield from fresh(request.param)


@pytest.fixture
def shm():
    yield from fresh("shm")


@pytest.fixture
def segment(uri):
    with dsm.Segment(uri, 4 << 20, max_size=64 << 20) as opened:
        yield opened


class Program:
    """A program beside this one; in a cluster, on the other node."""

    def __init__(self, words, environment):
        self.child = subprocess.Popen(words, env=environment, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True, bufsize=1)

    def line(self):
        """The next line that it prints; "" where none comes."""
        timer = threading.Timer(DEADLINE, self.child.kill)
        timer.start()
        try:
            return self.child.stdout.readline().rstrip("\n")
        finally:
            timer.cancel()

    def tell(self, text):
        self.child.stdin.write(text + "\n")

    def kill(self):
        self.child.kill()
        self.child.wait()

    def end(self):
        """What it still printed; it must have ended well."""
        try:
            text = self.child.communicate(timeout=DEADLINE)[0]
        finally:
            self.child.kill()
        assert self.child.returncode == 0, text
        return text


@pytest.fixture
def beside(request):
    """start(uri, CODE or WORDS...): a Python program that has dsm, uri and said(), or another one."""
    programs = []

    def start(uri, *words):
        if uri.startswith("dsm:"):
            environment = request.getfixturevalue("nodes").environment(1)
        else:
            environment = dict(os.environ, PYTHONPATH=os.path.join(BUILD, "python"))
        if len(words) == 1:
            prologue = f"import dsm, os, sys, time\nuri = {uri!r}\n" \
                       "def say(*words): print(*words, flush=True)\n"
            words = (sys.executable, "-c", prologue + textwrap.dedent(words[0]))
        programs.append(Program(list(words), environment))
        return programs[-1]

    yield start
    for program in programs:
        program.kill()


def pytest_sessionfinish(session, exitstatus):
    assert not [uri for uri in dsm.segments() if f"py{os.getpid()}-" in uri]
