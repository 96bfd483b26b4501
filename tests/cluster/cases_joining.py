# SPDX-License-Identifier: MIT
"""How nodes find each other, join and leave."""
import statistics
import subprocess
import time

from lab.cases import case
from lab.node import joined
from lab.wait import check, until


@case(hosts=2)
def joins_within_200_ms(lab):
    master, second = lab.node(1), lab.node(2)
    master.start()
    joined([master])
    times = []
    for _ in range(9):
        start = time.monotonic()
        second.start()
        until(lambda: second.members() == 2, 5, "the second node is a member", pause=0.001)
        times.append(time.monotonic() - start)
        check(second.stop() == 0, "a clean leave ends with exit status 0")
        until(lambda: master.members() == 1, 5, "the master counts one node again")
    median = statistics.median(times) * 1000
    print(f"    joined after {median:.0f} ms (median of 9, longest {max(times) * 1000:.0f} ms)")
    check(median <= 200, f"joining took {median:.0f} ms, more than 200 ms")


@case(sizes=(2, 4, 8))
def started_together_are_one_cluster(lab):
    nodes = [lab.node(i) for i in range(1, lab.hosts + 1)]
    for _ in range(5):
        for node in nodes:
            node.start()
        joined(nodes)
        ids = {node.node_id() for node in nodes}
        check(len(ids) == lab.hosts, f"node ids are not distinct: {sorted(ids)}")
        for node in nodes:
            node.crash()


@case(hosts=2)
def join_option_needs_no_broadcast(lab):
    first = lab.node(1, options=["--no-discovery"])
    second = lab.node(2, options=["--no-discovery", "--join", lab_address(lab, 1)])
    first.start()
    joined([first])
    second.start()
    joined([first, second])


def lab_address(lab, host):
    return f"{lab.lan.address(host)}:9900"


@case(hosts=3)
def other_cluster_name_stays_apart(lab):
    ours = [lab.node(1), lab.node(2)]
    other = lab.node(3, options=["--cluster", "other"])
    for node in ours + [other]:
        node.start()
    joined(ours)
    joined([other])


@case(hosts=4)
def thousand_joins_and_leaves(lab):
    """Three hosts come and go 334 times each; the first one's data stays."""
    master = lab.node(1).start()
    joined([master])
    writer = master.program()
    address = writer.ask("alloc", 64 * 4096)[0]
    writer.ask("fill", address, 64, 1)
    guests = [lab.node(i) for i in (2, 3, 4)]
    seen, done = set(), 0
    while done < 1000:
        for guest in guests:
            guest.start()
        joined([master] + guests, seconds=20)
        ids = {guest.node_id() for guest in guests}
        check(not ids & seen, f"node ids {ids & seen} were used before")
        seen |= ids
        for guest in guests:
            guest.leave()
        for guest in guests:
            check(guest.ended(seconds=10) == 0, "a clean leave ends with exit status 0")
        done += len(guests)
        until(lambda: master.members() == 1, 10, "the master counts one node again")
    writer.ask("check", address, 64, 1)
    check(len(seen) >= 1000, "every join got a number of its own")


@case(hosts=3)
def clean_leave_keeps_data(lab):
    first, second, third = lab.cluster()
    writer = second.program()
    address = writer.ask("alloc", 200 * 4096)[0]
    writer.ask("fill", address, 200, 7)
    # The middle case too: pages that another node shares already.
    reader = third.program()
    reader.ask("check", address, 100, 7)
    writer.quit()
    check(second.stop() == 0, "a clean leave ends with exit status 0")
    joined([first, third])
    reader.ask("check", address, 200, 7)
    first.program().ask("check", address, 200, 7)


@case(hosts=2)
def master_leaves_cleanly(lab):
    first, second = lab.cluster()
    old = first if first.node_id() == first.status()[2] else second
    new = second if old is first else first
    writer = old.program()
    address = writer.ask("alloc", 50 * 4096)[0]
    writer.ask("fill", address, 50, 3)
    reader = new.program()
    writer.quit()
    check(old.stop() == 0, "a clean leave ends with exit status 0")
    joined([new])
    reader.ask("check", address, 50, 3)
    check(new.status()[2] == new.node_id(), "the node that is left is the master")


@case(hosts=1)
def two_agents_with_one_port(lab):
    first = lab.node(1).start()
    joined([first])
    second = lab.node(1)
    second.log_path += ".second"
    second.start()
    status = second.child.wait(5)
    check(status != 0, "the second agent with the same port must refuse")
    check("9900" in second.log(), "it names the port")
    check(first.members() == 1, "the first agent is not disturbed")


@case(hosts=1)
def port_taken_by_a_stranger(lab):
    node = lab.node(1)
    stranger = lab.lan.enter(1) + ["python3", "-c", (
        "import socket\ns = socket.socket()\ns.bind(('', 9900))\ns.listen()\n"
        "print('up', flush=True)\ninput()")]
    with subprocess.Popen(stranger, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        node.start()
        status = node.child.wait(5)
        other.kill()
    check(status != 0, "a port in use is an error")
    check("9900" in node.log() and "in use" in node.log(), "the log names the port and says why")
