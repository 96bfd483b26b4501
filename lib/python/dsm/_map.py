# SPDX-License-Identifier: MIT
"""Map as a MutableMapping, and its changes for asyncio."""
from collections.abc import MutableMapping

from . import _dsm
from ._wait import Waiting


class Changes(Waiting):
    """What happens to the keys of a Map, for for and async for: an iterator of Change."""

    def __init__(self, changes):
        self._changes = changes

    def next(self, timeout=None, /):
        """The next Change, waited for; Timeout."""
        return self._changes.next(timeout)

    def __iter__(self):
        return self

    def __next__(self):
        return self._changes.next()

    def __aiter__(self):
        return self

    async def __anext__(self):
        waiter = self._waiter("next")
        async with waiter.turn:
            return await waiter.run(self._changes.next)

    def __enter__(self):
        return self

    def close(self):
        """End the watch."""
        for waiter in (self._waiters or {}).values():
            waiter.close()
        self._changes.close()


class Map(_dsm.Map, MutableMapping):
    __doc__ = _dsm.Map.__doc__

    # The mixin's would find these by iterating.
    __contains__ = _dsm.Map.__contains__
    get = _dsm.Map.get
    setdefault = _dsm.Map.setdefault
    clear = _dsm.Map.clear

    def changes(self, prefix=b"", present=False):
        """An iterator of Change, also for async for, over what happens to the keys with that prefix
        from now on. With present, what is there already comes first, as added."""
        return Changes(super().changes(prefix, present))

    def pop(self, key, *default):
        """The value of key, which is deleted: as long as the value is that one. KeyError."""
        while True:
            try:
                value, version = self.get_versioned(key)
                self.delete(key, version)
            except _dsm.Conflict:
                continue
            except KeyError:
                if default:
                    return default[0]
                raise
            return value

    def __repr__(self):
        return f"<dsm.Map {'closed' if self.closed else len(self)}>"
