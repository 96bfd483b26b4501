#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Messages between two Python processes: dsm beside multiprocessing's pipes.

    tests/bench/python_channel.py CPU,CPU [NAME...]

Prints lines NAME VALUE UNIT, thousands of messages of 64 bytes a second:

python_channel        by a Channel, each written when the one before was read and answered
pipe                  the same by a multiprocessing.Pipe
python_channel_batch  by a Ring with send_many() and recv_many(), 256 at a time, one way
pipe_stream           one way by a Pipe, as many as it holds
"""
import multiprocessing
import os
import sys
import time

import dsm

MESSAGE = bytes(64)
ROUNDS, MANY, BATCH = 50_000, 1_000_000, 256
URI = os.environ.setdefault("DSM_BENCH_URI", f"shm:python-bench-{os.getpid()}")


def echo_channel(cpu):
    os.sched_setaffinity(0, {cpu})
    with dsm.Channel(URI, "c", "slave", total=30, attempts=0) as channel:
        value, exchange = channel.read_wait(30), channel.exchange
        while value != b"end":
            value = exchange(value, 30)
        channel.write(value)
        # Who leaves first would look like a dead one.
        while channel.peer == "live":
            time.sleep(0.01)


def measure_channel():
    with dsm.Channel(URI, "c", "master", total=30, attempts=0) as channel:
        exchange = channel.exchange
        for _ in range(1000):
            exchange(MESSAGE, 30)
        begin = time.perf_counter()
        for _ in range(ROUNDS):
            exchange(MESSAGE)
        seconds = time.perf_counter() - begin
        exchange(b"end")
    return 2 * ROUNDS / seconds


def echo_pipe(cpu, pipe):
    os.sched_setaffinity(0, {cpu})
    message = None
    while message != b"end":
        message = pipe.recv_bytes()
        pipe.send_bytes(message)


def measure_pipe(pipe):
    pipe.send_bytes(MESSAGE)
    pipe.recv_bytes()
    begin = time.perf_counter()
    for _ in range(ROUNDS // 5):
        pipe.send_bytes(MESSAGE)
        pipe.recv_bytes()
    seconds = time.perf_counter() - begin
    pipe.send_bytes(b"end")
    return 2 * (ROUNDS // 5) / seconds


def send_ring(cpu):
    os.sched_setaffinity(0, {cpu})
    batch = [MESSAGE] * BATCH
    with dsm.Ring(URI, "r", "producer", capacity=1 << 20) as ring:
        for _ in range(MANY // BATCH + 1):
            ring.send_many(batch, 30)


def measure_ring():
    with dsm.Ring(URI, "r", "consumer", capacity=1 << 20) as ring:
        count = len(ring.recv_many())
        begin = time.perf_counter()
        while count < MANY:
            count += len(ring.recv_many(BATCH, 30))
        return count / (time.perf_counter() - begin)


def send_pipe(cpu, pipe):
    os.sched_setaffinity(0, {cpu})
    for _ in range(MANY // 10):
        pipe.send_bytes(MESSAGE)


def measure_pipe_batch(pipe):
    pipe.recv_bytes()
    begin = time.perf_counter()
    for _ in range(MANY // 10 - 1):
        pipe.recv_bytes()
    return (MANY // 10 - 1) / (time.perf_counter() - begin)


def beside(work, *arguments):
    process = multiprocessing.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def main():
    here, there = map(int, sys.argv[1].split(","))
    multiprocessing.set_start_method("spawn")
    os.sched_setaffinity(0, {here})
    ends = [multiprocessing.Pipe() for _ in range(2)]
    steps = [("python_channel", echo_channel, (there,), measure_channel, ()),
             ("pipe", echo_pipe, (there, ends[0][1]), measure_pipe, (ends[0][0],)),
             ("python_channel_batch", send_ring, (there,), measure_ring, ()),
             ("pipe_stream", send_pipe, (there, ends[1][1]), measure_pipe_batch, (ends[1][0],))]
    for name, work, its, measure, ours in steps:
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        process = beside(work, *its)
        print(name, f"{measure(*ours) / 1000:.1f}", "k/s", flush=True)
        process.join(30)
    if URI in dsm.segments():
        dsm.unlink(URI)


if __name__ == "__main__":
    main()
