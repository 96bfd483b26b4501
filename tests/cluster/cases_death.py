# SPDX-License-Identifier: MIT
"""kill -9 of programs, agents and nodes."""
import time

from lab.cases import case
from lab.node import joined
from lab.wait import check, until

OWNER_DEAD = 1  # DSM_OWNER_DEAD
NOTICED = 2  # seconds in which a death must be noticed


def split(nodes):
    """(the master, the others in order of their ids)"""
    master_id = nodes[0].status()[2]
    others = sorted((n for n in nodes if n.node_id() != master_id), key=lambda n: n.node_id())
    return next(n for n in nodes if n.node_id() == master_id), others


@case(hosts=2)
def killed_lock_holder_hands_over(lab):
    first, second = lab.cluster()
    holder, waiter = first.program(), second.program()
    check(holder.ask("lock", 7)[0] == "0", "the lock is free at first")
    waiter.tell("lock", 7)
    until(lambda: any(lock["id"] == 7 and lock["waiters"] for lock in second.query("lock list")["locks"]),
          5, "the other program waits for the lock")
    holder.kill()
    result = int(waiter.answer(NOTICED + 1)[1])
    check(result == OWNER_DEAD, f"the next holder is told of the death; it got {result}")
    # And the lock works as any other from then on.
    waiter.ask("unlock", 7)
    check(waiter.ask("lock", 7)[0] == "0", "taken again without a mark")
    waiter.ask("unlock", 7)
    check(first.program().ask("lock", 7, seconds=3)[0] == "0", "and by the other node")


@case(hosts=3)
def killed_node_is_noticed(lab):
    """Within 2 s: its locks go on, barriers count without it, its pages give SIGBUS."""
    nodes = lab.cluster()
    master, (second, third) = split(nodes)
    one, two, dead = master.program(), second.program(), third.program()
    lost = dead.ask("alloc", 8 * 4096)[0]
    dead.ask("fill", lost, 8, 9)
    kept = one.ask("alloc", 8 * 4096)[0]
    one.ask("fill", kept, 8, 4)
    check(dead.ask("lock", 3)[0] == "0", "the lock is free at first")
    two.tell("lock", 3)
    one.tell("barrier", 1)
    third.crash()
    start = time.monotonic()
    check(len(two.answer(NOTICED + 1)) == 3, "the dead node's lock is handed on")
    took = time.monotonic() - start
    check(took <= NOTICED, f"the death was noticed after {took:.2f} s")
    two.tell("barrier", 1)
    check(one.answer(5) == ["ok"] and two.answer(5) == ["ok"], "the barrier counts the living")
    joined([master, second])
    check(two.ask_any("read", lost)[0] == "sigbus", "a page that only the dead node had gives SIGBUS")
    check("lost" in master.log() + second.log(), "a log line says that pages are lost")
    two.ask("check", kept, 8, 4)
    one.ask("check", kept, 8, 4)


@case(hosts=3)
def shared_page_survives_its_owner(lab):
    nodes = lab.cluster()
    master, (second, third) = split(nodes)
    writer, reader = third.program(), second.program()
    address = writer.ask("alloc", 40 * 4096)[0]
    writer.ask("fill", address, 40, 2)
    reader.ask("check", address, 40, 2)
    third.crash()
    joined([master, second], seconds=NOTICED + 2)
    # The copies that were read are as good as the originals, and may be written.
    reader.ask("check", address, 40, 2)
    master.program().ask("check", address, 40, 2)
    reader.ask("fill", address, 40, 6)
    master.program().ask("check", address, 40, 6)


@case(hosts=4)
def master_dies_and_the_oldest_takes_over(lab):
    nodes = lab.cluster()
    master, others = split(nodes)
    programs = [node.program() for node in others]
    address = programs[0].ask("alloc", 30 * 4096)[0]
    programs[0].ask("fill", address, 30, 8)
    programs[1].ask("check", address, 30, 8)
    counter = programs[2].ask("alloc", 4096)[0]
    check(programs[2].ask("lock", 5)[0] == "0", "a lock is held over the change")
    master.crash()
    joined(others, seconds=NOTICED + 2)
    check(others[0].status()[2] == others[0].node_id(), "the oldest survivor is the master")
    programs[2].ask("check", address, 30, 8)
    programs[1].tell("lock", 5)
    programs[2].ask("unlock", 5)
    check(programs[1].answer(5)[1] == "0", "the lock goes on after the change")
    programs[1].ask("unlock", 5)
    for program in programs:
        program.tell("lock_add", 6, counter, 50)
    for program in programs:
        check(program.answer(30) == ["ok"], "locks and pages work under the new master")
    check(programs[0].ask("read", counter)[0] == "150", "no increment was lost")
    fresh = programs[1].ask("alloc", 4096)[0]
    programs[1].ask("fill", fresh, 1, 1)
    # A newcomer joins the new master.
    master.start()
    joined(others + [master])
    master.program().ask("check", fresh, 1, 1)


@case(hosts=4)
def masters_die_one_after_another(lab):
    nodes = lab.cluster()
    program = None
    while len(nodes) > 1:
        master, others = split(nodes)
        last = others[-1]
        program = program or last.program()
        master.crash()
        nodes = others
        joined(nodes, seconds=NOTICED + 2)
        program.ask("alloc", 4096)
    check(nodes[0].members() == 1, "the last node is a cluster by itself")


@case(hosts=2)
def killed_agent_gives_sigbus_not_silence(lab):
    """userfaultfd: what the agent knew dies with it; programs must notice, not compute on zeroes."""
    first, second = lab.cluster(options=["--recovery-time", "500"])
    one, two = first.program(), second.program()
    address = two.ask("alloc", 8 * 4096)[0]
    two.ask("fill", address, 8, 3)
    one.ask("check", address, 4, 3)
    first.kill()
    got = one.ask_any("read", f"{int(address, 16) + 7 * 4096:x}", seconds=10)
    check(got[0] == "sigbus", f"a page that was not here gives SIGBUS, not '{' '.join(got)}'")
    joined([second], seconds=NOTICED + 2)
    two.ask("check", address, 8, 3)
    # The same port serves again, for new programs.
    first.start()
    joined([first, second])
    first.program().ask("check", address, 8, 3)


@case(hosts=2)
def killed_program_leaves_its_pages(lab):
    first, second = lab.cluster()
    writer = first.program()
    address = writer.ask("alloc", 16 * 4096)[0]
    writer.ask("fill", address, 16, 5)
    writer.kill()
    second.program().ask("check", address, 16, 5)
    first.program().ask("check", address, 16, 5)


@case(hosts=2)
def programs_die_while_they_work(lab):
    """Twenty programs are killed at any moment of taking a lock and writing; the rest go on."""
    first, second = lab.cluster()
    steady = second.program()
    address = steady.ask("alloc", 4096)[0]
    for _ in range(20):
        victim = first.program()
        victim.tell("lock_add", 9, address, 1000000)
        before = int(steady.ask("read", address)[0])
        until(lambda: int(steady.ask("read", address)[0]) > before, 10, "the victim has begun")
        victim.kill()
    got = steady.ask("lock", 9, seconds=5)
    check(len(got) == 2, "the lock is not lost with its holders")
    steady.ask("unlock", 9)
    steady.ask("lock_add", 9, address, 10)


@case(hosts=2)
def dead_masters_pages_are_lost_too(lab):
    """What only the master had, and nobody else ever asked for, is SIGBUS and never zeroes."""
    master, (second,) = split(lab.cluster())
    writer, reader = master.program(), second.program()
    lost = writer.ask("alloc", 8 * 4096)[0]
    writer.ask("fill", lost, 8, 9)
    master.crash()
    joined([second], seconds=NOTICED + 2)
    check(reader.ask_any("read", lost)[0] == "sigbus", "a page that only the dead master had gives SIGBUS")
    check("lost" in second.log(), "a log line says that pages are lost")
