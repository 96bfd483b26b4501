# SPDX-License-Identifier: MIT
"""numpy arrays over shared memory, without a copy."""
from ._dsm import Error, Heap, Invalid, Segment
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


def _count(shape):
    count = 1
    for n in shape if hasattr(shape, "__iter__") else (shape,):
        count *= int(n)
    return count


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


def _in_segment(uri, size):
    segment = Segment(uri, max_size=2 * size + (1 << 22), create=True)
    heap = Heap(segment)
    try:
        root = segment.root_get(ROOT)
    except FileNotFoundError:
        # Two that make it at once: the name is the later one's, and both find that.
        segment.root_set(ROOT, heap.alloc(size, 4096, True))
        root = segment.root_get(ROOT)
    if heap.usable_size(root.offset) < size:
        raise Invalid(22, f"the array in '{uri}' has less than {size} bytes")
    return heap.view(root.offset, size)


def array(uri, shape, dtype="f8", *, cluster=None):
    """The shared array of that name, made (zeroed) where it is not there.

    "dsm:REGION" is the region itself: other programs, C ones too, find the elements from its first
    byte on. "shm:NAME" is a segment of this host with the array in its heap. Elements are in C order;
    all programs have to name the same shape and dtype.
    """
    size = _bytes(shape, dtype)
    if uri.startswith("dsm:"):
        return frombuffer(_in_region(uri[4:], size, cluster), shape, dtype)
    if uri.startswith("shm:"):
        return frombuffer(_in_segment(uri, size), shape, dtype)
    raise Invalid(22, f"'{uri}' is neither shm:NAME nor dsm:REGION")
