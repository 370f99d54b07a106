"""Ending the servers of this process tree, and no other process."""

from __future__ import annotations

import atexit
import contextlib
import os
import time
from collections.abc import Sequence

import psutil

from rllib_integration.processes.supervised import SUPERVISOR, await_readable
from rllib_integration.processes.supervisor import open_pidfd
from rllib_integration.servers.started_server import started_servers

_SECONDS = 10.0


def kill_all_servers() -> int:
    """End every server that this process or one of its descendants started; return how many.

    A server is known by its supervisor, a process below this one that runs this package's supervisor file.
    Names of other processes don't matter, and other users' or other runs' servers are not below this one.
    On return the servers are gone.
    """
    ended = 0
    for server in list(started_servers):
        if server.supervisor_pid is not None:
            ended += 1
        server.stop(grace=0.0)
    elsewhere = _supervisors_below_this_process()
    everything = list(elsewhere)
    for supervisor in elsewhere:
        with contextlib.suppress(psutil.NoSuchProcess):
            everything += supervisor.children(recursive=True)
            supervisor.terminate()  # its twin then ends all that is below
    for process in await_ends(everything, _SECONDS):  # its supervisors do not act, as after SIGSTOP
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    await_ends(everything, _SECONDS)
    return ended + len(elsewhere)


def await_ends(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until the processes have ended, whether or not their parents have noticed.

    Args:
        processes: need not be children of this one.
        seconds: how long to wait at most.

    Returns:
        Those that still run.
    """
    deadline = time.monotonic() + seconds
    alive = []
    for process in processes:
        descriptor = open_pidfd(process.pid)
        if descriptor >= 0:
            if process.is_running():  # else the id is another process's by now
                await_readable(descriptor, deadline - time.monotonic())
            os.close(descriptor)
        elif process.is_running():  # a kernel without pidfd
            psutil.wait_procs([process], timeout=max(0.0, deadline - time.monotonic()))
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
    return alive


def _supervisors_below_this_process() -> list[psutil.Process]:
    found: list[psutil.Process] = []
    known: set[int] = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if str(SUPERVISOR) in process.cmdline()[:5]:
                known.add(process.pid)
                if process.ppid() not in known:
                    found.append(process)
    return found


def _stop_own_servers() -> None:
    for server in list(started_servers):
        server.stop(grace=0.0)


atexit.register(_stop_own_servers)
