"""How far a run has come: what this start has done so far, and the line that each iteration prints."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from rllib_integration.annotations import Settings
from rllib_integration.training.stop_rules import Progress, format_duration

if TYPE_CHECKING:
    from ray.rllib.algorithms.algorithm import Algorithm

UNKNOWN = "-"


@dataclass(frozen=True)
class Figure:
    """A figure of the progress line: a metric of the env runners, averaged over the newest episodes.

    Attributes:
        label: Its name in the line.
        metric: The metric's name, as the callbacks log it.
        unit: Printed behind it.
        scale: The metric is multiplied by it.
        digits: After the point.
    """

    label: str
    metric: str
    unit: str = ""
    scale: float = 1.0
    digits: int = 1


RETURN = Figure("return", "episode_return_mean", digits=2)
RETURN_OF_A_LIFE = Figure("return", "life_return_mean", digits=2)
"""Of several agents. The sum of their returns would grow with each that dies and begins again."""
LENGTH = Figure("length", "episode_len_mean")
_WIDTHS = {RETURN: 8, RETURN_OF_A_LIFE: 8}
_WIDTH = 6


def progress_line(
    result: Settings, progress: Progress, seconds_left: float | None, figures: Sequence[Figure] = ()
) -> str:
    """One iteration in a line that a person reads; "-" stands for a figure that no ended episode has told.

    Args:
        result: RLlib's result of the iteration.
        progress: Where the run stands.
        seconds_left: Until a stop rule ends the run; None where that can't be foreseen.
        figures: Shown beside the return and the length, as the callbacks' `PROGRESS` names them.
    """
    metrics = result.get("env_runners") or {}
    parts = [
        f"iteration {progress.iteration:>4}",
        f"{progress.timesteps:>8,} steps",
        f"{progress.steps_per_second:5.0f} steps/s",
        *(_show(figure, metrics) for figure in (_return_in(metrics), LENGTH, *figures)),
    ]
    if seconds_left is not None:
        parts.append(f"{format_duration(seconds_left)} left")
    return " | ".join(parts)


def _show(figure: Figure, metrics: Settings) -> str:
    value = number_in(metrics, figure.metric)
    text = UNKNOWN if value is None else f"{value * figure.scale:.{figure.digits}f}"
    return f"{figure.label} {text:>{_WIDTHS.get(figure, _WIDTH)}} {figure.unit}".rstrip()


def number_in(metrics: Settings, name: str) -> float | None:
    """A metric as a finite number; None where it is missing, or RLlib had nothing to average."""
    value = metrics.get(name)
    try:
        number = float(value) if value is not None else math.nan
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def mean_return(result: Settings) -> float | None:
    """The mean return of the newest episodes, or of the agents' newest lives; None before the first has ended."""
    metrics = result.get("env_runners") or {}
    return number_in(metrics, _return_in(metrics).metric)


def _return_in(metrics: Settings) -> Figure:
    return RETURN_OF_A_LIFE if RETURN_OF_A_LIFE.metric in metrics else RETURN


def steps_sampled(algorithm: Algorithm) -> int:
    """Environment steps of the run, those before a restore included."""
    return int(algorithm.metrics.peek(("env_runners", "num_env_steps_sampled_lifetime"), default=0))


class Meter:
    """Counts what this start has done.

    Args:
        algorithm: As it is before its first iteration.
    """

    def __init__(self, algorithm: Algorithm) -> None:
        self._algorithm = algorithm
        self._first_iteration = algorithm.iteration
        self._first_steps = steps_sampled(algorithm)
        self._started = time.monotonic()
        self._last_time, self._last_steps = self._started, self._first_steps
        self._rate = 0.0

    def iterated_in_vain(self) -> bool:
        """Whether this start has gone through iterations without a single step."""
        return self._algorithm.iteration > self._first_iteration and steps_sampled(self._algorithm) == self._first_steps

    def progress(self, result: Settings | None) -> Progress:
        """Where the run stands; with an iteration's result, the pace since the result before is measured."""
        now, steps = time.monotonic(), steps_sampled(self._algorithm)
        if result is not None:
            self._rate = (steps - self._last_steps) / max(now - self._last_time, 1e-9)
            self._last_time, self._last_steps = now, steps
        return Progress(
            iteration=self._algorithm.iteration,
            timesteps=steps,
            seconds=now - self._started,
            iterations_now=self._algorithm.iteration - self._first_iteration,
            timesteps_now=steps - self._first_steps,
            steps_per_second=self._rate,
            mean_return=mean_return(result) if result is not None else None,
            ram_percent=psutil.virtual_memory().percent,
        )
