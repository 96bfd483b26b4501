# SPDX-License-Identifier: MIT
"""Channels."""
import threading

import dsm
import numpy
import pytest

from conftest import until


@pytest.fixture
def pair(segment):
    with dsm.Channel(segment, "c", "master") as master, dsm.Channel(segment, "c", "slave") as slave:
        yield master, slave


def test_the_newest_value_counts(pair):
    master, slave = pair
    assert slave.read() is None and slave.read_newer() is None
    for i in range(10):
        master.write(str(i))
    assert slave.read() == b"9" and slave.number == 10
    assert slave.read() == b"9" and slave.read_newer() is None
    slave.write("back")
    assert master.read_newer() == b"back" and master.number == 1
    assert (master.role, slave.role) == ("master", "slave") and master.size == 4096


def test_roles_are_taken_by_themselves(segment):
    first, second = dsm.Channel(segment), dsm.Channel(segment)
    assert (first.role, second.role) == ("master", "slave")
    with pytest.raises(dsm.Busy):
        dsm.Channel(segment)
    watcher = dsm.Channel(segment, role="observer")
    first.write("seen")
    assert watcher.read() == b"seen"
    with pytest.raises(dsm.Error):
        watcher.write("x")


def test_waiting(pair):
    master, slave = pair
    with pytest.raises(dsm.Timeout):
        slave.read_wait(0)
    with pytest.raises(dsm.Timeout):
        slave.read_wait(0.02)
    with pytest.raises(dsm.Timeout):
        slave.wait(0.02)
    timer = threading.Timer(0.03, master.write, ("x",))
    timer.start()
    assert slave.wait(10) == 1
    assert slave.read_wait() == b"x"
    assert slave.wait(10, after=0) == 1
    timer.join()


def test_sizes(segment):
    with dsm.Channel(segment, "small", size=16) as channel:
        channel.write(bytes(16))
        with pytest.raises(dsm.Invalid):
            channel.write(bytes(17))
    with pytest.raises(dsm.Invalid):
        dsm.Channel(segment, "small", size=17)


def test_arrays_go_and_come(pair):
    master, slave = pair
    master.write(numpy.arange(100, dtype="f8"))
    into = numpy.zeros(100)
    assert slave.read_into(into) == 800 and into[99] == 99
    with pytest.raises(dsm.Invalid):
        slave.read_into(bytearray(8))


@pytest.mark.parametrize("bad", [{"role": "x"}, {"stale": "x"}, {"retry": -1}, {"observe": "x"}])
def test_bad_settings(segment, bad):
    with pytest.raises(ValueError):
        dsm.Channel(segment, "bad", **bad)


def test_it_tells_about_itself(pair):
    master, slave = pair
    master.write("a")
    master.write("b")
    assert slave.read_wait(10) == b"b"
    info = slave.info()
    assert info.role == "slave" and info.size == 4096
    assert info.from_master.written == 2 and info.from_slave.written == 0
    until(lambda: slave.info().from_master[1:3] == (1, 1))  # read, missed
    until(lambda: master.peer == "live" and slave.peer == "live")
    master.validate()


ECHO = """
    channel = dsm.Channel(uri, "echo", "slave")
    say("ready")
    for value in channel:
        channel.write(value[::-1])
        if value == b"end":
            break
    channel.close()
"""


def test_values_to_the_other_side_and_back(segment, uri, beside):
    channel = dsm.Channel(segment, "echo", "master")
    program = beside(uri, ECHO)
    assert program.line() == "ready"
    for i in range(200):
        assert channel.exchange(f"value {i}", 20) == f"value {i}".encode()[::-1]
    assert channel.exchange("end", 20) == b"dne"
    program.end()


def test_a_dead_peer_is_noticed_and_a_new_one_welcome(segment, uri, beside):
    channel = dsm.Channel(segment, "echo", "master", stale="at_once")
    program = beside(uri, ECHO)
    assert program.line() == "ready"
    assert channel.exchange("ab", 20) == b"ba"
    program.kill()
    with pytest.raises(dsm.Disconnected):
        for _ in range(1000):
            channel.read_wait(20)
    program = beside(uri, ECHO)
    assert program.line() == "ready"
    until(lambda: channel.peer == "live")
    channel.write("cd")
    # On another node, a new one may first answer what the dead one had read.
    until(lambda: channel.read() == b"dc")


def test_removed(segment):
    channel = dsm.Channel(segment, "gone")
    with pytest.raises(dsm.Busy):
        dsm.Channel.remove(segment, "gone")
    channel.close()
    dsm.Channel.remove(segment, "gone")
    with pytest.raises(dsm.NotFound):
        dsm.Channel.remove(segment, "gone")
