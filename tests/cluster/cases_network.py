# SPDX-License-Identifier: MIT
"""Cables, strangers and garbage."""
import random
import socket
import time

from lab.cases import case
from lab.node import joined
from lab.wait import check, until


@case(hosts=3)
def short_outage_loses_nothing(lab):
    """A cable is out for less than the dead time, while programs work."""
    nodes = lab.cluster(options=["--dead-time", "4000"])
    programs = [node.program() for node in nodes]
    address = programs[0].ask("alloc", 4096)[0]
    for program in programs:
        program.tell("lock_add", 1, address, 400)
    for _ in range(2):
        before = int(nodes[1].query("stats") is not None)
        check(before, "the agent answers")
        lab.lan.cable(2, False)
        outage_ends = time.monotonic() + 0.4
        until(lambda: time.monotonic() >= outage_ends, 1, "the outage is over")
        lab.lan.cable(2, True)
    for program in programs:
        check(program.answer(60) == ["ok"], "all went on")
    check(int(programs[2].ask("read", address)[0]) == 1200, "no increment was lost")
    joined(nodes)


@case(hosts=3)
def interface_down_and_up(lab):
    """ifdown and ifup at one host: shorter than the dead time, nothing is lost."""
    nodes = lab.cluster(options=["--dead-time", "4000"])
    one, two, _ = [node.program() for node in nodes]
    address = one.ask("alloc", 20 * 4096)[0]
    one.ask("fill", address, 20, 1)
    lab.lan.interface(2, False)
    two.tell("check", address, 20, 1)
    lab.lan.interface(2, True)
    check(two.answer(20) == ["ok"], "the read ends once the interface is up")
    joined(nodes)


@case(hosts=3)
def long_outage_evicts(lab):
    """Out for longer than the dead time: the others go on, the lonely one learns it and joins anew."""
    nodes = lab.cluster(options=["--dead-time", "600"])
    master_id = nodes[0].status()[2]
    lonely = max(nodes, key=lambda n: n.node_id())
    others = [n for n in nodes if n is not lonely]
    check(lonely.node_id() != master_id, "the newest is not the master")
    program = others[0].program()
    address = program.ask("alloc", 8 * 4096)[0]
    program.ask("fill", address, 8, 1)
    old_id = lonely.node_id()
    lab.lan.cable(lonely.host, False)
    joined(others, seconds=5)
    others[1].program().ask("check", address, 8, 1)
    lab.lan.cable(lonely.host, True)
    joined(nodes, seconds=20)
    check(lonely.node_id() != old_id, "its old number is not used again")
    lonely.program().ask("check", address, 8, 1)


def garbage(kind, generator):
    """One malformed greeting of a stranger."""
    if kind == "random":
        return generator.randbytes(generator.randrange(1, 5000))
    if kind == "zeroes":
        return bytes(4096)
    if kind == "huge":
        return b"\xff" * 4096
    return b"GET / HTTP/1.0\r\n\r\n"


@case(hosts=2)
def strangers_harm_nothing(lab):
    """Garbage at the TCP port, the UDP port and the programs' socket while programs work."""
    nodes = lab.cluster()
    one, two = [node.program() for node in nodes]
    address = one.ask("alloc", 4096)[0]
    one.tell("lock_add", 1, address, 500)
    two.tell("lock_add", 1, address, 500)
    generator = random.Random(1)
    # This thread alone moves into the host's namespace for a moment to make its sockets.
    for i in range(60):
        kind = ("random", "zeroes", "huge", "http")[i % 4]
        with socket_at(lab, 1, socket.SOCK_STREAM) as tcp:
            tcp.connect((lab.lan.address(1), 9900))
            try:
                tcp.sendall(garbage(kind, generator))
            except OSError:
                pass
        with socket_at(lab, 1, socket.SOCK_DGRAM) as udp:
            udp.sendto(garbage(kind, generator)[:1400], (lab.lan.address(1), 9999))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as local:
            local.connect(nodes[0].socket)
            try:
                local.send(garbage(kind, generator))
            except OSError:
                pass
    for program in (one, two):
        check(program.answer(60) == ["ok"], "the programs went on")
    check(one.ask("read", address)[0] == "1000", "no increment was lost")
    joined(nodes)


def socket_at(lab, host, kind):
    """A socket of the host's namespace."""
    import ctypes
    import os
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{lab.lan.names[host - 1]}", os.O_RDONLY)
    try:
        check(libc.setns(there, 0) == 0, "setns")
        made = socket.socket(socket.AF_INET, kind)
        check(libc.setns(home, 0) == 0, "setns back")
        return made
    finally:
        os.close(home)
        os.close(there)


@case(hosts=2)
def half_open_connections_are_harmless(lab):
    """Fifty strangers connect and say nothing; a node still joins and works."""
    first, second = lab.node(1), lab.node(2)
    first.start()
    joined([first])
    silent = []
    for _ in range(50):
        sock = socket_at(lab, 1, socket.SOCK_STREAM)
        sock.connect((lab.lan.address(1), 9900))
        silent.append(sock)
    second.start()
    joined([first, second])
    one, two = first.program(), second.program()
    address = one.ask("alloc", 4096)[0]
    one.ask("fill", address, 1, 1)
    two.ask("check", address, 1, 1)
    for sock in silent:
        sock.close()
