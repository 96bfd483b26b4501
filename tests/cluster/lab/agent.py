# SPDX-License-Identifier: MIT
"""Talks to an agent's socket: the packets of agent/client/proto.h."""
import json
import socket
import struct

REQUEST = struct.Struct("=IIQIIQQQQ32sII")
REPLY = struct.Struct("=IIQiI6Q")
HELLO, STATUS, QUERY = 1, 6, 8
VERSION, ADMIN, LAST = 1, 4, 1
PACKET_MAX = 65536


class Session:
    """An administrator's session; SECONDS bounds every answer."""

    def __init__(self, path, seconds=5):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(seconds)
        self.ticket = 0
        try:
            self.sock.connect(path)
            self.call(HELLO, arg=VERSION, ident=ADMIN)
        except BaseException:
            self.sock.close()
            raise

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, kind, arg=0, ident=0, payload=b""):
        self.ticket += 1
        head = REQUEST.pack(kind, 0, self.ticket, arg, ident, 0, 0, 0, 0, b"", len(payload), 0)
        self.sock.send(head + payload)

    def receive(self):
        """One reply: (flags, err, values, payload)."""
        packet, control, _, _ = self.sock.recvmsg(PACKET_MAX, 256)
        if len(packet) < REPLY.size:
            raise ConnectionError("the agent closed the session")
        for level, kind, data in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = struct.unpack(f"={len(data) // 4}i", data)
                for fd in fds:
                    socket.close(fd)
        _, flags, _, err, length, *values = REPLY.unpack_from(packet)
        return flags, err, values, packet[REPLY.size:REPLY.size + length]

    def call(self, kind, arg=0, ident=0):
        self.send(kind, arg, ident)
        _, err, values, _ = self.receive()
        if err:
            raise OSError(err, f"the agent refused request {kind}")
        return values

    def status(self):
        """(node id, members, master, bytes donated, state, bytes used)"""
        return self.call(STATUS)

    def query(self, command):
        """The JSON answer to COMMAND, as the dsm program gets it."""
        self.send(QUERY, payload=command.encode())
        text = b""
        while True:
            flags, err, _, payload = self.receive()
            if err:
                raise OSError(err, f"query '{command}': {payload.decode(errors='replace')}")
            text += payload
            if flags & LAST:
                return json.loads(text)
