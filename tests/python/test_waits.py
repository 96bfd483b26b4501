# SPDX-License-Identifier: MIT
"""Every wait lets other threads run, ends in time, and ends by a signal."""
import multiprocessing
import signal
import threading
import time

import dsm
import pytest

WAITS = {
    "Ring.recv": lambda s: dsm.Ring(s).recv,
    "Ring.recv_many": lambda s: lambda t, r=dsm.Ring(s): r.recv_many(5, t),
    "Ring.peek": lambda s: dsm.Ring(s).peek,
    "Ring.send": lambda s: lambda t, r=full(s): r.send(bytes(100), t),
    "Ring.reserve": lambda s: lambda t, r=full(s): r.reserve(100, t),
    "Listener.accept": lambda s: dsm.Listener(s).accept,
    "Listener.wait": lambda s: dsm.Listener(s).wait,
    "Channel.wait": lambda s: dsm.Channel(s).wait,
    "Channel.read_wait": lambda s: dsm.Channel(s).read_wait,
    "Map.wait": lambda s: lambda t, m=dsm.Map(s): m.wait(m.version, t),
    "Map.watch": lambda s: lambda t, m=dsm.Map(s): m.watch("k", 0, t),
    "Changes.next": lambda s: dsm.Map(s).changes().next,
}
CLUSTER_WAITS = {
    "Lock.acquire": lambda: lambda t, l=dsm.Lock(100): l.acquire(timeout=t),
    "RWLock.acquire_read": lambda: lambda t, l=dsm.RWLock(100): l.acquire_read(timeout=t),
    "RWLock.acquire_write": lambda: lambda t, l=dsm.RWLock(100): l.acquire_write(timeout=t),
    "Barrier.wait": lambda: dsm.Barrier(100, 2).wait,
    "Region.wait": lambda: lambda t, r=dsm.Region(): r.wait(0, word_of(r), t),
}


def word_of(region):
    return memoryview(region)[:4].cast("I")[0]


def full(segment):
    ring = dsm.Ring(segment, capacity=4096)
    ring.send_many([bytes(100)] * 100, 0)
    return ring


def others_run(wait):
    """How often another thread ran while WAIT waited: once at most, if the GIL were kept."""
    begun, ticks, results = threading.Event(), 0, []

    def work():
        begun.set()
        try:
            results.append(wait(0.3))
        except dsm.Timeout:
            results.append(False)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    while thread.is_alive():
        time.sleep(0.01)
        ticks += 1
    assert results == [False]
    return ticks


class Interrupted(Exception):
    pass


def interrupt(wait):
    """WAIT without a limit, and a signal: how long it took."""
    def handler(*_):
        raise Interrupted

    before = signal.signal(signal.SIGALRM, handler)
    begin = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Interrupted):
            wait(None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return time.monotonic() - begin


@pytest.mark.parametrize("name", WAITS)
def test_waits_of_structures(segment, name):
    wait = WAITS[name](segment)
    assert others_run(wait) > 1
    begin = time.monotonic()
    with pytest.raises(dsm.Timeout):
        wait(0.05)
    assert time.monotonic() - begin >= 0.045
    assert interrupt(wait) < 5
    with pytest.raises((ValueError, TypeError)):
        wait(-1)
    with pytest.raises(TypeError):
        wait("soon")


@pytest.fixture
def taken(nodes, other):
    """Somebody else has the locks."""
    lock, rwlock = dsm.Lock(100, cluster=other), dsm.RWLock(100, cluster=other)
    with lock, rwlock.write():
        yield


@pytest.mark.parametrize("name", CLUSTER_WAITS)
def test_waits_of_clusters(taken, name):
    wait = CLUSTER_WAITS[name]()
    assert others_run(wait) > 1
    assert interrupt(wait) < 5


def child(mapping, ring):
    mapping["child"] = "1"
    ring.send(mapping["parent"])


def test_children_of_fork_go_on(segment):
    mapping, ring = dsm.Map(segment), dsm.Ring(segment, kind="mpmc")
    mapping["parent"] = "0"
    process = multiprocessing.get_context("fork").Process(target=child, args=(mapping, ring))
    process.start()
    assert ring.recv(20) == b"0" and mapping["child"] == b"1"
    process.join(20)
    assert process.exitcode == 0
