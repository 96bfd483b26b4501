# SPDX-License-Identifier: MIT
"""Regions as buffers and arrays."""
import gc
import threading

import dsm
import numpy
import pytest


@pytest.fixture
def name(nodes, request):
    yield "r-" + request.node.name[:25]
    gc.collect()
    try:
        dsm.cluster().delete_region("r-" + request.node.name[:25])
    except dsm.NotFound:
        pass


def test_both_nodes_see_the_same_bytes(name, other):
    here = dsm.Region(name, 10000)
    there = dsm.Region(name, cluster=other)
    assert len(here) == len(there) == 12288 and here.name == name
    memoryview(here)[5000:5005] = b"hello"
    assert bytes(memoryview(there)[5000:5005]) == b"hello"
    here.close()
    there.close()


def test_arrays_have_no_copy(name, other):
    here = dsm.Region(name, 1 << 20).array((128, 128), "f4", 4096)
    there = dsm.Region(name, cluster=other).array((128, 128), "f4", 4096)
    here[:] = numpy.arange(128 * 128).reshape(128, 128)
    assert there[127, 127] == 128 * 128 - 1
    there += 1
    assert here[0, 0] == 1


@pytest.mark.parametrize("look", [
    lambda region: region.array(512), lambda region: numpy.frombuffer(region),
    lambda region: memoryview(region).cast("d")], ids=["array", "frombuffer", "memoryview"])
def test_a_region_is_not_closed_under_an_array(name, look):
    region = dsm.Region(name, 4096)
    array = look(region)
    with pytest.raises(BufferError):
        region.close()
    with pytest.raises(BufferError):
        dsm.cluster().close()
    array[3] = 1
    del array
    region.close()
    with pytest.raises(dsm.Error):
        memoryview(region)


def test_missing_and_existing_regions(name):
    with pytest.raises(dsm.NotFound) as caught:
        dsm.Region(name)
    assert name in str(caught.value)
    dsm.Region(name, 4096).close()
    with pytest.raises(dsm.Exists):
        dsm.Region(name, 4096, exclusive=True)
    with pytest.raises(dsm.Invalid):
        dsm.Region(name, 1 << 20)


def test_memory_is_allocated_and_given_back(name):
    with dsm.Region(name, 1 << 20) as region:
        first = region.alloc(100)
        assert region.alloc(4096, 65536) == 65536
        with pytest.raises(dsm.Exists):
            region.alloc(4096, 65536)
        region.release(first)
        with pytest.raises(dsm.Error):
            region.release(first)
        with pytest.raises(ValueError):
            region.release(1 << 20)


def test_pages_tell_whose_they_are(name, other):
    with dsm.Region(name, 8192) as here, dsm.Region(name, cluster=other) as there:
        memoryview(there)[4096] = 1
        there.prefetch(0, 8192)
        page = there.page(4100)
        assert page.offset == 4096 and page.state == "MODIFIED" and page.dirty
        assert page.owner_id == other.status().node_id
        assert here.page(4096).state == "INVALID"


def test_words_are_waited_for_across_nodes(name, other):
    with dsm.Region(name, 4096) as here, dsm.Region(name, cluster=other) as there:
        word = memoryview(here)[:4].cast("I")
        word[0] = 0

        def work():
            memoryview(there)[:4].cast("I")[0] = 1

        thread = threading.Thread(target=work)
        thread.start()
        while not word[0]:
            here.wait(0, 0, 10)
        thread.join()
        with pytest.raises(dsm.Timeout):
            here.wait(0, 1, 0.02)
        assert here.wake(0) == 0
        word.release()


def test_named_arrays_are_shared_between_nodes(name, beside):
    grid = dsm.array("dsm:" + name, (64, 64), "i8")
    assert not grid.any()
    grid[:] = 1
    program = beside("dsm:" + name, """
        grid = dsm.array(uri, (64, 64), "i8")
        grid[0] += 1
        say(int(grid.sum()))
    """)
    assert program.line() == str(64 * 65)
    program.end()
    assert grid[0, 5] == 2 and grid[1, 0] == 1


def test_named_arrays_on_one_host(shm, beside):
    grid = dsm.array(shm, (300, 1000), "f8")
    grid[:] = 2
    program = beside(shm, """
        grid = dsm.array(uri, (300, 1000))
        grid[299, 999] = 5
        say(float(grid.sum()))
    """)
    assert program.line() == "600003.0"
    program.end()
    assert grid[-1, -1] == 5
    for other in ((3000, 1000),), ((1000, 300),), ((300, 1000), "i8"):
        with pytest.raises(dsm.Invalid) as caught:
            dsm.array(shm, *other)
        assert "<f8 (300, 1000)" in str(caught.value)


def test_all_that_make_an_array_at_once_have_the_same(shm, beside):
    programs = [beside(shm, """
        sys.stdin.readline()
        grid = dsm.array(uri, 1000, "i8")
        grid[int(sys.stdin.readline())] = 1
        say("done")
        sys.stdin.readline()
        say(int(grid.sum()))
    """) for _ in range(4)]
    for program in programs:
        program.tell("")
    for i, program in enumerate(programs):
        program.tell(str(i))
        assert program.line() == "done"
    for program in programs:
        program.tell("")
        assert program.line() == "4"
        program.end()


@pytest.mark.parametrize("arguments", [
    ("dsm:x", (2, 2), "O"), ("dsm:x", (0, 5)), ("x", 5), ("http:x", 5)])
def test_what_cannot_be_shared(nodes, arguments):
    with pytest.raises(ValueError):
        dsm.array(*arguments)


def test_pages_outlive_the_program_that_wrote_them(name, beside, nodes):
    """Its own agent, started by it, hands them over although an array is still there."""
    program = beside("dsm:", f"""
        os.environ["DSM_JOIN"] = "127.0.0.1:{nodes.ports[0]}"
        os.environ["DSM_PORT"] = "{nodes.ports[1] + 1}"
        grid = dsm.array("dsm:{name}", 100000)
        grid[:] = 7
    """)
    program.end()
    assert dsm.array("dsm:" + name, 100000).sum() == 700000
