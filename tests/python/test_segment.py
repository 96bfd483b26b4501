# SPDX-License-Identifier: MIT
"""Segments and heaps."""
import dsm
import pytest


def test_a_segment_tells_about_itself(segment, uri):
    info = segment.info()
    assert info.size >= 4 << 20 and info.max_size >= 64 << 20 and info.version >= 1
    assert segment.uri == uri and not segment.closed


def test_segments_are_listed(segment, uri):
    where = dsm.cluster() if uri.startswith("dsm:") else None
    assert uri in dsm.segments(where)


def test_errors_carry_number_and_words(uri):
    with pytest.raises(dsm.NotFound) as caught:
        dsm.Segment(uri)
    assert caught.value.errno == 2 and uri[4:] in caught.value.strerror
    with pytest.raises(dsm.Invalid):
        dsm.Segment("nonsense")
    with pytest.raises(dsm.NotFound):
        dsm.unlink(uri)


def test_exclusive_and_existing(segment, uri):
    with pytest.raises(dsm.Exists):
        dsm.Segment(uri, 1 << 20, exclusive=True)
    with dsm.Segment(uri) as again:
        assert again.info().id == segment.info().id


def test_roots_have_names(segment):
    segment.root_set("here", 4711)
    assert segment.root_get("here") == ("here", "user", 4711)
    assert [r.name for r in segment.roots()] == ["here"]
    segment.root_remove("here")
    with pytest.raises(dsm.NotFound):
        segment.root_get("here")
    names = [f"n{i}" for i in range(40)]
    for i, name in enumerate(names):
        segment.root_set(name, i + 1)
    assert sorted(r.name for r in segment.roots()) == sorted(names)


def test_it_grows(segment):
    before = segment.info().size
    segment.grow(2 * before)
    assert segment.info().size >= 2 * before
    with pytest.raises(dsm.Full):
        segment.grow(1 << 40)


def test_closing_closes_what_is_in_it(uri):
    segment = dsm.Segment(uri, 1 << 20)
    heap, ring, mapping = dsm.Heap(segment), dsm.Ring(segment), dsm.Map(segment)
    segment.close()
    assert heap.closed and ring.closed and mapping.closed
    for call in (lambda: heap.alloc(1), lambda: ring.send(b""), lambda: len(mapping)):
        with pytest.raises(dsm.Error):
            call()


def test_blocks_are_given_and_taken(segment):
    heap = dsm.Heap(segment)
    offset = heap.alloc(100)
    assert heap.usable_size(offset) >= 100
    view = heap.view(offset, 100)
    view[:] = bytes(range(100))
    moved = heap.realloc(offset, 100000)
    assert bytes(heap.view(moved)[:100]) == bytes(range(100))
    heap.free(moved)
    assert heap.alloc(64, 4096) % 4096 == 0
    assert not any(heap.view(heap.alloc(5000, zero=True), 5000))
    heap.flush()


def test_what_is_no_block(segment):
    heap = dsm.Heap(segment)
    offset = heap.alloc(64)
    with pytest.raises(dsm.Invalid):
        heap.free(offset + 16)
    with pytest.raises(dsm.Invalid):
        heap.view(offset + 16)
    with pytest.raises(ValueError):
        heap.view(offset, 1 << 30)
    with pytest.raises(dsm.Invalid):
        heap.alloc(0)
    with pytest.raises(dsm.Invalid):
        heap.alloc(-1)
    with pytest.raises(dsm.Full):
        heap.alloc(1 << 50)
    heap.free(offset)
    with pytest.raises(dsm.Error):
        heap.free(offset)
    heap.free(0)


@pytest.mark.parametrize("strategy", ["size_classes", "first_fit", "best_fit", "worst_fit"])
def test_strategies(uri, strategy):
    with dsm.Heap(uri, strategy=strategy, guards=True) as heap:
        assert heap.strategy == strategy
        blocks = [heap.alloc(n * 16) for n in range(1, 50)]
        assert len(set(blocks)) == len(blocks)
        for block in blocks:
            heap.free(block)


def test_a_view_keeps_the_segment_open(segment):
    heap = dsm.Heap(segment)
    offset = heap.alloc(10)
    view = heap.view(offset, 10)
    with pytest.raises(BufferError):
        segment.close()
    with segment.view(offset, 10) as inside:
        view[0] = 42
        assert inside[0] == 42
    with pytest.raises(dsm.Invalid):
        segment.view(1 << 40, 1)
    with pytest.raises(dsm.Invalid):
        segment.view(offset, 1 << 40)
    view.release()


def test_the_other_side_frees(segment, uri, beside):
    heap = dsm.Heap(segment)
    offset = heap.alloc(1000)
    heap.view(offset)[:5] = b"hello"
    program = beside(uri, f"""
        heap = dsm.Heap(uri)
        say(bytes(heap.view({offset})[:5]).decode())
        heap.free({offset})
    """)
    assert program.line() == "hello"
    program.end()


def test_a_heap_is_looked_over(segment):
    heap = dsm.Heap(segment, guards=True)
    offset = heap.alloc(100)
    assert heap.report().used == 1 and heap.report().used_bytes >= 100
    assert heap.validate() == []
    assert '"' in heap.dump(json=True) and heap.dump() and heap.picture()
    assert "<svg" in heap.picture(svg=True)
    usable = heap.usable_size(offset)
    segment.view(offset, usable + 1)[usable] = 0xff
    faults = heap.validate()
    assert faults and "guard" in faults[0][1]


def test_names_are_used_again_and_again(uri):
    """More often than a program may have segments open at once."""
    for _ in range(100):
        with dsm.Segment(uri, 1 << 20, exclusive=True) as segment:
            segment.root_set("x", 1)
        dsm.unlink(uri)


@pytest.mark.parametrize("content", [b"", b"garbage", bytes(4096), b"\xaeDSMSEG1" + b"\xff" * 9000])
def test_foreign_bytes_are_refused(shm, content):
    with dsm.Segment(shm, 1 << 20, exclusive=True):
        pass
    path = "/dev/shm/dsm." + shm[4:]
    with open(path, "r+b") as file:
        file.truncate(len(content))
        file.write(content)
    with pytest.raises(dsm.Error) as caught:
        dsm.Segment(shm)
    assert caught.value.errno and shm in str(caught.value)
