"""Work that is shared out among processes, each of which sends what it finds as it goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from itertools import pairwise
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import numpy as np

from rllib_integration.errors import IntegrationError

Item = TypeVar("Item")


class WorkerError(IntegrationError, RuntimeError):
    """A worker ended by itself."""


def share_out(items: Sequence[Item], workers: int) -> list[list[Item]]:
    """Neighbouring items for each worker, equally many; no worker without any."""
    bounds = np.linspace(0, len(items), min(workers, len(items)) + 1).round().astype(int)
    return [list(items[begin:end]) for begin, end in pairwise(bounds.tolist())]


def run_workers(work: Callable[..., None], shares: Sequence[tuple[Any, ...]]) -> Generator[Any, None, None]:
    """Have processes work side by side, and yield what they send, in any order.

    The processes are started afresh, not forked, and end with this one, whatever ends it. They also end when the
    iterator is closed.

    Args:
        work: A function of a module's top level; a process calls it with a share and, at last, with what sends.
        shares: The arguments of each process; they have to survive pickling.

    Raises:
        WorkerError: A process ended with another status than 0.
    """
    context = multiprocessing.get_context("spawn")
    processes: list[BaseProcess] = []
    answers: dict[Connection, BaseProcess] = {}
    try:
        for share in shares:
            ours, theirs = context.Pipe(duplex=False)
            processes.append(context.Process(target=_begin, args=(work, share, theirs), daemon=True))
            processes[-1].start()
            theirs.close()
            answers[ours] = processes[-1]
        while answers:
            for connection in wait(list(answers)):
                assert isinstance(connection, Connection)
                try:
                    answer = connection.recv()
                except EOFError:
                    process = answers.pop(connection)
                    process.join()
                    if process.exitcode:
                        raise WorkerError(
                            f"A worker ended by itself with status {process.exitcode}: something called os._exit, or "
                            "a native library ended the process."
                        ) from None
                    continue
                yield answer
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _begin(work: Callable[..., None], share: tuple[Any, ...], answers: Connection) -> None:
    end_with_parent()
    work(*share, answers.send)


def end_with_parent() -> None:
    """End this process, which `multiprocessing` has started, when its parent ends; elsewhere nothing happens."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
