# SPDX-License-Identifier: MIT
"""numpy arrays over shared memory, without a copy."""
import math

from ._dsm import Heap, Invalid, Map, Segment
from ._region import Region

MAGIC = b"\xaeDSMSEG1"  # how segments begin
ROOT = "array"


def _numpy():
    try:
        import numpy
    except ImportError as error:
        raise ImportError("arrays need numpy (Debian: python3-numpy)") from error
    return numpy


def frombuffer(buffer, shape, dtype="f8", offset=0):
    """An array of SHAPE and DTYPE over a Region, a memoryview or any buffer, from byte OFFSET on."""
    # ndarray() lets go of a buffer at once; frombuffer() keeps a memoryview, and that its owner open.
    count = _count(shape)
    return _numpy().frombuffer(buffer, dtype, count, offset).reshape(shape)


def _dimensions(shape):
    return tuple(map(int, shape)) if hasattr(shape, "__iter__") else (int(shape),)


def _count(shape):
    return math.prod(_dimensions(shape))


def _bytes(shape, dtype):
    numpy = _numpy()
    kind = numpy.dtype(dtype)
    if kind.hasobject:
        raise ValueError("Python objects cannot be shared: their addresses mean nothing elsewhere")
    count = _count(shape)
    if count * kind.itemsize <= 0:
        raise ValueError(f"an array of shape {shape} has no bytes to share")
    return count * kind.itemsize


def _in_region(name, size, cluster):
    region = Region(name, size, cluster=cluster)
    if bytes(memoryview(region)[:len(MAGIC)]) == MAGIC:
        raise Invalid(22, f"region '{name}' is a segment, not an array")
    return region


def _in_segment(uri, size, what):
    segment = Segment(uri, max_size=4 * size + (1 << 22), create=True)
    heap, arrays = Heap(segment), Map(segment, "arrays", text=True)
    entry = arrays.get(ROOT)
    if entry is None:
        # Of several that make it at once one is heard; the others take its block.
        mine = heap.alloc(size, 4096, True)
        entry = arrays.setdefault(ROOT, f"{mine} {what}")
        if entry != f"{mine} {what}":
            heap.free(mine)
    offset, there = entry.split(" ", 1)
    if there != what:
        raise Invalid(22, f"the array in '{uri}' is of {there}, not of {what}")
    # So that programs in C find it, too.
    segment.root_set(ROOT, int(offset))
    return heap.view(int(offset), size)


def array(uri, shape, dtype="f8", *, cluster=None):
    """The shared array of that name, made (zeroed) where it is not there.

    "dsm:REGION" is the region itself: other programs, C ones too, find the elements from its first
    byte on. "shm:NAME" is a segment of this host with the array in its heap, at root "array".
    Elements are in C order; all programs have to name the same shape and dtype.
    """
    size = _bytes(shape, dtype)
    if uri.startswith("dsm:"):
        return frombuffer(_in_region(uri[4:], size, cluster), shape, dtype)
    if uri.startswith("shm:"):
        what = f"{_numpy().dtype(dtype).str} {_dimensions(shape)}"
        return frombuffer(_in_segment(uri, size, what), shape, dtype)
    raise Invalid(22, f"'{uri}' is neither shm:NAME nor dsm:REGION")
