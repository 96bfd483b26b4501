# SPDX-License-Identifier: MIT
"""Frames that no agent would send, to a real one: each closes its link, and the log says why."""
import socket
import struct

from cases_network import socket_at
from lab.cases import case
from lab.relay import HEADER
from lab.wait import check, until

MESSAGE = struct.Struct("<HHHHIIQIIQQHHI32sQ")  # struct core_msg of agent/core/msg.h
MAGIC, VERSION = 0x4c4d5344, 1
HELLO, HEARTBEAT, VIEW, PAGE_DATA = 8, 13, 28, 43
BODY_MAX = MESSAGE.size + 64 * 4096


def frame(kind=HEARTBEAT, body=b"", seq=1, magic=MAGIC, version=VERSION, reserved=0, **fields):
    """A frame; FIELDS are those of header or message that are to differ from the right ones."""
    message = MESSAGE.pack(fields.get("inner", kind), fields.get("flags", 0), 0, fields.get("nid", 0),
                           0, 0, fields.get("key", 0), fields.get("count", 0), 0, 0, 0, 0,
                           fields.get("nrecs", 0), 0, fields.get("name", b""), 0)
    length = fields.get("length", len(message) + len(body))
    return HEADER.pack(magic, version, 0, 0, kind, 0, seq, length, reserved) + message + body


# What is sent, and what the log says of it. No more than the log tells in ten seconds.
BAD = (
    (frame(magic=0x20544547), "does not speak our protocol"),
    (frame(version=2), "speaks version 2 of the wire format, this agent 1"),
    (frame(reserved=1), "reserved header bits are set"),
    (frame(kind=99), "message type 99 is unknown"),
    (frame(seq=7), "frame number 7 where 1 was due: skipped"),
    (frame() + frame(), "frame number 1 where 2 was due: replayed"),
    (frame(length=BODY_MAX + 8), f"HEARTBEAT of {BODY_MAX + 8} bytes, allowed are"),
    (frame(kind=VIEW, nrecs=0xffff, body=bytes(4096)), "bytes, its fields make"),
    (frame(kind=HEARTBEAT, nid=3), "HEARTBEAT: field nid is set"),
    (frame(kind=HELLO, name=b"another"), 'belongs to cluster "another", this agent to "dsm"'),
)


@case(hosts=2)
def each_bad_frame_is_named(lab):
    """One link each: it is closed, the log says what was wrong, and the cluster goes on."""
    nodes = lab.cluster()
    one, two = [node.program() for node in nodes]
    address = one.ask("alloc", 4096)[0]
    one.tell("lock_add", 1, address, 2000)
    two.tell("lock_add", 1, address, 2000)
    for sent, said in BAD:
        with socket_at(lab, 2, socket.SOCK_STREAM) as sock:
            sock.settimeout(5)
            sock.connect((lab.lan.address(1), 9900))
            sock.sendall(sent)
            try:
                while sock.recv(4096):
                    pass
            except ConnectionError:
                pass
        until(lambda said=said: said in nodes[0].log(), 5, f"the log says '{said}'")
    # A frame that ends in the middle is a link that ended.
    with socket_at(lab, 2, socket.SOCK_STREAM) as sock:
        sock.connect((lab.lan.address(1), 9900))
        sock.sendall(frame(kind=PAGE_DATA, key=1, count=1, body=bytes(4096))[:1000])
    for program in (one, two):
        check(program.answer(60) == ["ok"], "the programs went on")
    check(one.ask("read", address)[0] == "4000", "no increment was lost")
    check(nodes[0].query("stats")["wire"]["bad_frames"] == len(BAD), "each was counted")
    check([node.members() for node in nodes] == [2, 2], "both are members")
