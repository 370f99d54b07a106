"""Whether processes do anything at all, as Linux shows it: what tells a frozen server from one that has much to do."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

_ACTIVE = frozenset("RD")  # runs or waits for a processor; waits for a disk, or for memory that was swapped out
_STOPPED = frozenset("Tt")  # by SIGSTOP; by a debugger


@dataclass(frozen=True)
class Health:
    """What a look at a server's processes shows.

    Attributes:
        processor_seconds: processor time used so far [s].
        active: whether a thread runs, or would if the machine had a processor or a disk free for it.
        stopped: whether a process was stopped, so that it can neither work nor answer.
    """

    processor_seconds: float
    active: bool
    stopped: bool

    def work_since(self, earlier: Health) -> bool:
        """Whether anything was done since an earlier look, or would have been on a machine with less to do."""
        return self.active or self.processor_seconds > earlier.processor_seconds


def health_of(processes: Iterable[psutil.Process]) -> Health | None:
    """The signs of all processes together; None where there is none to see."""
    seconds, states, seen = 0.0, set[str](), False
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        seen = True
        seconds += times.user + times.system
        states |= thread_states(process.pid)
    return Health(seconds, bool(states & _ACTIVE), bool(states & _STOPPED)) if seen else None


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped, by SIGSTOP or a debugger."""
    return bool(thread_states(pid) & _STOPPED)


def thread_states(pid: int) -> set[str]:
    """The letters (proc(5)) of what the threads of a process are doing; none if it has ended."""
    states = set()
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/stat", "rb") as file:
                states.add(chr(file.read().rpartition(b") ")[2][0]))
    except (OSError, IndexError):  # it, or one of its threads, ended meanwhile
        pass
    return states
