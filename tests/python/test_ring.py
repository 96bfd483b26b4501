# SPDX-License-Identifier: MIT
"""Rings and connections."""
import errno
import threading
import time

import dsm
import numpy
import pytest

from conftest import until


def test_messages_come_in_order(segment):
    ring = dsm.Ring(segment)
    for i in range(100):
        ring.send(f"message {i}")
    assert [ring.recv() for _ in range(100)] == [f"message {i}".encode() for i in range(100)]
    assert ring.try_recv() is None
    with pytest.raises(dsm.Timeout):
        ring.recv(0)
    with pytest.raises(dsm.Timeout):
        ring.recv(0.02)


def test_anything_with_a_buffer_is_sent(segment):
    ring = dsm.Ring(segment)
    for data in (b"", b"bytes", bytearray(b"array"), memoryview(b"view"), "text",
                 numpy.arange(10, dtype="i8")):
        ring.send(data)
        expected = data.encode() if isinstance(data, str) else bytes(data)
        assert ring.recv() == expected
    with pytest.raises(TypeError):
        ring.send(5)


def test_batches(segment):
    ring = dsm.Ring(segment, capacity=1 << 20)
    messages = [str(i) for i in range(1000)]
    assert ring.send_many(messages) == 1000
    got = []
    while len(got) < 1000:
        some = ring.recv_many()
        assert 0 < len(some) <= 256
        got += some
    assert got == [m.encode() for m in messages]
    assert ring.send_many([]) == 0 and ring.send_many(m for m in ("a", "b")) == 2
    assert ring.recv_many(1) == [b"a"] and ring.recv_many(0) == [] and ring.recv_many(5) == [b"b"]
    with pytest.raises(dsm.Timeout):
        ring.recv_many(5, 0.02)
    for wrong in ("text", b"bytes", [5], 5):
        with pytest.raises(TypeError):
            ring.send_many(wrong)


def test_a_full_ring(segment):
    ring = dsm.Ring(segment, capacity=4096)
    with pytest.raises(dsm.Invalid):
        ring.send(bytes(5000))
    sent = ring.send_many([bytes(100)] * 1000, 0.02)
    assert 10 < sent < 41
    with pytest.raises(dsm.Timeout):
        ring.send(bytes(100), 0.02)
    with pytest.raises(dsm.Timeout):
        ring.send_many([bytes(100)], 0)
    assert ring.stat().used >= sent * 100
    assert ring.validate() == sent


def test_in_place(segment):
    ring = dsm.Ring(segment)
    with ring.reserve(80) as room:
        numpy.frombuffer(room, "i8")[:] = 7
    with ring.peek() as view:
        assert view.readonly and numpy.frombuffer(view, "i8").sum() == 70
    with pytest.raises(ValueError):
        view[0]
    assert ring.try_recv() is None
    with pytest.raises(RuntimeError):
        with ring.reserve(80):
            raise RuntimeError
    reservation = ring.reserve(80)
    reservation.data[:3] = b"abc"
    reservation.commit(3)
    assert ring.recv(1) == b"abc"
    with pytest.raises(ValueError):
        ring.reserve(80).commit(81)


def test_memory_in_use_is_not_given_back(segment):
    ring = dsm.Ring(segment)
    ring.send(b"one")
    ring.send(b"two")
    message = ring.peek()
    view = message.data
    with pytest.raises(dsm.Busy):
        ring.recv(0)
    with pytest.raises(BufferError):
        message.release()
    with pytest.raises(BufferError):
        ring.close()
    view.release()
    message.release()
    assert ring.recv(0) == b"two"
    message = ring.reserve(10)
    view = message.data
    with pytest.raises(BufferError):
        message.commit()
    view.release()
    del message
    assert ring.try_recv() is None


def test_receiving_into_a_buffer(segment):
    ring = dsm.Ring(segment)
    into = numpy.zeros(4, "i4")
    ring.send(numpy.arange(4, dtype="i4"))
    assert ring.recv_into(into) == 16 and into.tolist() == [0, 1, 2, 3]
    ring.send(bytes(17))
    with pytest.raises(dsm.Invalid):
        ring.recv_into(into)
    with pytest.raises(BufferError):
        ring.recv_into(b"constant")
    assert len(ring.recv()) == 17


def test_ends(segment, uri):
    with pytest.raises(ValueError):
        dsm.Ring(segment, role="master")
    with pytest.raises(ValueError):
        dsm.Ring(segment, kind="x")
    with pytest.raises(dsm.NotFound):
        dsm.Ring(segment, "r", create=False)
    producer, consumer = dsm.Ring(segment, "r", "producer"), dsm.Ring(segment, "r", "consumer")
    producer.send("x")
    assert next(consumer) == b"x"
    with pytest.raises(dsm.Error):
        producer.recv(0)
    with pytest.raises(dsm.Error):
        consumer.send("x")
    with pytest.raises(dsm.Exists):
        dsm.Ring(segment, "r", exclusive=True)
    producer.close()
    consumer.close()
    dsm.Ring.remove(segment, "r")
    assert segment.roots() == []


def test_one_thread_at_a_time(segment):
    ring, got = dsm.Ring(segment), []

    def receive(timeout):
        """Whether it found another thread at it."""
        try:
            got.append(ring.recv(timeout))
        except dsm.Timeout:
            pass
        except dsm.Busy:
            return True
        return False

    def work():
        while receive(10):
            pass

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: receive(0.001))
    with pytest.raises(dsm.Busy):
        ring.close()
    ring.send("done")
    thread.join()
    assert got == [b"done"]


def test_many_producers_and_consumers(segment):
    ring = dsm.Ring(segment, kind="mpmc", capacity=8192)
    got, done = [], threading.Lock()

    def produce(n):
        for i in range(200):
            ring.send(f"{n} {i}", 20)

    def consume():
        for _ in range(200):
            message = ring.recv(20)
            with done:
                got.append(message)

    threads = [threading.Thread(target=produce, args=(n,)) for n in range(3)]
    threads += [threading.Thread(target=consume) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(f"{n} {i}".encode() for n in range(3) for i in range(200))


def test_messages_to_the_other_side_and_back(segment, uri, beside):
    there, back = dsm.Ring(segment, "there", "producer"), dsm.Ring(segment, "back", "consumer")
    program = beside(uri, """
        s = dsm.Segment(uri)
        back = dsm.Ring(s, "back", "producer")
        for message in dsm.Ring(s, "there", "consumer"):
            back.send(message[::-1])
            if message == b"end":
                break
    """)
    for text in (b"hello", b"", bytes(10000), b"end"):
        there.send(text, 20)
        assert back.recv(20) == text[::-1]
    program.end()


SERVER = """
    listener = dsm.Listener(uri)
    say("ready")
    for connection in listener:
        say(connection.peer()[0])
        for message in connection:
            connection.send(message.upper())
        connection.close()
        say("closed")
"""


def test_a_connection_to_the_other_side(segment, uri, beside):
    with pytest.raises(dsm.NotFound):
        dsm.Connection(segment)
    server = beside(uri, SERVER)
    assert server.line() == "ready"
    for _ in range(2):
        with dsm.Connection(segment) as connection:
            connection.send("hello")
            assert connection.recv(20) == b"HELLO"
            connection.send_many(["a", "b", "c"])
            assert [connection.recv(20) for _ in range(3)] == [b"A", b"B", b"C"]
            assert int(server.line()) > 0
        assert server.line() == "closed"


def test_the_death_of_the_other_side_is_seen(segment, uri, beside):
    server = beside(uri, SERVER)
    assert server.line() == "ready"
    connection = dsm.Connection(segment)
    connection.send("x")
    assert connection.recv(20) == b"X"
    server.kill()
    begin = time.monotonic()
    with pytest.raises(dsm.Disconnected) as caught:
        connection.recv(20)
    assert time.monotonic() - begin < 5
    assert isinstance(caught.value, ConnectionError)
    with pytest.raises(dsm.Disconnected):
        next(connection)


def test_a_server_of_many(segment):
    listener = dsm.Listener(segment, "many", ring_size=4096, max_conns=4)
    with pytest.raises(dsm.Timeout):
        listener.accept(0.02)
    clients = [dsm.Connection(segment, "many") for _ in range(3)]
    for i, client in enumerate(clients):
        client.send(str(i))
    served, seen, accepted = {}, set(), []
    while len(served) < 3:
        event, connection = listener.wait(20)
        seen.add(event)
        if event == "new":
            accepted.append(connection)
        if event == "readable":
            served[connection.recv()] = connection
    assert seen == {"new", "readable"} and set(served) == {b"0", b"1", b"2"}
    clients[1].close()
    event, connection = listener.wait(20)
    assert event == "gone" and connection is served[b"1"]
    connection.close()
    served[b"0"].send("bye")
    listener.close()
    assert clients[0].recv(20) == b"bye"
    with pytest.raises(dsm.Disconnected):
        clients[0].recv(20)
    assert list(clients[2]) == []


def test_the_end_of_a_program_is_no_death(segment, uri, beside):
    listener = dsm.Listener(segment)
    program = beside(uri, """
        connection, channel = dsm.Connection(uri), dsm.Channel(uri)
        cycle = [connection, channel]
        cycle.append(cycle)
        connection.send("x")
        sys.stdin.readline()
    """)
    connection = listener.accept(20)
    assert connection.recv(20) == b"x"
    program.tell("")
    with pytest.raises(dsm.Disconnected) as caught:
        connection.recv(20)
    assert caught.value.errno == errno.EPIPE
    program.end()
    assert dsm.Channel(segment, role="observer").peer == "absent"
