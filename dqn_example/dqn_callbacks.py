"""What the DQN example logs of each episode, read from the steps' `info`.

`info` reaches the callbacks from every environment of every env runner, also from those that run in
processes of their own.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from ray.rllib.callbacks.callbacks import RLlibCallback

SMOOTHING = 100  # episodes that a mean is taken over
ENDS = (
    *("left_lane", "left_route", "collision", "red_light", "idle", "fell"),
    *("time_limit", "distance_limit", "route_done", "server_lost"),
)
_PER_STEP = "steps_of_dqn_callbacks"


class DQNCallbacks(RLlibCallback):
    """Per-episode means as custom metrics, and one line an episode for the run's `episodes.jsonl`.

    Metrics: `heading_deviation` [rad], `distance` [m], `speed` [km/h], `off_road` (share of steps),
    `end_<reason>` (share of episodes), `reward_<part>` (sum over an episode), `drive_<figure>` (the library's
    own figures of an episode), `servers_lost` (since the start) and `server_recovery_seconds`.
    """

    def on_episode_start(self, *, episode: Any, metrics_logger: Any = None, **kwargs: Any) -> None:
        """Begin the episode's sums, which survive RLlib's cutting it into fragments."""
        episode.custom_data[_PER_STEP] = {"heading": 0.0, "speed": 0.0, "off_road": 0, "steps": 0, "return": 0.0}
        episode.custom_data["reward_parts"] = {}
        infos = episode.get_infos()
        recovery = infos[0].get("server_recovery_seconds") if len(infos) else None
        if recovery is not None:
            metrics_logger.log_value("server_recovery_seconds", float(recovery), reduce="mean", window=SMOOTHING)
            metrics_logger.log_value("server_recovery_seconds_max", float(recovery), reduce="max", window=SMOOTHING)

    def on_episode_step(self, *, episode: Any, **kwargs: Any) -> None:
        """Add one step's `info`."""
        info = episode.get_infos(-1)
        sums = episode.custom_data[_PER_STEP]
        sums["steps"] += 1
        sums["return"] += float(episode.get_rewards(-1))
        sums["heading"] += float(info.get("heading_deviation", 0.0))
        sums["speed"] += float(info.get("speed", 0.0))
        sums["off_road"] += bool(info.get("off_road", False))
        parts = episode.custom_data["reward_parts"]
        for name, value in info.get("reward_parts", {}).items():
            parts[name] = parts.get(name, 0.0) + float(value)

    def on_episode_end(self, *, episode: Any, metrics_logger: Any = None, **kwargs: Any) -> None:
        """Log the episode's means and its end."""
        info = episode.get_infos(-1)
        sums = episode.custom_data[_PER_STEP]
        steps = max(sums["steps"], 1)
        values = {
            "heading_deviation": sums["heading"] / steps,
            "distance": float(info.get("distance", 0.0)),
            "speed": sums["speed"] / steps,
            "off_road": sums["off_road"] / steps,
        }
        values |= _driving_metrics(info.get("episode_metrics") or {})
        values |= {f"reward_{name}": value for name, value in episode.custom_data["reward_parts"].items()}
        for name, value in values.items():
            metrics_logger.log_value(name, value, reduce="mean", window=SMOOTHING)
        reason = str(info.get("end", "unknown"))
        metrics_logger.log_value("servers_lost", int(bool(info.get("server_restarted"))), reduce="lifetime_sum")
        for name in ENDS:
            metrics_logger.log_value(f"end_{name}", float(reason == name), reduce="mean", window=SMOOTHING)
        position = [round(float(number), 2) for number in info.get("position", ())]
        record = {**values, "return": sums["return"], "length": sums["steps"], "end": reason, "position": position}
        record["town"] = info.get("town")
        metrics_logger.log_value("episodes", json.dumps(record), reduce="item_series")


def _driving_metrics(summary: dict[str, Any]) -> dict[str, float]:
    """The numbers among the library's figures of an episode; RLlib hands them on as numpy's."""
    figures = {name: value for name, value in summary.items() if isinstance(value, (int, float, np.number))}
    return {f"drive_{name}": float(value) for name, value in figures.items()}
