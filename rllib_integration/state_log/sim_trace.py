"""A state log as AWS DeepRacer's simulator writes its own, for the tools and notebooks that read it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from rllib_integration.annotations import Settings

MARK = "SIM_TRACE_LOG:"


def sim_trace_lines(lines: Iterable[Settings]) -> Iterator[str]:
    """The lines of `SIM_TRACE_LOG`, whole episodes one after the other.

    Fields: episode, step, x and y (m), heading (radians), steering (degrees), speed (m/s), action, reward, done, all
    wheels on the track, progress (%), nearest waypoint, track length (m), time (s), status, pause (s), crashes, time of
    the clock (s). The action is its number; -1 where actions are continuous. Time is the simulated one, in which one
    episode follows the other from the clock's time of the first step, as if a single car had driven them all.

    Args:
        lines: Of a state log whose experiment gives DeepRacer's state; others are left out.
    """
    episodes: dict[str, list[Settings]] = {}
    for line in lines:
        if "all_wheels_on_track" in line and "steering_angle" in line:
            episodes.setdefault(str(line["episode"]), []).append(line)
    simulated: float | None = None
    for number, steps in enumerate(sorted(episodes.values(), key=lambda steps: float(steps[0]["time"]))):
        crashes = 0
        for line in steps:
            crashes += bool(line.get("is_crashed"))
            simulated = float(line["time"]) if simulated is None else simulated + float(line["seconds"])
            yield _trace(number, line, crashes, simulated)


def _trace(episode: int, line: Settings, crashes: int, simulated: float) -> str:
    done = bool(line["terminated"] or line["truncated"])
    action = line["action"]
    fields = (
        str(episode),
        str(line["steps"]),
        f"{line['x']:.4f}",
        f"{line['y']:.4f}",
        f"{math.radians(line['heading']):.4f}",
        f"{line['steering_angle']:.2f}",
        f"{line['speed']:.2f}",
        str(action if isinstance(action, int) else -1),
        f"{line['reward']:.4f}",
        str(done),
        str(bool(line["all_wheels_on_track"])),
        f"{line['progress']:.4f}",
        str(line["current_wp_index"]),
        f"{line['track_length']:.2f}",
        f"{simulated:.3f}",
        _status(line, done),
        "0.0",
        str(crashes),
        f"{line['time']:.3f}",
    )
    return MARK + ",".join(fields)


def _status(line: Settings, done: bool) -> str:
    """The status in DeepRacer's words."""
    words = {"off_track": "off_track", "collision": "crashed", "stuck": "immobilized", "laps_done": "lap_complete"}
    return words.get(str(line.get("end")), "time_up") if done else "in_progress"
