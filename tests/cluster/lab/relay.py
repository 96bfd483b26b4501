# SPDX-License-Identifier: MIT
"""A relay between two agents that keeps every frame, and can say one again."""
import select
import socket
import struct
import threading

HEADER = struct.Struct("<IHHHHIQII")  # struct wire_header of agent/net/wire.h
LENGTH, SEQ, EPOCH, TYPE = 7, 6, 5, 4


def field(frame, index):
    return HEADER.unpack_from(frame)[index]


def numbered(frame, seq):
    """The same frame, as number SEQ of its link."""
    head = list(HEADER.unpack_from(frame))
    head[SEQ] = seq
    return HEADER.pack(*head) + frame[HEADER.size:]


class Relay:
    """Passes on what comes to LISTENER, frame by frame, to the socket that DIAL(who comes) connects."""

    def __init__(self, listener, dial):
        self.listener, self.dial = listener, dial
        self.links = []   # the frames of each connection, as they came
        self.extra = []   # to be slipped in
        self.lock = threading.Lock()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                near, who = self.listener.accept()
                far = self.dial(who[0])
            except OSError:
                return
            self.links.append([])
            threading.Thread(target=self.pass_on, args=(near, far, self.links[-1]), daemon=True).start()

    def longest(self):
        """All frames of the connection that had most of them."""
        return list(max(self.links, key=len))

    def slip_in(self, frame):
        """FRAME goes before the next one, with the number that is due."""
        with self.lock:
            self.extra.append(frame)

    def slipped_in(self):
        with self.lock:
            return not self.extra

    def forward(self, buffer, seq, far, kept):
        """Whole frames of BUFFER go on; what is left, and the next number."""
        while len(buffer) >= HEADER.size:
            size = HEADER.size + field(buffer, LENGTH)
            if len(buffer) < size:
                break
            with self.lock:
                frames, self.extra = self.extra + [buffer[:size]], []
            kept.append(buffer[:size])
            for frame in frames:
                seq += 1
                far.sendall(numbered(frame, seq))
            buffer = buffer[size:]
        return buffer, seq

    def pass_on(self, near, far, kept):
        buffer, seq = b"", 0
        with near, far:
            while True:
                for sock in select.select([near, far], [], [])[0]:
                    try:
                        piece = sock.recv(65536)
                        if sock is far:
                            near.sendall(piece)
                        else:
                            buffer, seq = self.forward(buffer + piece, seq, far, kept)
                    except OSError:
                        return
                    if not piece:
                        return
