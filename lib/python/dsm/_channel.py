# SPDX-License-Identifier: MIT
"""Channel, with its asyncio side."""
from . import _dsm
from ._wait import Waiting


class Channel(Waiting, _dsm.Channel):
    __doc__ = _dsm.Channel.__doc__

    async def aread(self):
        """read_wait() for asyncio."""
        waiter = self._waiter("read")
        async with waiter.turn:
            while True:
                value = self.read_newer()
                if value is not None:
                    return value
                # Waiting reads nothing, so that nothing is lost when this is cancelled.
                await waiter.run(self.wait)

    def __aiter__(self):
        return self

    def __anext__(self):
        return self.aread()
