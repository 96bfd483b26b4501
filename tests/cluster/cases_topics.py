# SPDX-License-Identifier: MIT
"""Values that agents push to the nodes that subscribe to them."""
import os
import signal

from lab.cases import case
from lab.node import joined
from lab.wait import check, until

SUBSCRIBE, PUBLISH = 1, 2


def with_topic(node, flags, name="speed", size=0):
    program = node.program(tool="topic_puppet")
    program.ask("open", name, flags, size)
    return program


def publishers(program):
    return int(program.ask("publishers")[0])


@case(sizes=(2, 4))
def value_reaches_every_subscriber(lab):
    first, *others = lab.cluster()
    readers = [with_topic(node, SUBSCRIBE) for node in others]
    writer = with_topic(first, PUBLISH)
    writer.ask("flood", 1, 20001, 64)
    for reader in readers:
        check(reader.ask("await", 20000) == ["20000"], "the last one comes, with its number")
    here = first.query("topic list")["topics"][0]
    check(here["name"] == "speed" and here["publishes"], "the publisher's node lists it")
    check(here["subscribers"] == len(others) and not here["behind"], "with who subscribes")
    check(others[0].query("stats")["values"]["in"] > 0, "and what came is counted")
    late = with_topic(others[0], SUBSCRIBE)
    check(late.ask("read")[0] == "20000", "who opens it on the same node later has it at once")


@case(hosts=3)
def newcomer_gets_what_is_there(lab):
    first, second, third = lab.node(1), lab.node(2), lab.node(3)
    first.start()
    second.start()
    joined([first, second])
    writer, reader = with_topic(first, PUBLISH), with_topic(second, SUBSCRIBE, "back")
    writer.ask("publish", 7)
    third.start()
    joined([first, second, third])
    with_topic(third, SUBSCRIBE).ask("await", 7)
    with_topic(third, PUBLISH, "back").ask("publish", 8)
    reader.ask("await", 8)


@case(hosts=3)
def topic_goes_on_without_the_master(lab):
    nodes = lab.cluster(options=["--dead-time", "400"])
    master_id = nodes[0].status()[2]
    master = next(node for node in nodes if node.node_id() == master_id)
    one, two = [node for node in nodes if node is not master]
    writer, reader, gone = with_topic(one, PUBLISH), with_topic(two, SUBSCRIBE), with_topic(
        master, PUBLISH)
    until(lambda: publishers(reader) == 2, 5, "both publishers are known")
    writer.ask("publish", 1)
    reader.ask("await", 1)
    gone.child.stdin.close()
    master.crash()
    until(lambda: publishers(reader) == 1, 5, "the dead node publishes no more")
    writer.ask("publish", 2)
    reader.ask("await", 2)


@case(hosts=3)
def killed_publisher_is_followed_by_another(lab):
    first, second, third = lab.cluster()
    reader, writer = with_topic(third, SUBSCRIBE), with_topic(first, PUBLISH)
    writer.ask("flood", 1, 1001, 8)
    reader.ask("await", 1000)
    before = reader.ask("presence")
    writer.kill()
    until(lambda: publishers(reader) == 0, 1, "nobody publishes, long before any time-out")
    check(reader.ask("presence") != before, "and that was noted")
    check(reader.ask("read")[0] == "1000", "its last value stays")
    follower = with_topic(second, PUBLISH)
    # It begins to number at 1, and has heard of nothing: its value is the later one all the same.
    follower.ask("publish", 5)
    check(int(reader.ask("await", 5)[0]) == 1001, "numbers go on where they were")


@case(hosts=2)
def values_survive_a_short_outage(lab):
    first, second = lab.cluster(options=["--dead-time", "4000"])
    writer, reader = with_topic(first, PUBLISH), with_topic(second, SUBSCRIBE)
    writer.ask("publish", 1)
    reader.ask("await", 1)
    lab.lan.cable(2, False)
    writer.ask("flood", 2, 1000, 64)
    lab.lan.cable(2, True)
    reader.ask("await", 999)
    writer.ask("publish", 2000)
    reader.ask("await", 2000)


def memory_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


@case(hosts=2)
def slow_subscriber_queues_nothing(lab):
    """Its agent stands still while 5 GB are written: what waits is what is under way."""
    first, second = lab.cluster(options=["--dead-time", "8000"])
    size = 256 << 10
    writer = with_topic(first, PUBLISH, size=size)
    reader = with_topic(second, SUBSCRIBE, size=size)
    writer.ask("flood", 1, 100, size)
    reader.ask("await", 99)
    before = memory_kb(first.child.pid)
    os.kill(second.child.pid, signal.SIGSTOP)
    try:
        writer.ask("flood", 100, 20000, size, seconds=20)
        grown = memory_kb(first.child.pid) - before
    finally:
        os.kill(second.child.pid, signal.SIGCONT)
    check(grown < 4096, f"the publisher's agent grew by {grown} KB")
    reader.ask("await", 19999)


@case(hosts=2)
def topic_ends_with_its_agent(lab):
    first, second = lab.cluster(options=["--dead-time", "400"])
    writer, reader = with_topic(first, PUBLISH), with_topic(second, SUBSCRIBE)
    writer.ask("publish", 3)
    reader.ask("await", 3)
    check(writer.ask("lost") == ["0"], "all is well")
    first.kill()
    until(lambda: writer.ask("lost") == ["1"], 5, "the program sees that its agent has gone")
    until(lambda: publishers(reader) == 0, 5, "and the subscriber that nobody publishes")
    check(reader.ask("read")[0] == "3", "what came stays")
