"""Rounds of sampling: the env runners of a training run work side by side, and none is held up by another's simulator.

RLlib waits for all of its runners in every round, so that one that replaces a lost server, or loads a town, lets all
of them wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.env.env_runner import EnvRunner

from rllib_integration.training.sampling_watch import SILENT_ROUNDS, SamplingError, end_env_runners, why_no_steps

_TAG = "sample"
_PATIENCE = 2.0  # usual rounds that are waited for the last of the runners
_LEAST_PATIENCE = 0.1  # [s]
_NEWEST = 0.2  # share of the newest round in what is usual
_RETURN_SECONDS = 1.0  # between two looks for a runner that Ray starts again


Result = TypeVar("Result")


class SamplingRounds(Generic[Result]):
    """The remote env runners of an algorithm, one round of samples after the other.

    Args:
        algorithm: With one remote env runner or more.
        sample: What each of them does in a round.
    """

    def __init__(self, algorithm: Algorithm, sample: Callable[[EnvRunner], Result]) -> None:
        self._algorithm = algorithm
        self._group = algorithm.env_runner_group
        self._sample = sample
        self._asked_at = self._heard_at = time.monotonic()
        self._usual: float | None = None

    def next(self) -> list[Result]:
        """What the runners have sampled, each of which begins its next round at once.

        Returns:
            A result for each runner that was done in about the usual time; none, where `sample_timeout_s` has passed or
            the runners have died and are being started again.

        Raises:
            SamplingError: There has been no result for six times `sample_timeout_s`.
        """
        if not self._group.num_in_flight_async_reqs(_TAG):  # the first round, or all runners are new
            self._ask()
        results = self._fetch()
        self._ask()
        now = time.monotonic()
        if results:
            self._heard_at = now
        elif now - self._heard_at > SILENT_ROUNDS * self._timeout:
            end_env_runners(self._algorithm)
            raise SamplingError(why_no_steps(self._algorithm))
        return results

    @property
    def _timeout(self) -> float:
        return float(self._algorithm.config.sample_timeout_s)

    def _ask(self) -> None:
        """Let those sample that don't do so already."""
        self._group.foreach_env_runner_async(self._sample, tag=_TAG)
        self._asked_at = time.monotonic()

    def _fetch(self) -> list[Result]:
        deadline = self._asked_at + self._timeout
        results: list[tuple[int, Result]] = []
        while not results and self._group.num_in_flight_async_reqs(_TAG):
            if time.monotonic() > deadline:
                break
            results = self._group.fetch_ready_async_reqs(tags=_TAG, timeout_seconds=self._patience())
        if len(results) == self._group.num_remote_workers():
            took = time.monotonic() - self._asked_at
            self._usual = took if self._usual is None else self._usual + _NEWEST * (took - self._usual)
        if not results and not self._group.num_healthy_remote_workers():
            threading.Event().wait(_RETURN_SECONDS)  # the algorithm looks for them before its next round
        return [result for _, result in results]

    def _patience(self) -> float:
        """Seconds to wait for all; less than the time allowed once it is known what is usual."""
        if self._usual is None:
            return self._timeout
        return max(_LEAST_PATIENCE, self._asked_at + _PATIENCE * self._usual - time.monotonic())
