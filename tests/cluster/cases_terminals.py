# SPDX-License-Identifier: MIT
"""Two terminals on one machine: programs with different ports and no daemon started by hand."""
import os
import subprocess

from lab.cases import case
from lab.node import BUILD
from lab.process import spawn
from lab.wait import check, until


@case(hosts=1)
def two_terminals_make_a_cluster(lab):
    """dsm_init starts an agent for the life of each program; nothing stays behind."""
    one_node, two_node = lab.node(1, port=9951), lab.node(1, port=9952)
    one, two = one_node.program(1024), two_node.program(1024)
    until(lambda: one.ask("node")[1] == "2" and two.ask("node")[1] == "2", 10,
          "both programs count two nodes")
    address = one.ask("alloc", 4 * 4096)[0]
    one.ask("fill", address, 4, 1)
    two.ask("check", address, 4, 1)
    check(int(one.ask("node")[3]) == 2048 * 4096, "the pool is the sum of what both donate")
    one.tell("barrier", 1)
    two.ask("barrier", 1)
    check(one.answer() == ["ok"], "the barrier ends")
    one.quit()
    until(lambda: two.ask("node")[1] == "1", 5, "the first program's node is gone")
    two.ask("check", address, 4, 1)
    two.quit()
    until(lambda: not agents_of(one_node), 5, "no agent stays behind")


@case(hosts=1)
def private_agent_dies_with_its_program(lab):
    node = lab.node(1, port=9953)
    program = node.program(256)
    check(agents_of(node), "an agent runs for the program")
    program.kill()
    until(lambda: not agents_of(node), 5, "kill -9 of the program ends its agent")


def agents_of(node):
    """Process ids of agents that use the node's directory."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if f"DSM_RUNDIR={node.run_dir}".encode() not in file.read().split(b"\0"):
                    continue
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "dsmd":
                found.append(int(pid))
        except OSError:
            continue
    return found


@case(hosts=1)
def agents_of_one_host_find_each_other(lab):
    """Three agents on one machine without any network but loopback."""
    nodes = [lab.node(1, port=9961 + i) for i in range(3)]
    lab.lan.interface(1, False)
    for node in nodes:
        node.start()
    until(lambda: all(node.members() == 3 for node in nodes), 10, "three agents are one cluster")
    one, _, three = [node.program() for node in nodes]
    address = one.ask("alloc", 4096)[0]
    one.ask("fill", address, 1, 1)
    three.ask("check", address, 1, 1)


@case(hosts=1)
def program_without_agent_says_so(lab):
    node = lab.node(1)
    environment = dict(node.environment, DSM_DSMD="/nonexistent/dsmd", PATH="/nonexistent")
    child = spawn([os.path.join(BUILD, "puppet"), "19999"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                  stderr=subprocess.STDOUT, env=environment)
    text = child.communicate(timeout=10)[0].decode()
    check(child.returncode == 1 and "error init" in text, f"dsm_init fails with a word: {text}")
