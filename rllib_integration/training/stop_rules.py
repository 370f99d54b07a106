"""When a training run ends, and how long that may still take."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
RAM_LIMIT = 85.0  # [%] of the machine's memory


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        iteration: Training iterations, those before a restore included.
        timesteps: Environment steps, those before a restore included.
        seconds: Wall time of this start.
        iterations_now, timesteps_now: Of this start.
        steps_per_second: Over the newest iteration.
        mean_return: Over the newest episodes; None before the first has ended.
        ram_percent: Of the machine's memory in use.
    """

    iteration: int
    timesteps: int
    seconds: float
    iterations_now: int
    timesteps_now: int
    steps_per_second: float
    mean_return: float | None
    ram_percent: float


@dataclass(frozen=True)
class StopRules:
    """Bounds that end a run as soon as one is reached; None is no bound."""

    iterations: int | None = None
    timesteps: int | None = None
    seconds: float | None = None
    reward: float | None = None
    ram_percent: float = RAM_LIMIT

    def reason(self, progress: Progress) -> str | None:
        """The sentence that says why the run ends now, or None."""
        if self.iterations is not None and progress.iteration >= self.iterations:
            done = "1 iteration is" if progress.iteration == 1 else f"{progress.iteration} iterations are"
            return f"{done} done (--stop-iterations)."
        if self.timesteps is not None and progress.timesteps >= self.timesteps:
            return f"{progress.timesteps:,} steps are done (--stop-timesteps)."
        if self.seconds is not None and progress.seconds >= self.seconds:
            return f"{format_duration(progress.seconds)} are over (--stop-duration)."
        if self.reward is not None and progress.mean_return is not None and progress.mean_return >= self.reward:
            return f"The mean return {progress.mean_return:.1f} reached the goal (--stop-reward)."
        if progress.ram_percent >= self.ram_percent:
            return f"{progress.ram_percent:.0f} % of the memory is in use, {self.ram_percent:.0f} % is the limit."
        return None

    def seconds_left(self, progress: Progress) -> float | None:
        """An estimate from the pace so far; None without a bound that can be foreseen."""
        pace = progress.seconds
        left = []
        if self.seconds is not None:
            left.append(self.seconds - progress.seconds)
        if self.iterations is not None and progress.iterations_now:
            left.append((self.iterations - progress.iteration) * pace / progress.iterations_now)
        if self.timesteps is not None and progress.timesteps_now:
            left.append((self.timesteps - progress.timesteps) * pace / progress.timesteps_now)
        return max(0.0, min(left)) if left else None


def parse_duration(text: str) -> float:
    """Seconds of "90", "90s", "10m", "1h30m" or "2d", for argparse."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration; write 90s, 10m, 1h30m or 2d.")
    if any(not unit for _, unit in parts) and len(parts) > 1:
        raise argparse.ArgumentTypeError(f"{text!r} mixes numbers with and without a unit; write 1h30m, say.")
    seconds = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time at all; give more than 0 seconds.")
    return seconds


def format_duration(seconds: float) -> str:
    """Such as 0:42, 4:10 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
