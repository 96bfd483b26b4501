# SPDX-License-Identifier: MIT
"""Child processes that never outlive the laboratory."""
import ctypes
import os
import signal
import subprocess

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)
CHILDREN = []


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(words, **keywords):
    """subprocess.Popen, bound to this process's life."""
    # A preexec_fn is safe here: the laboratory has one thread.
    child = subprocess.Popen(words, preexec_fn=die_with_parent, **keywords)
    CHILDREN.append(child)
    return child


def kill(child, how=signal.SIGKILL):
    """Kills CHILD and, when the signal is final, reaps it."""
    if child.poll() is None:
        os.kill(child.pid, how)
    if how == signal.SIGKILL:
        child.wait()


def kill_all():
    for child in CHILDREN:
        if child.poll() is None:
            child.kill()
    for child in CHILDREN:
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream:
                stream.close()
    CHILDREN.clear()
