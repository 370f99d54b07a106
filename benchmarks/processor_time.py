"""Processor time of what a benchmark has started."""

from __future__ import annotations

from collections.abc import Iterable

import psutil


def below() -> list[psutil.Process]:
    """The processes that this one and its own have started, servers among them."""
    return psutil.Process().children(recursive=True)


def processor_seconds(processes: Iterable[psutil.Process]) -> float:
    """Used so far by those processes that are still there: a first server's helpers, which compile, end before it."""
    return sum(sum(process.cpu_times()[:2]) for process in processes if process.is_running())
