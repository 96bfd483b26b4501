# SPDX-License-Identifier: MIT
"""How an event loop waits for what has no descriptor: in a thread, by short pieces."""
import asyncio
import concurrent.futures

from ._dsm import Error, Timeout

# How long a wait that nobody wants any more keeps its thread; also how often an idle one wakes.
PIECE = 0.2


class Waiter:
    """A thread that waits for one object, made at the first use; its lock makes tasks take turns."""

    def __init__(self):
        self.turn = asyncio.Lock()
        self._pool = self._pending = None

    async def run(self, call):
        """The result of CALL(timeout), repeated until it does not raise Timeout.

        What comes after its caller was cancelled is not lost: the next caller gets it.
        """
        loop = asyncio.get_running_loop()
        if self._pool is None:
            self._pool = concurrent.futures.ThreadPoolExecutor(1, "dsm-wait")
        while True:
            if self._pending is None:
                self._pending = self._pool.submit(call, PIECE)
            try:
                result = await asyncio.shield(asyncio.wrap_future(self._pending, loop=loop))
            except asyncio.CancelledError:
                raise
            except Timeout:
                self._pending = None
            except BaseException:
                self._pending = None
                raise
            else:
                self._pending = None
                return result

    async def settle(self):
        """Lets a call whose caller was cancelled come to its end, whatever that is."""
        if self._pending is not None:
            try:
                await asyncio.shield(asyncio.wrap_future(self._pending))
            except Error:
                pass
            self._pending = None

    def close(self):
        """Waits for the thread, for PIECE at most."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = self._pending = None


class Waiting:
    """An object with waiters, closed with it."""

    _waiters = None

    def _waiter(self, name):
        if self._waiters is None:
            self._waiters = {}
        if name not in self._waiters:
            self._waiters[name] = Waiter()
        return self._waiters[name]

    def close(self):
        """End its use; what it names stays."""
        for waiter in (self._waiters or {}).values():
            waiter.close()
        super().close()

    def __exit__(self, *exc):
        self.close()
