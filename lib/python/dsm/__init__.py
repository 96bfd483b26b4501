# SPDX-License-Identifier: MIT
"""Shared memory for the programs of one Linux host or of several machines.

    import dsm; a = dsm.array("dsm:grid", (4096, 4096), "f8")

Names are URIs: "shm:NAME" is memory of this host, "dsm:REGION" a region of the cluster that
this machine's node is a member of. Objects may be used by all threads of a program; what
waits lets the others run.

- array(), Region: memory itself, for numpy or as buffers
- Cluster, Lock, RWLock, Barrier: the node, and what programs meet at
- Segment: the memory in which Heap, Map, Ring, Listener, Connection and Channel live
- Error and its subclasses: what the C library refused, with errno and its words
"""
import atexit as _atexit

from . import _dsm
from ._array import array, frombuffer
from ._dsm import (
    Barrier, Busy, ChannelFlow, ChannelInfo, ChannelSeat, Change, Cluster, Conflict, Damaged,
    Disconnected, Entry, Error, Exists, Full, Heap, HeapReport, Invalid, Lock, MapStat, Message, NotFound,
    OwnerDead, PageInfo, Reservation, RingStat, Root, Segment, SegmentInfo, Status, Timeout,
    __version__, segments, unlink)
from ._channel import Channel
from ._map import Changes, Map
from ._region import Region, RWLock
from ._ring import Connection, Listener, Ring

__all__ = [
    "Barrier", "Busy", "Change", "Changes", "Channel", "ChannelFlow", "ChannelInfo", "ChannelSeat",
    "Cluster", "Conflict", "Connection", "Damaged", "Disconnected", "Entry", "Error", "Exists",
    "Full", "Heap", "HeapReport", "Invalid", "Listener", "Lock", "Map", "MapStat", "Message", "NotFound",
    "OwnerDead", "PageInfo", "RWLock", "Region", "Reservation", "Ring", "RingStat", "Root",
    "Segment", "SegmentInfo", "Status", "Timeout", "array", "cluster", "frombuffer", "segments",
    "unlink",
]


def cluster():
    """The default Cluster: the node at DSM_PORT, opened at the first use of the cluster."""
    return _dsm._default_cluster()


# Leaves the cluster in peace: pages that only this node has go to the others.
_atexit.register(_dsm._leave)
