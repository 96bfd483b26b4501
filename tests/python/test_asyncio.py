# SPDX-License-Identifier: MIT
"""The asyncio side: an event loop goes on while objects wait."""
import asyncio

import dsm
import pytest


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 30))


def test_a_ring(segment):
    async def work():
        ring, got, ticks = dsm.Ring(segment), [], 0

        async def receive():
            async for message in ring:
                got.append(message)
                if message == b"end":
                    return

        task = asyncio.create_task(receive())
        for i in range(20):
            await asyncio.sleep(0.001)
            ticks += 1
            await ring.asend(str(i))
        await ring.asend("end")
        await task
        assert got == [str(i).encode() for i in range(20)] + [b"end"] and ticks == 20
        ring.close()
    run(work())


def test_a_full_ring(segment):
    async def work():
        with dsm.Ring(segment, capacity=4096) as ring:
            async def send():
                for i in range(200):
                    await ring.asend(b"%100d" % i)

            task = asyncio.create_task(send())
            for i in range(200):
                assert int(await ring.arecv()) == i
            await task
    run(work())


def test_what_is_cancelled_loses_nothing(segment):
    async def work():
        with dsm.Ring(segment) as ring, dsm.Channel(segment, "c", "master") as master, \
                dsm.Channel(segment, "c", "slave") as slave:
            for _ in range(3):
                for receive in (ring.arecv, slave.aread):
                    with pytest.raises(asyncio.TimeoutError):
                        await asyncio.wait_for(receive(), 0.02)
            ring.send("kept")
            master.write("kept")
            assert await ring.arecv() == b"kept"
            assert await slave.aread() == b"kept"
    run(work())


def test_tasks_take_turns(segment):
    async def work():
        with dsm.Ring(segment) as ring:
            tasks = [asyncio.create_task(ring.arecv()) for _ in range(5)]
            await asyncio.sleep(0.01)
            for i in range(5):
                await ring.asend(str(i))
            assert await asyncio.gather(*tasks) == [b"0", b"1", b"2", b"3", b"4"]
    run(work())


def test_connections(segment):
    async def serve(listener):
        async for connection in listener:
            async for message in connection:
                await connection.asend(message.upper())
            connection.close()
            return

    async def work():
        with dsm.Listener(segment) as listener:
            server = asyncio.create_task(serve(listener))
            await asyncio.sleep(0.01)
            client = dsm.Connection(segment)
            for i in range(10):
                await client.asend(f"hello {i}")
                assert await client.arecv() == f"HELLO {i}".encode()
            client.close()
            await server
    run(work())


def test_channels(segment):
    async def work():
        with dsm.Channel(segment, "c", "master") as master, \
                dsm.Channel(segment, "c", "slave") as slave:
            async def echo():
                async for value in slave:
                    slave.write(value + b"!")
                    if value == b"end":
                        return

            task = asyncio.create_task(echo())
            for text in ("a", "b", "end"):
                master.write(text)
                assert await master.aread() == text.encode() + b"!"
            await task
    run(work())


def test_changes_of_a_map(segment):
    async def work():
        with dsm.Map(segment) as mapping, mapping.changes() as changes:
            task = asyncio.create_task(changes.__anext__())
            await asyncio.sleep(0.01)
            mapping["a"] = "1"
            assert (await task)[:3] == ("added", b"a", b"1")
    run(work())
