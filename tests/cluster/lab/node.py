# SPDX-License-Identifier: MIT
"""A node: one agent at one host, and the scripted programs beside it."""
import os
import select
import signal
import subprocess
import time

from .agent import Session
from .process import kill, spawn
from .wait import Failure, until

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BUILD = os.path.join(TOP, "build", os.environ.get("LAB_BUILD", "release"))
CORE_MEMBER = 3


class Program:
    """The puppet program (tests/cluster/puppet.c) at a node; OUT is where its answers come from."""

    def __init__(self, node, child, out):
        self.node, self.child, self.out = node, child, out
        self.buffer = b""

    def write(self, data):
        self.child.stdin.write(data)
        self.child.stdin.flush()

    def tell(self, *words):
        """Sends a command without waiting for its answer."""
        self.write((" ".join(str(w) for w in words) + "\n").encode())

    def answered(self):
        """True when a whole answer is here already."""
        while b"\n" not in self.buffer and select.select([self.out], [], [], 0)[0]:
            piece = os.read(self.out, 65536)
            if not piece:
                break
            self.buffer += piece
        return b"\n" in self.buffer

    def answer(self, seconds=10):
        """The next answer, a list of words."""
        end = time.monotonic() + seconds
        while not self.answered():
            left = end - time.monotonic()
            if left <= 0:
                raise Failure(f"program at {self.node} did not answer within {seconds} s")
            if self.child.poll() is not None and not self.answered():
                raise Failure(f"program at {self.node} ended with {self.child.returncode}")
            select.select([self.out], [], [], min(left, 0.1))
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode().split()

    def ask(self, *words, seconds=10):
        """Sends a command; returns the words after "ok"."""
        got = self.ask_any(*words, seconds=seconds)
        if not got or got[0] != "ok":
            raise Failure(f"program at {self.node}: '{' '.join(map(str, words))}' gave '{' '.join(got)}'")
        return got[1:]

    def ask_any(self, *words, seconds=10):
        """Sends a command; returns its whole answer."""
        self.tell(*words)
        return self.answer(seconds)

    def quit(self, seconds=10):
        self.ask("quit", seconds=seconds)
        self.child.wait(seconds)

    def kill(self):
        kill(self.child)

    def state(self):
        """Where in the kernel it is, or how it ended."""
        if self.child.poll() is not None:
            return f"gone ({self.child.returncode})"
        with open(f"/proc/{self.child.pid}/wchan", encoding="ascii") as file:
            return f"{self.child.pid} is in {file.read()}"


class Run:
    """A program that runs to its end at a node."""

    def __init__(self, child):
        self.child = child

    def result(self, seconds):
        """(exit status, everything it said)"""
        text = self.child.communicate(timeout=seconds)[0].decode()
        return self.child.returncode, text


class Node:
    """An agent that serves PORT at HOST of LAN (or of the machine itself, LAN None)."""

    def __init__(self, directory, lan=None, host=1, port=9900, pager="uffd", options=()):
        self.lan, self.host, self.port, self.pager = lan, host, port, pager
        self.run_dir = os.path.join(directory, f"host{host}")
        os.makedirs(self.run_dir, exist_ok=True)
        self.enter = lan.enter(host) if lan else []
        self.log_path = os.path.join(self.run_dir, f"dsmd-{port}.log")
        self.socket = os.path.join(self.run_dir, f"dsmd-{port}.sock")
        # Nothing of the machine's own settings reaches the laboratory.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DSM_")}
        self.environment = dict(clean, DSM_RUNDIR=self.run_dir, DSM_CONFIG="/dev/null",
                                DSM_PAGER=pager, DSM_DSMD=os.path.join(BUILD, "dsmd"))
        self.options = list(options)
        self.child = None
        self.session = None
        self.programs = []

    def __str__(self):
        return f"host {self.host} port {self.port}"

    def start(self, *options):
        """Starts the agent; does not wait for anything."""
        self.forget_session()
        words = self.enter + [os.path.join(BUILD, "dsmd"), "--port", str(self.port),
                              "--pager", self.pager, "--run-dir", self.run_dir,
                              *self.options, *options]
        with open(self.log_path, "ab") as log:
            self.child = spawn(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                               env=self.environment)
        return self

    def forget_session(self):
        if self.session:
            self.session.close()
        self.session = None

    def talk(self):
        """The administrator's session, opened when first needed; None: no agent."""
        if not self.session:
            try:
                self.session = Session(self.socket)
            except (OSError, ConnectionError):
                return None
        return self.session

    def status(self):
        """As Session.status(); None where no agent answers."""
        session = self.talk()
        if not session:
            return None
        try:
            return session.status()
        except (OSError, ConnectionError):
            self.forget_session()
            return None

    def members(self):
        """How many nodes this one counts; 0: it is no member itself."""
        status = self.status()
        return status[1] if status and status[4] == CORE_MEMBER else 0

    def node_id(self):
        return self.status()[0]

    def query(self, command):
        session = self.talk()
        if not session:
            raise Failure(f"no agent answers at {self}")
        return session.query(command)

    def start_program(self, arguments, tool="puppet"):
        with open(self.log_path + ".program", "ab") as log:
            child = spawn(self.enter + [os.path.join(BUILD, tool), str(self.port),
                                        *[str(a) for a in arguments]],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                          env=self.environment)
        return Program(self, child, child.stdout.fileno())

    def launch(self, name, *arguments):
        """Starts the built program NAME at this node; a Run."""
        return Run(spawn(self.enter + [os.path.join(BUILD, name), *arguments],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         env=dict(self.environment, DSM_PORT=str(self.port))))

    def program(self, *arguments, seconds=10, tool="puppet"):
        """A program that has attached."""
        program = self.start_program(arguments, tool)
        self.programs.append(program)
        got = program.answer(seconds)
        if got[:1] != ["ok"]:
            raise Failure(f"program at {self} could not start: {' '.join(got)}")
        return program

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def program_log(self):
        """What this node's programs wrote to standard error."""
        with open(self.log_path + ".program", encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_log(self, text, seconds):
        until(lambda: text in self.log(), seconds, f"'{text}' in the log of {self}", pause=0.02)

    def leave(self):
        """SIGTERM: the agent leaves cleanly; does not wait for it."""
        self.forget_session()
        kill(self.child, signal.SIGTERM)

    def ended(self, seconds=5):
        """The agent's exit status, once it has ended by itself."""
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"agent at {self} did not end within {seconds} s") from None

    def stop(self, seconds=5):
        """Leaves cleanly and returns the exit status."""
        self.leave()
        return self.ended(seconds)

    def kill(self):
        """kill -9 of the agent alone."""
        self.forget_session()
        kill(self.child)

    def crash(self):
        """kill -9 of the whole node: programs and agent."""
        for program in self.programs:
            program.kill()
        self.programs.clear()
        self.kill()


def cluster(directory, lan, count, pager="uffd", options=()):
    """COUNT agents, one per host, started at the same instant and joined."""
    nodes = [Node(directory, lan, i, pager=pager, options=options) for i in range(1, count + 1)]
    for node in nodes:
        node.start()
    joined(nodes)
    return nodes


def joined(nodes, seconds=10):
    """Waits until every one of NODES counts exactly NODES as members."""
    until(lambda: all(node.members() == len(nodes) for node in nodes), seconds,
          f"{len(nodes)} nodes are one cluster; they count {[n.members() for n in nodes]}")
    masters = {node.status()[2] for node in nodes}
    if len(masters) != 1:
        raise Failure(f"{len(masters)} masters: {masters}")
