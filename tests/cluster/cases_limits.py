# SPDX-License-Identifier: MIT
"""Where the pool ends, and what programs get wrong."""
import os
import resource
import socket
import time

from lab.agent import Session
from lab.cases import case
from lab.node import joined
from lab.wait import check, until

SHORTAGE = "cannot connect until descriptors are free again"


@case(hosts=2)
def exhausted_pool_is_a_clean_error(lab):
    """NULL and errno from the library, SIGBUS for a bare touch, one log line; freeing helps."""
    first, second = lab.cluster(options=["--chunks", "256"])
    one, two = first.program(), second.program()
    got = one.ask_any("alloc", 4096 * 4096)
    check(got[0] == "error" and "memory" in " ".join(got), f"more than the pool: {' '.join(got)}")
    big = one.ask("alloc", 400 * 4096)[0]
    one.ask("fill", big, 400, 1)
    got = two.ask_any("alloc", 200 * 4096)
    check(got[0] == "error", "what is left is not enough")
    two.ask("check", big, 400, 1)
    one.ask("free", big)
    until(lambda: two.ask_any("alloc", 200 * 4096)[0] == "ok", 5, "freed chunks can be had again")


@case(hosts=2)
def bare_touch_beyond_the_pool_is_sigbus(lab):
    first, second = lab.cluster(options=["--chunks", "64"])
    one = first.program()
    base = one.ask("address", "0x40000000")[0]
    got = one.ask_any("fill", base, 4096, 1, seconds=30)
    check(got[0] == "sigbus", f"touching more than there is: {' '.join(got)}")
    check(first.members() == 2 and second.members() == 2, "the agents go on")
    text = first.log() + second.log()
    check("pool" in text or "exhausted" in text, "the log says that the pool is used up")


@case(hosts=1)
def mistakes_are_named(lab):
    """Freeing twice, foreign pointers, unlocking what is not held, odd sizes and addresses."""
    node = lab.node(1).start()
    program = node.program(seconds=10)
    address = program.ask("alloc", 4096)[0]
    program.ask("free", address)
    program.ask("free", address)
    program.ask("free", "12345000")
    program.ask("free", f"{int(address, 16) + 8:x}")
    check(program.ask("unlock", 77)[0] != "0", "unlocking a lock that is not held sets errno")
    check(program.ask_any("alloc", 0)[0] == "error", "no bytes are no allocation")
    check(program.ask_any("alloc", 1 << 62)[0] == "error", "far too many bytes")
    check(program.ask_any("alloc_at", "0x1001", 4096)[0] == "error", "an unaligned address")
    again = program.ask("alloc", 4096)[0]
    program.ask("fill", again, 1, 1)
    program.ask("check", again, 1, 1)
    text = node.program_log()
    for word in ("free", "unlock"):
        check(word in text, f"the library says what was wrong with {word}: {text}")


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def connected(node):
    """A program's socket over which nothing was said yet."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(node.socket)
    return sock


@case(hosts=2)
def without_descriptors_the_agent_waits(lab):
    """More connections than descriptors: said once, no busy loop, and all goes on when some are free again."""
    first, second = lab.cluster()
    program = first.program()
    address = program.ask("alloc", 4096)[0]
    program.ask("fill", address, 1, 1)
    pid = first.child.pid
    second.stop()
    until(lambda: first.members() == 1, 5, "the second has left")
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors(pid) + 4, before[1]))
    crowd = [connected(first) for _ in range(40)]
    first.wait_log("programs " + SHORTAGE, 5)
    second.start()
    first.wait_log("other nodes " + SHORTAGE, 5)
    spent, start = processor_seconds(pid), time.monotonic()
    check(program.ask("read", address), "who is connected is served")
    until(lambda: time.monotonic() - start >= 1, 2, "a second has passed", pause=0.1)
    spent = processor_seconds(pid) - spent
    check(spent < 0.3, f"the agent took {spent} s of a second's processor time")
    for sock in crowd:
        sock.close()
    until(lambda: Session(first.socket, 1).close() is None, 5, "programs can connect again")
    joined([first, second])
    second.program().ask("check", address, 1, 1)
    for who in ("programs ", "other nodes "):
        check(first.log().count(who + SHORTAGE) == 1, f"said once: {first.log()}")
