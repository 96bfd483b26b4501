# SPDX-License-Identifier: MIT
"""Waiting for conditions, never for time."""
import time


class Failure(Exception):
    """A behaviour that a case names did not hold."""


def check(condition, what):
    """Raises Failure saying WHAT unless CONDITION holds."""
    if not condition:
        raise Failure(what)


def until(condition, seconds, what, pause=0.005):
    """Polls CONDITION() until it gives something true and returns that."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() >= end:
            raise Failure(f"not within {seconds} s: {what}")
        time.sleep(pause)
