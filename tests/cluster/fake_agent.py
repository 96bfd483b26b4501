#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An agent for tests of the command: takes dsmd's options, serves the client socket of
agent/client/proto.h, and answers as it is told by FAKE, one of:

  good       as one node of one (the default; a member count is kept beside the sockets)
  silent     takes connections and never answers
  closing    closes after HELLO
  garbage    replies that are no replies
  lying      replies whose length is wrong
  notjson    documents that are no JSON
  empty      documents without one key
  refusing   HELLO is refused with EPROTONOSUPPORT
"""
import argparse
import json
import os
import signal
import socket
import struct
import sys
import threading

REQ = struct.Struct("<IIQIIQQQQ32sII")
REP = struct.Struct("<IIQiI6Q")
HELLO, QUERY = 1, 7 + 1
LAST = 1


def parse():
    parser = argparse.ArgumentParser()
    for name in ("port", "run-dir", "cluster", "log-level", "pager", "chunks", "join", "config"):
        parser.add_argument("--" + name)
    for name in ("standalone", "no-discovery", "foreground"):
        parser.add_argument("--" + name, action="store_true")
    return parser.parse_args()


OPTIONS = parse()
MODE = os.environ.get("FAKE", "good")
PATH = os.path.join(OPTIONS.run_dir, f"dsmd-{OPTIONS.port}.sock")


def document(command):
    members = len([n for n in os.listdir(OPTIONS.run_dir) if n.endswith(".sock")])
    if command == "status":
        return {"state": "member", "members": members, "port": int(OPTIONS.port), "node": members}
    return {}


def reply(connection, kind, ticket, err=0, payload=b"", length=None, flags=LAST):
    connection.send(REP.pack(kind, flags, ticket, err, len(payload) if length is None else length,
                             0, 0, 0, 0, 0, 0) + payload)


def serve(connection):
    while True:
        packet = connection.recv(65536)
        if len(packet) < REQ.size:
            return
        kind, ticket = REQ.unpack_from(packet)[0], REQ.unpack_from(packet)[2]
        command = packet[REQ.size:].decode()
        if MODE == "silent":
            continue
        if kind == HELLO:
            reply(connection, kind, ticket, 93 if MODE == "refusing" else 0)
            if MODE == "closing":
                connection.close()
                return
        elif MODE == "garbage":
            connection.send(b"what?")
        elif MODE == "lying":
            reply(connection, kind, ticket, payload=b"{}", length=60000)
        elif MODE == "notjson":
            reply(connection, kind, ticket, payload=b"{]\n")
        elif MODE == "empty":
            reply(connection, kind, ticket, payload=b"{}\n")
        elif kind == QUERY:
            text = json.dumps(document(command)).encode()
            # In pieces, as a long document comes, after an answer to nothing that was asked.
            reply(connection, kind, ticket + 1000, payload=b"other")
            reply(connection, kind, ticket, payload=text[:5], flags=0)
            reply(connection, kind, ticket, payload=text[5:])
        else:
            reply(connection, kind, ticket, 95)


def end(*_):
    os.unlink(PATH)
    os._exit(0)


signal.signal(signal.SIGTERM, end)
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
# Whoever sees the socket can connect to it.
listener.bind(PATH + ".new")
listener.listen(16)
os.rename(PATH + ".new", PATH)
print("listening", file=sys.stderr, flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
