# SPDX-License-Identifier: MIT
"""Region and RWLock, with what is easier said in Python."""
from . import _dsm


class Region(_dsm.Region):
    __doc__ = _dsm.Region.__doc__

    def array(self, shape, dtype="f8", offset=0):
        """A numpy array over the region from byte offset on, without a copy."""
        from ._array import frombuffer
        return frombuffer(self, shape, dtype, offset)


class _Side:
    """One way to hold a RWLock, for with."""

    def __init__(self, enter, leave):
        self._enter, self._leave = enter, leave

    def __enter__(self):
        self._enter()
        return self

    def __exit__(self, *exc):
        self._leave(*exc)


class RWLock(_dsm.RWLock):
    __doc__ = _dsm.RWLock.__doc__

    def read(self):
        """with lock.read(): together with other readers."""
        return _Side(self._enter_read, self._exit_read)

    def write(self):
        """with lock.write(): alone."""
        return _Side(self._enter_write, self._exit_write)
