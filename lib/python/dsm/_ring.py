# SPDX-License-Identifier: MIT
"""Ring, Listener and Connection, with their asyncio side."""
import asyncio
import errno

from . import _dsm
from ._wait import Waiting


class _Async(Waiting):
    """asend() and arecv() over send() and recv()."""

    async def _readable(self, fd):
        """Returns when there may be a message."""
        if self.arm():
            return
        loop = asyncio.get_running_loop()
        came = loop.create_future()
        loop.add_reader(fd, lambda: came.done() or came.set_result(None))
        try:
            await came
        finally:
            loop.remove_reader(fd)

    async def arecv(self):
        """recv() for asyncio."""
        waiter = self._waiter("recv")
        async with waiter.turn:
            fd = self.fileno()
            while True:
                message = self.try_recv()
                if message is not None:
                    return message
                await self._readable(fd)

    async def asend(self, data):
        """send() for asyncio. One that is cancelled while the ring is full may be sent still."""
        waiter = self._waiter("send")
        async with waiter.turn:
            await waiter.settle()
            try:
                self.send(data, 0)
            except _dsm.Timeout:
                await waiter.run(lambda timeout: self.send(data, timeout))

    def __aiter__(self):
        return self

    def __anext__(self):
        return self.arecv()


class Ring(_Async, _dsm.Ring):
    __doc__ = _dsm.Ring.__doc__


class Connection(_Async, _dsm.Connection):
    __doc__ = _dsm.Connection.__doc__

    async def __anext__(self):
        try:
            return await self.arecv()
        except _dsm.Disconnected as error:
            if error.errno != errno.EPIPE:
                raise
        raise StopAsyncIteration


class Listener(Waiting, _dsm.Listener):
    __doc__ = _dsm.Listener.__doc__

    async def aaccept(self):
        """accept() for asyncio."""
        waiter = self._waiter("accept")
        async with waiter.turn:
            return await waiter.run(self.accept)

    def __iter__(self):
        return self

    def __next__(self):
        return self.accept()

    def __aiter__(self):
        return self

    def __anext__(self):
        return self.aaccept()


_dsm._accept_as(Connection)
