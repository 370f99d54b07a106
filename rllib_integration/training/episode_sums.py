"""An episode in numbers, summed up from the `info` of its steps."""

from __future__ import annotations

import numpy as np

from rllib_integration.annotations import Record, Settings

_NUMBERS = (bool, int, float, np.number, np.bool_)
_NO_METRICS = frozenset({"server_recovery_seconds", "server_restarted"})  # numbers that are logged in another way


class EpisodeSums:
    """Sums over an episode's steps."""

    def __init__(self) -> None:
        self.steps = 0
        self.total_reward = 0.0
        self._numbers: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._reward_parts: dict[str, float] = {}

    def add(self, info: Settings, reward: float) -> None:
        self.steps += 1
        self.total_reward += reward
        for name, value in info.items():
            if isinstance(value, _NUMBERS) and name not in _NO_METRICS:
                self._numbers[name] = self._numbers.get(name, 0.0) + float(value)
                self._counts[name] = self._counts.get(name, 0) + 1
        for name, value in info.get("reward_parts", {}).items():
            self._reward_parts[name] = self._reward_parts.get(name, 0.0) + float(value)

    def figures(self, last_info: Settings) -> dict[str, float]:
        """The episode's figures; one that nothing told is missing."""
        figures = {name: total / self._counts[name] for name, total in self._numbers.items()}
        summary = last_info.get("episode_metrics") or {}
        driven = last_info.get("distance", summary.get("distance"))
        if driven is not None:
            figures["distance"] = float(driven)
        for name, value in summary.items():
            if isinstance(value, _NUMBERS):
                figures[f"drive_{name}"] = float(value)
        return figures | {f"reward_{name}": value for name, value in self._reward_parts.items()}

    def record(self, last_info: Settings, terminated: bool) -> Record:
        """The episode's line in `episodes.jsonl`: its figures, return, length, end, last position and town."""
        position = [round(float(number), 2) for number in last_info.get("position", ())]
        return {
            **self.figures(last_info),
            "return": self.total_reward,
            "length": self.steps,
            "end": str(last_info.get("end") or ("terminated" if terminated else "truncated")),
            "position": position,
            "town": last_info.get("town"),
        }
