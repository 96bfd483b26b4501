# SPDX-License-Identifier: MIT
"""Nodes, locks and barriers."""
import threading
import time

import dsm
import pytest


def test_status_names_both_nodes(nodes, other):
    here, there = dsm.cluster().status(), other.status()
    assert here.node_count == there.node_count == 2
    assert here.node_id != there.node_id and here.port == nodes.ports[0]
    assert here.pager == "uffd" and here.master_id in (here.node_id, there.node_id)


def test_no_agent_and_none_to_be_started(nodes):
    with pytest.raises(dsm.NotFound) as caught:
        dsm.Cluster(1, rundir=nodes.directory, start=False)
    assert caught.value.errno == 2 and isinstance(caught.value, FileNotFoundError)


def test_a_closed_cluster_refuses(nodes):
    cluster = dsm.Cluster(nodes.ports[1], rundir=nodes.directory, start=False, anywhere=True)
    lock = dsm.Lock(1, cluster=cluster)
    cluster.close()
    assert cluster.closed and lock.closed
    for call in (cluster.status, lock.acquire):
        with pytest.raises(dsm.Error):
            call()


def test_locks_exclude_the_other_node(nodes, other):
    mine, theirs = dsm.Lock(7), dsm.Lock(7, cluster=other)
    with mine:
        assert not theirs.acquire(False)
        assert not theirs.acquire(timeout=0.05)
    assert theirs.acquire(timeout=-1)
    theirs.release()


def test_a_thread_waits_for_a_lock_without_the_gil(nodes, other):
    mine, theirs = dsm.Lock(8), dsm.Lock(8, cluster=other)
    got = threading.Event()

    def work():
        with theirs:
            got.set()

    with mine:
        thread = threading.Thread(target=work)
        thread.start()
        assert not got.wait(0.05)
    assert got.wait(10)
    thread.join()


def test_a_lock_that_is_not_held_cannot_be_released(nodes):
    with pytest.raises(dsm.Error) as caught:
        dsm.Lock(9).release()
    assert caught.value.errno == 1 and "lock 9" in str(caught.value)


@pytest.mark.parametrize("number", [-1, 2**32])
def test_numbers_of_locks_have_32_bits(nodes, number):
    with pytest.raises(ValueError):
        dsm.Lock(number)


def dead_owner(nodes, beside, number):
    program = beside("dsm:", f"""
        lock = dsm.Lock({number})
        lock.acquire()
        say("held")
        time.sleep(60)
    """)
    assert program.line() == "held"
    program.kill()


def test_the_next_holder_hears_of_a_dead_one(nodes, beside):
    dead_owner(nodes, beside, 10)
    lock = dsm.Lock(10)
    with lock:
        assert lock.owner_dead
    with lock:
        assert not lock.owner_dead


def test_strict_locks_raise_it(nodes, beside):
    lock = dsm.Lock(11, strict=True)
    dead_owner(nodes, beside, 11)
    with pytest.raises(dsm.OwnerDead):
        lock.acquire()
    lock.release()
    dead_owner(nodes, beside, 11)
    with pytest.raises(dsm.OwnerDead):
        with lock:
            pytest.fail("the block was entered")
    assert lock.acquire(False)
    lock.release()


def test_readers_share_and_writers_do_not(nodes, other):
    mine, theirs = dsm.RWLock(7), dsm.RWLock(7, cluster=other)
    with mine.read():
        assert theirs.acquire_read(timeout=10)
        theirs.release_read()
        assert not theirs.acquire_write(timeout=0.05)
    with mine.write():
        assert not theirs.acquire_read(False)


def test_barriers_let_all_go_together(nodes, other):
    order = []

    def work():
        with dsm.Barrier(5, 2, cluster=other):
            order.append("inside")
        order.append("after")

    thread = threading.Thread(target=work)
    thread.start()
    with dsm.Barrier(5, 2):
        time.sleep(0.02)
        assert "after" not in order
    thread.join()
    assert order == ["inside", "after"]


def test_a_barrier_that_nobody_comes_to_times_out(nodes):
    with pytest.raises(dsm.Timeout) as caught:
        dsm.Barrier(6, 2).wait(0.05)
    assert isinstance(caught.value, TimeoutError)


def test_an_exception_leaves_a_barrier_at_once(nodes):
    with pytest.raises(RuntimeError):
        with dsm.Barrier(6, 1):
            raise RuntimeError


def test_signals_end_waits(nodes, beside):
    program = beside("dsm:", """
        import signal
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        def handler(*_): raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, handler)
        try:
            dsm.Barrier(12, 2).wait()
        except KeyboardInterrupt:
            say("interrupted")
    """)
    assert program.line() == "interrupted"
    program.end()
