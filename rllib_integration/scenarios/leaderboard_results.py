"""Results in the format of the CARLA Leaderboard, for its own statistics tools.

The format is that of `statistics_manager.py` of the Leaderboard 2.0: a record for each route, and means, deviations and
infractions a kilometre over all of them.
"""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rllib_integration.annotations import Record, Settings
from rllib_integration.scores import penalty_2_0, penalty_2_1

if TYPE_CHECKING:
    from rllib_integration.metrics import EpisodeMetrics
    from rllib_integration.scenarios.criteria import LeaderboardCriteria

NAMES = {
    "collisions_static": "collisions_layout",
    "collisions_pedestrian": "collisions_pedestrian",
    "collisions_vehicle": "collisions_vehicle",
    "red_lights_run": "red_light",
    "stop_signs_run": "stop_infraction",
    "outside_route_lanes": "outside_route_lanes",
    "min_speed_infractions": "min_speed_infractions",
    "yield_emergency_vehicle": "yield_emergency_vehicle_infractions",
    "scenario_timeouts": "scenario_timeouts",
    "route_dev": "route_dev",
    "vehicle_blocked": "vehicle_blocked",
    "route_timeout": "route_timeout",
}
"""The Leaderboard's names of infractions by those of this library."""

_FAILURES = {
    "vehicle_blocked": "Agent got blocked",
    "route_dev": "Agent deviated from the route",
    "route_timeout": "Agent timed out",
}
_LABELS = {
    "Avg. driving score": "score_composed",
    "Avg. route completion": "score_route",
    "Avg. infraction penalty": "score_penalty",
    "Collisions with pedestrians": "collisions_pedestrian",
    "Collisions with vehicles": "collisions_vehicle",
    "Collisions with layout": "collisions_layout",
    "Red lights infractions": "red_light",
    "Stop sign infractions": "stop_infraction",
    "Off-road infractions": "outside_route_lanes",
    "Route deviations": "route_dev",
    "Route timeouts": "route_timeout",
    "Agent blocked": "vehicle_blocked",
    "Yield emergency vehicles infractions": "yield_emergency_vehicle_infractions",
    "Scenario timeouts": "scenario_timeouts",
    "Min speed infractions": "min_speed_infractions",
}
_SCORES = ("score_composed", "score_route", "score_penalty")
_VERSIONS = {"2.0": penalty_2_0, "2.1": penalty_2_1}


def route_record(metrics: EpisodeMetrics, criteria: LeaderboardCriteria, seconds: float) -> Record:
    """The record of one route, without its `index`, `route_id` and town.

    Args:
        metrics: Metrics of its episode, at the end.
        criteria: Criteria of its episode, at the end.
        seconds: Wall-clock time that it took.

    Returns:
        A record of the Leaderboard, with the scores of version 2.0 and, as `scores_2_1`, of version 2.1.
    """
    infractions: dict[str, list[str]] = {name: [] for name in NAMES.values()}
    for event in [*metrics.events, *criteria.events]:
        infractions[NAMES[event.name]].append(event.message)
    share = metrics.off_lane_share
    if share > 0.0:
        metres = share * metrics.distance
        # The Leaderboard's tools read the metres from the ninth word.
        infractions["outside_route_lanes"].append(
            f"Agent went outside its route lanes for about {metres:.3f} meters "
            f"({100.0 * share:.2f}% of the completed route)"
        )
    completion = 100.0 * (metrics.route_share or 0.0)
    count = sum(len(messages) for messages in infractions.values())
    if completion >= 100.0:
        status = "Completed" if count else "Perfect"
    else:
        failure = _FAILURES.get(criteria.end or "")
        status = f"Failed - {failure}" if failure else "Failed"
    scores = {
        version: _scores(completion, (1.0 - share) * penalty(metrics.counts, metrics.speed_shares))
        for version, penalty in _VERSIONS.items()
    }
    return {
        "status": status,
        "num_infractions": count,
        "infractions": infractions,
        "scores": scores["2.0"],
        "scores_2_1": scores["2.1"],
        "meta": {
            "route_length": round(metrics.summary().get("route_length", 0.0), 3),  # type: ignore[arg-type, type-var]
            "duration_game": round(criteria.seconds, 3),
            "duration_system": round(seconds, 3),
        },
    }


def _scores(completion: float, penalty: float) -> dict[str, float]:
    return {
        "score_route": round(completion, 6),
        "score_penalty": round(penalty, 6),
        "score_composed": round(max(completion * penalty, 0.0), 6),
    }


def results(records: Sequence[Settings], total: int, sensors: Sequence[str] = (), version: str = "2.0") -> Record:
    """The results of an evaluation.

    Args:
        records: Records of the driven routes, each with its `index`, `route_id` and `town_name`.
        total: Number of all routes.
        sensors: The agent's sensors, by the Leaderboard's names of icons.
        version: Version of the driving score, "2.0" or "2.1".

    Returns:
        The Leaderboard's `_checkpoint`, `entry_status`, `eligible`, `sensors`, `values` and `labels`.
    """
    chosen = [{**record, "scores": record["scores" if version == "2.0" else "scores_2_1"]} for record in records]
    done = len(records) == total
    summary = _global_record(chosen, total) if records else {}
    values = {**(summary.get("scores_mean") or {}), **(summary.get("infractions") or {})}
    return {
        "_checkpoint": {"global_record": summary, "progress": [len(records), total], "records": chosen},
        "entry_status": "Finished" if done else "Started",
        "eligible": done,
        "sensors": list(sensors),
        "values": [str(values.get(name, 0.0)) for name in _LABELS.values()] if records else [],
        "labels": list(_LABELS) if records else [],
    }


def _global_record(records: Sequence[Settings], total: int) -> Record:
    means = {name: round(sum(record["scores"][name] for record in records) / total, 6) for name in _SCORES}
    deviations = {name: _deviation([record["scores"][name] for record in records]) for name in _SCORES}
    kilometres = sum(record["meta"]["route_length"] * record["scores"]["score_route"] / 1e5 for record in records)
    infractions = {
        name: round(sum(_amount(record, name) for record in records) / _per(name, kilometres), 3)
        for name in NAMES.values()
    }
    failed = [record for record in records if record["status"].startswith("Failed")]
    perfect = all(record["status"] == "Perfect" for record in records)
    return {
        "index": -1,
        "route_id": -1,
        "status": "Failed" if failed else "Perfect" if perfect else "Completed",
        "infractions": infractions,
        "scores_mean": means,
        "scores_std_dev": deviations,
        "meta": {
            "total_length": round(sum(record["meta"]["route_length"] for record in records), 3),
            "duration_game": round(sum(record["meta"]["duration_game"] for record in records), 3),
            "duration_system": round(sum(record["meta"]["duration_system"] for record in records), 3),
            "exceptions": [[record["route_id"], record["index"], record["status"]] for record in failed],
        },
    }


def _deviation(values: Sequence[float]) -> float:
    return round(statistics.stdev(values), 3) if len(values) > 1 else 0


def _per(name: str, kilometres: float) -> float:
    """The divisor of an infraction: kilometres, or 1 for those that are lengths themselves."""
    return 1.0 if name == "outside_route_lanes" else max(kilometres, 0.001)


def _amount(record: Settings, name: str) -> float:
    messages = record["infractions"][name]
    if name != "outside_route_lanes":
        return float(len(messages))
    return math.fsum(float(message.split(" ")[8]) / 1000.0 for message in messages)


def write_results(path: str | os.PathLike[str], content: Settings) -> Path:
    """Write results as the Leaderboard's `simulation_results.json`; the file is replaced atomically."""
    file = Path(path).expanduser()
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(json.dumps(content, indent=4), encoding="utf-8")
    partial.replace(file)
    return file
