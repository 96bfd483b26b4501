# SPDX-License-Identifier: MIT
"""Nodes in two virtual machines with the module; each machine is driven through shells.

A machine has two cards: eth0 is the cable between the two, eth1 leads to this process
alone. At port 7 of eth1 every connection gets a shell.
"""
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import time

from . import process
from .node import CORE_MEMBER, TOP, Node, Program, Run
from .wait import Failure, until

# What a kernel says when it finds itself in a state that it should not be in.
COMPLAINTS = "BUG|WARNING:|Oops|refcount_t|ODEBUG|list_(add|del) corruption|blocked for more"
CONTROL_PORT = int(os.environ.get("LAB_CONTROL_PORT", "17700"))


class Shell:
    """A shell in a machine; looks like a subprocess to those who use one."""

    def __init__(self, machine, command):
        self.machine = machine
        self.sock = socket.create_connection(("127.0.0.1", machine.port), timeout=20)
        self.returncode = None
        self.sock.sendall(command.encode() + b"\n")

    def poll(self):
        """None while it runs. Looks without taking anything away."""
        try:
            if select.select([self.sock], [], [], 0)[0] and not self.sock.recv(1, socket.MSG_PEEK):
                self.returncode = 255
        except OSError:
            self.returncode = 255
        return self.returncode

    def wait(self, seconds):
        until(lambda: self.poll() is not None, seconds, "a program in a machine ends")
        return self.returncode

    def read_all(self, seconds):
        """Everything it says until it ends."""
        text, end = b"", time.monotonic() + seconds
        while True:
            if not select.select([self.sock], [], [], max(0, end - time.monotonic()))[0]:
                raise Failure(f"no end after {seconds} s: {text.decode(errors='replace')}")
            piece = self.sock.recv(65536)
            if not piece:
                self.sock.close()
                return text.decode(errors="replace")
            text += piece

    def communicate(self, timeout):
        """As subprocess does; the exit status is what the last line says."""
        said, _, status = self.read_all(timeout).rstrip().rpartition("exit:")
        self.returncode = int(status) if status.isdigit() else 255
        return said.encode(), None


class Machine:
    """A virtual machine; SIDE is its end of the cable, 0 or 1."""

    def __init__(self, side, directory):
        self.side, self.port = side, CONTROL_PORT + side
        self.log_path = os.path.join(directory, f"console{side}.log")
        self.child = process.spawn(
            [os.path.join(TOP, "tests", "cluster", "vm-machine.sh"), str(side), directory,
             str(self.port)], stdin=subprocess.DEVNULL, start_new_session=True)

    def ready(self):
        """True once a shell answers."""
        try:
            return self.run("echo up", seconds=2).strip() == "up"
        except (OSError, Failure):
            return False

    def run(self, command, seconds=20):
        """Runs a command in the machine; returns what it says."""
        return Shell(self, command + "\nexit").read_all(seconds)

    def alive(self):
        return self.child.poll() is None

    def power_off(self):
        """The plug is pulled."""
        if self.alive():
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()


class VmProgram(Program):
    """The puppet in a machine. Its first line says its process id."""

    def __init__(self, node, arguments, tool):
        words = " ".join(str(a) for a in arguments)
        shell = Shell(node.machine, f"echo $$; cd /tmp; exec {tool} {node.port} {words} "
                                    f"2>>{node.base}.program")
        super().__init__(node, shell, shell.sock.fileno())
        self.pid = int(self.answer()[0])

    def write(self, data):
        self.child.sock.sendall(data)

    def kill(self):
        if self.node.machine.alive():
            self.node.machine.run(f"kill -9 {self.pid}")
        self.child.sock.close()

    def state(self):
        return f"{self.pid} is in " + self.node.machine.run(f"cat /proc/{self.pid}/wchan")


class VmNode(Node):
    """An agent in a machine."""

    def __init__(self, directory, machine, port=9900, options=()):
        super().__init__(directory, None, machine.side + 1, port, "kmod", options)
        self.machine = machine
        self.base = f"/tmp/dsmd-{port}"

    def start(self, *options):
        words = " ".join(["dsmd", "--port", str(self.port), *self.options, *options])
        self.machine.run(f"rm -f {self.base}.exit; "
                         f"setsid sh -c 'sh -c \"echo \\$\\$ >{self.base}.pid; exec {words}\" "
                         f">>{self.base}.log 2>&1 </dev/null; echo $? >{self.base}.exit' "
                         "</dev/null >/dev/null 2>&1 &")
        return self

    def answer(self, command):
        """The JSON that the command line gives; None where no agent answers."""
        if not self.machine.alive():
            return None
        try:
            text = self.machine.run(f"dsm {command} --port {self.port} --json 2>/dev/null")
            return json.loads(text)
        except (OSError, ValueError):
            return None

    def status(self):
        got = self.answer("status")
        if not got:
            return None
        state = CORE_MEMBER if got["state"] == "member" else 0
        return got["node"], got["members"], got["master"], got["memory"]["bytes_total"], state, 0

    def query(self, command):
        got = self.answer(command)
        if got is None:
            raise Failure(f"no agent answers '{command}' at {self}")
        return got

    def start_program(self, arguments, tool="puppet"):
        return VmProgram(self, arguments, tool)

    def launch(self, name, *arguments):
        words = " ".join([name, *arguments])
        return Run(Shell(self.machine, f"DSM_PORT={self.port} {words} 2>&1; echo exit:$?\nexit"))

    def log(self):
        return self.machine.run(f"cat {self.base}.log")

    def program_log(self):
        return self.machine.run(f"cat {self.base}.program")

    def leave(self):
        self.machine.run(f"kill -TERM $(cat {self.base}.pid)")

    def ended(self, seconds=10):
        text = until(lambda: self.machine.run(f"cat {self.base}.exit 2>/dev/null").strip(),
                     seconds, f"the agent at {self} ends", pause=0.05)
        return int(text)

    def kill(self):
        self.machine.run(f"kill -9 $(cat {self.base}.pid)")

    def crash(self):
        """The whole machine goes."""
        self.programs.clear()
        self.machine.power_off()


class VmLab:
    """Two machines that stay up from case to case; as cases.Lab otherwise."""

    def __init__(self, directory):
        self.directory = directory
        self.machines = []
        self.nodes = []
        self.name, self.hosts, self.pager, self.lan = None, 2, "kmod", self

    def begin(self, name):
        """Fresh modules for a case; machines that went come back."""
        for machine in self.machines:
            if machine.child.returncode == 1:
                raise Failure(f"machine {machine.side} did not start; is another laboratory running?")
        self.name, self.nodes = name, []
        if len(self.machines) < 2 or not all(m.alive() for m in self.machines):
            self.power_off()
            # Else the second machine could plug its cable into what is left of the last one.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.directory, "cable"))
            self.machines = [Machine(side, self.directory) for side in (0, 1)]
            until(lambda: all(m.ready() for m in self.machines), 90, "both machines are up", 0.2)
        for machine in self.machines:
            said = machine.run("dmesg -c >/dev/null; killall -q -9 puppet heat dsmd; cd /; rm -rf /tmp/*; "
                               "n=0; until ! grep -q '^dsm ' /proc/modules || rmmod dsm 2>/dev/null "
                               "|| [ $n -gt 100 ]; do usleep 50000; n=$((n+1)); done; "
                               "insmod /dsm.ko && echo loaded")
            if "loaded" not in said:
                raise Failure(f"the module of machine {machine.side} does not load anew: {said}")

    def node(self, host, port=9900, options=()):
        node = VmNode(self.directory, self.machines[host - 1], port, options)
        self.nodes.append(node)
        return node

    def cluster(self, options=()):
        from .node import joined
        nodes = [self.node(host, options=options) for host in range(1, self.hosts + 1)]
        for node in nodes:
            node.start()
        joined(nodes, seconds=30)
        return nodes

    def interface(self, host, up):
        """Of a LAN: takes eth0 down or up."""
        self.machines[host - 1].run(f"ip link set eth0 {'up' if up else 'down'}")

    def inspect(self):
        """The kernels have nothing to complain of."""
        for machine in self.machines:
            said = machine.alive() and machine.run(f"dmesg | grep -E -A 40 '{COMPLAINTS}'")
            if said:
                raise Failure(f"the kernel of machine {machine.side} complained:\n{said}")

    def close(self, keep_logs):
        if keep_logs:
            for machine in self.machines:
                if machine.alive():
                    print("    machine", machine.side, machine.run("dmesg | tail -n 12"))

    def power_off(self):
        for machine in self.machines:
            machine.power_off()
