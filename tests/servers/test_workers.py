"""Work shared out among processes: what they send, how they end."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from rllib_integration.processes.workers import WorkerError, run_workers, share_out


def square(numbers: list[int], send: Callable[[object], None]) -> None:
    for number in numbers:
        send(number * number)


def leave(send: Callable[[object], None]) -> None:
    os._exit(3)


def test_each_worker_sends_what_it_finds() -> None:
    shares = [(share,) for share in share_out(range(5), 2)]
    assert shares == [([0, 1],), ([2, 3, 4],)]
    assert sorted(run_workers(square, shares)) == [0, 1, 4, 9, 16]


def test_no_worker_is_without_work() -> None:
    assert share_out("ab", 5) == [["a"], ["b"]]


def test_a_worker_that_ends_by_itself_is_an_error() -> None:
    with pytest.raises(WorkerError, match=r"^A worker ended by itself with status 3:"):
        list(run_workers(leave, [()]))
