# SPDX-License-Identifier: MIT
"""What only the module can do, and deaths of whole machines."""
import time

from cases_work import run_on_all
from lab.cases import case
from lab.node import joined
from lab.wait import check, until


@case(hosts=2, vm=True)
def agent_comes_back_and_programs_go_on(lab):
    """kill -9 of an agent: granted pages stay usable, the next agent takes its place, nobody notices."""
    first, second = lab.cluster(options=["--dead-time", "20000", "--recovery-time", "20000"])
    one, two = first.program(), second.program()
    address = one.ask("alloc", 20 * 4096)[0]
    one.ask("fill", address, 20, 1)
    two.ask("check", address, 10, 1)
    node_id = second.node_id()
    second.kill()
    two.ask("check", address, 10, 1)
    two.tell("check", address, 20, 1)
    second.start()
    got = two.answer(20)
    check(got == ["ok"], f"the access that waited ends as if nothing had happened, not {got}")
    joined([first, second], seconds=20)
    check(second.node_id() == node_id, "the node is the same one")
    two.ask("fill", address, 20, 2, seconds=20)
    one.ask("check", address, 20, 2, seconds=20)


@case(hosts=2, vm=True)
def agent_that_was_alone_knows_its_blocks(lab):
    """Nobody else can tell the next agent what memory is allocated, touched or not."""
    node, other = lab.cluster(options=["--recovery-time", "20000"])
    other.crash()
    until(lambda: node.members() == 1, 10, "the node is alone")
    program = node.program()
    touched, untouched = program.ask("alloc", 40 * 4096)[0], program.ask("alloc", 30 * 4096)[0]
    program.ask("fill", touched, 40, 1)
    used = node.query("status")["memory"]["chunks_used"]
    for life in range(2):
        node.kill()
        node.start()
        joined([node], seconds=20)
        program.ask("check", touched, 40, 1, seconds=20)
        check(node.query("status")["memory"]["chunks_used"] == used, f"what is allocated, in life {life + 2}")
        fresh = program.ask("alloc", 30 * 4096)[0]
        check(fresh not in (touched, untouched), "no block is given out twice")
        program.ask("fill", fresh, 30, 2)
        program.ask("free", fresh)
    program.ask("fill", untouched, 30, 3)
    program.ask("check", touched, 40, 1)
    program.ask("free", touched)
    program.ask("free", untouched)
    check(node.query("status")["memory"]["chunks_used"] == used - 70, "and blocks can be given back")
    check("dsm_free" not in node.program_log(), "without a complaint")


@case(hosts=2, vm=True)
def agent_away_for_too_long_is_sigbus(lab):
    first, second = lab.cluster(options=["--recovery-time", "1000"])
    one, two = first.program(), second.program()
    address = one.ask("alloc", 4 * 4096)[0]
    one.ask("fill", address, 4, 1)
    two.ask("check", address, 2, 1)
    second.kill()
    start = time.monotonic()
    got = two.ask_any("read", f"{int(address, 16) + 3 * 4096:x}", seconds=15)
    check(got[0] == "sigbus", f"SIGBUS after the recovery time, not {got}")
    check(time.monotonic() - start > 0.5, "and not before")
    joined([first], seconds=15)
    one.ask("check", address, 4, 1)


@case(hosts=2, vm=True)
def two_agents_on_one_kernel(lab):
    first, second = lab.cluster()
    third = lab.node(2, port=9901).start()
    joined([first, second, third], seconds=20)
    programs = [node.program() for node in (first, second, third)]
    address = programs[0].ask("alloc", 3 * 4096)[0]
    for i, program in enumerate(programs):
        program.tell("rounds", address, i, 3, 10)
    for program in programs:
        check(program.answer(60) == ["ok"], "three nodes on two kernels see each other's stores")


@case(hosts=2, vm=True)
def machine_dies(lab):
    """The plug of one machine is pulled: the other goes on alone."""
    first, second = lab.cluster()
    master_first = first.node_id() == first.status()[2]
    dead, alive = (second, first) if master_first else (first, second)
    one, two = alive.program(), dead.program()
    lost = two.ask("alloc", 4 * 4096)[0]
    two.ask("fill", lost, 4, 1)
    kept = one.ask("alloc", 4 * 4096)[0]
    one.ask("fill", kept, 4, 2)
    check(two.ask("lock", 5)[0] == "0", "the dead one will have held a lock")
    dead.crash()
    check(one.ask("lock", 5, seconds=15)[0] in ("0", "1"), "its lock is handed on")
    until(lambda: alive.members() == 1, 10, "the survivor counts itself alone")
    one.ask("check", kept, 4, 2)
    check(one.ask_any("read", lost)[0] == "sigbus", "what only the dead machine had gives SIGBUS")
    check("lost" in alive.log(), "and a log line says so")


@case(hosts=2, vm=True)
def heat_over_a_bare_mapping(lab):
    """open() and mmap() of the device is enough; what one run leaves does not disturb the next."""
    nodes = lab.cluster()
    for method in ("jacobi", "sor"):
        run_on_all(nodes, ["heat", "--device", "--size", "128", "--sweeps", "20", "--method", method,
                           "--nodes", "2", "--verify"], 120)
    check(all(node.query("stats")["pages"]["in"] > 0 for node in nodes), "pages moved both ways")
    regions = [region["name"] for region in nodes[0].query("region list")["regions"]]
    check(regions == ["default"], "and in no region but the default one")
