# SPDX-License-Identifier: MIT
"""Programs that compute together."""
from lab.cases import case
from lab.wait import check, until


def run_on_all(nodes, words, seconds):
    """Runs WORDS on every node; all must exit with 0."""
    runs = [node.launch(*words) for node in nodes]
    for node, run in zip(nodes, runs):
        status, text = run.result(seconds)
        check(status == 0, f"{words[0]} at {node} ended with {status}:\n{text}")


@case(sizes=(2, 4, 8))
def heat_is_bit_for_bit_equal(lab):
    nodes = lab.cluster()
    for method in ("jacobi", "sor"):
        run_on_all(nodes, ["heat", "--size", "256", "--sweeps", "40", "--method", method,
                           "--nodes", str(lab.hosts), "--verify"], 120)


@case(sizes=(2, 4, 8))
def lock_protects_a_counter(lab):
    programs = [node.program() for node in lab.cluster()]
    address = programs[0].ask("alloc", 4096)[0]
    for program in programs:
        program.tell("lock_add", 42, address, 300)
    for program in programs:
        check(program.answer(60) == ["ok"], "all rounds done")
    check(int(programs[-1].ask("read", address)[0]) == 300 * lab.hosts, "no increment was lost")


@case(sizes=(2, 4, 8))
def atomics_count_across_nodes(lab):
    programs = [node.program() for node in lab.cluster()]
    address = programs[0].ask("alloc", 4096)[0]
    for program in programs:
        program.tell("add", address, 2000)
    for program in programs:
        check(program.answer(60) == ["ok"], "all added")
    check(int(programs[0].ask("read", address)[0]) == 2000 * lab.hosts, "no addition was lost")


@case(sizes=(2, 4, 8))
def barrier_separates_rounds(lab):
    programs = [node.program() for node in lab.cluster()]
    address = programs[0].ask("alloc", lab.hosts * 4096)[0]
    for i, program in enumerate(programs):
        program.tell("rounds", address, i, lab.hosts, 100)
    for program in programs:
        got = program.answer(60)
        check(got == ["ok"], " ".join(got))


@case(hosts=2)
def same_address_on_every_node(lab):
    one, two = [node.program() for node in lab.cluster()]
    address = one.ask("alloc_at", "0x100000000", 3 * 4096)[0]
    one.ask("fill", address, 3, 5)
    check(two.ask("map", "0x100000000", 3 * 4096)[0] == address, "pointers mean the same everywhere")
    two.ask("check", address, 3, 5)
    # And freed by the other one.
    two.ask("free", address)
    until(lambda: one.ask_any("alloc_at", "0x100000000", 4096)[0] == "ok", 5,
          "the address can be had again")


@case(hosts=2)
def two_programs_of_one_node(lab):
    """Both see the same memory, and the other node's writes reach both."""
    first, second = lab.cluster()
    one, other, far = first.program(), first.program(), second.program()
    address = one.ask("alloc", 16 * 4096)[0]
    for seed, writer in enumerate((one, far, other, far, one)):
        writer.ask("fill", address, 16, seed)
        for reader in (other, far, one):
            reader.ask("check", address, 16, seed)


@case(hosts=2)
def counters_tell_what_happened(lab):
    first, second = lab.cluster()
    writer, reader = first.program(), second.program()
    address = writer.ask("alloc", 32 * 4096)[0]
    writer.ask("fill", address, 32, 1)
    reader.ask("check", address, 32, 1)
    writer.ask("fill", address, 32, 2)
    here, there = first.query("stats"), second.query("stats")
    check(there["pages"]["in"] >= 32 and here["pages"]["out"] >= 32, "32 pages moved")
    check(1 <= there["faults"]["read"] <= 64, "the reader's misses are counted")
    check(there["coherence"]["invalidations"] >= 32, "and that its copies were taken away")
    check(here["coherence"]["upgrades"] >= 32, "and the writer's upgrades")
    check(there["wire"]["bytes_in"] >= 32 * 4096, "and the bytes on the wire")
    check(there["latency"]["read"]["n"] >= 1 and there["latency"]["read"]["p50_us"] > 0,
          "and how long a miss took")
