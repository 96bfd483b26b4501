# SPDX-License-Identifier: MIT
"""C and Python talk to each other, in both directions."""
import os

import dsm
from conftest import BUILD

PEER = os.path.join(BUILD, "python_peer")
WORDS = [b"", b"x", b"hello from Python", bytes(range(256)) * 10]


def test_python_asks_and_c_answers(segment, uri, beside):
    server = beside(uri, PEER, "serve", uri)
    assert server.line() == "ready"
    with dsm.Connection(segment, "peer") as connection:
        for word in WORDS:
            connection.send(word)
            assert connection.recv(20) == word[::-1]
        # Few enough for the ring: both sides send before they receive.
        assert connection.send_many(WORDS[:3] * 10) == 30
        for word in WORDS[:3] * 10:
            assert connection.recv(20) == word[::-1]
    server.end()


def test_c_asks_and_python_answers(segment, uri, beside):
    with dsm.Listener(segment, "peer") as listener:
        client = beside(uri, PEER, "ask", uri, "100")
        with listener.accept(20) as connection:
            for message in connection:
                connection.send(message[::-1])
        assert client.end() == "100 answers\n"


def test_values_of_a_channel(segment, uri, beside):
    with dsm.Channel(segment, "peer", "master") as channel:
        peer = beside(uri, PEER, "channel", uri)
        assert peer.line() == "ready"
        for word in WORDS[1:]:
            assert channel.exchange(word, 20) == word[::-1]
        assert channel.exchange("end", 20) == b"dne"
        peer.end()


def test_entries_of_a_map(segment, uri, beside):
    with dsm.Map(segment, "peer") as mapping:
        mapping["from Python"] = "1"
        peer = beside(uri, PEER, "map", uri)
        assert peer.line() == "1"
        mapping.watch("from C", 0, 20)
        assert mapping["from C"] == b"2"
        peer.end()


def test_blocks_of_a_heap(segment, uri, beside):
    with dsm.Heap(segment) as heap:
        offset = heap.alloc(64)
        heap.view(offset)[:6] = b"block\0"
        segment.root_set("block", offset)
        peer = beside(uri, PEER, "heap", uri)
        assert peer.line() == "block"
        peer.end()
        answer = segment.root_get("block").offset
        assert answer != offset and bytes(heap.view(answer)[:5]) == b"kcolb"
        heap.free(answer)
