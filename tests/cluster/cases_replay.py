# SPDX-License-Identifier: MIT
"""What a node said once, said again by somebody else: later, in another epoch."""
import socket

from cases_network import socket_at
from lab.cases import case
from lab.node import joined
from lab.relay import EPOCH, TYPE, Relay, field
from lab.wait import check, until

FIRST_BOUND = 29  # MSG_HOLDINGS of agent/core/msg.h: from here on messages belong to one epoch


RELAY = 3  # the host that stands between the first two; the fourth comes and goes


def dial(lab, host=1):
    sock = socket_at(lab, RELAY, socket.SOCK_STREAM)
    sock.connect((lab.lan.address(host), 9900))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def two_with_a_relay(lab):
    """Two nodes; all that the second says to the first goes through the relay."""
    first, second = lab.node(1, options=["--no-discovery"]), lab.node(2, options=["--no-discovery"])
    first.start("--standalone")
    joined([first])
    listener = socket_at(lab, RELAY, socket.SOCK_STREAM)
    listener.bind((lab.lan.address(RELAY), 9900))
    listener.listen(8)
    # Others take the relay for the second: that is where its words come from.
    relay = Relay(listener, lambda who: dial(lab, 1 if who == lab.lan.address(2) else 2))
    second.start("--join", lab.lan.address(RELAY))
    joined([first, second])
    return first, second, relay


def next_epoch(lab, members):
    """A third node comes and dies: the others go on in a later epoch."""
    before = members[0].query("status")["epoch"]
    third = lab.node(4, options=["--no-discovery", "--join", lab.lan.address(1)]).start()
    joined(members + [third])
    third.crash()
    joined(members)
    until(lambda: all(n.query("status")["epoch"] > before for n in members), 5, "the epoch grew")


def count_up(programs, address, rounds):
    for program in programs:
        program.tell("lock_add", 1, address, rounds)
    for program in programs:
        check(program.answer(60) == ["ok"], "the programs went on")


@case(hosts=4)
def frames_of_an_earlier_epoch_are_dropped(lab):
    """On the living link, with the number that is due: named in the log once, and nothing is lost."""
    first, second, relay = two_with_a_relay(lab)
    programs = [first.program(), second.program()]
    address = programs[0].ask("alloc", 4096)[0]
    count_up(programs, address, 100)
    old = [f for f in relay.longest() if field(f, TYPE) >= FIRST_BOUND]
    check(len(old) >= 3, "the programs' work went through the relay")
    next_epoch(lab, [first, second])
    count_up(programs, address, 100)
    for frame in old:
        relay.slip_in(frame)
    count_up(programs, address, 100)
    until(relay.slipped_in, 10, "all was said again")
    until(lambda: first.query("stats")["messages"]["replayed"] == len(old), 10, "all was dropped")
    check(first.log().count("replayed, and dropped") == 1, "it is said once")
    check(f"message of epoch {field(old[0], EPOCH)}" in first.log(), "and by its epoch")
    check(programs[0].ask("read", address)[0] == "600", "no increment was lost, none came twice")
    joined([first, second])


@case(hosts=4)
def a_recorded_link_played_again_harms_nothing(lab):
    """All that a node ever said, over new connections: while it is a member, and after it has left."""
    first, second, relay = two_with_a_relay(lab)
    programs = [first.program(), second.program()]
    address = programs[0].ask("alloc", 4096)[0]
    count_up(programs, address, 100)
    old = b"".join(relay.longest())
    next_epoch(lab, [first, second])
    for _ in range(3):
        with dial(lab) as sock:
            sock.sendall(old)
            count_up(programs, address, 100)
    joined([first, second])
    check(programs[0].ask("read", address)[0] == "800", "no increment was lost, none came twice")
    programs[1].quit()
    second.stop()
    until(lambda: first.members() == 1, 5, "the second has left")
    with dial(lab) as sock:
        sock.settimeout(5)
        sock.sendall(old)
        try:
            while sock.recv(4096):
                pass
        except ConnectionError:
            pass
    count_up(programs[:1], address, 100)
    check(programs[0].ask("read", address)[0] == "900", "the one that stayed goes on")
    until(lambda: first.members() == 1, 10, "whoever it was has gone again")
