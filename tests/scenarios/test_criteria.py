"""Routes are judged and told of as the Leaderboard does."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rllib_integration.carla_env import CarlaEnv
from rllib_integration.metrics import Event
from rllib_integration.scenarios import criteria
from rllib_integration.scenarios.leaderboard_results import NAMES, results, write_results
from rllib_integration.scores import penalty_2_0, penalty_2_1
from tests.known import actors_of
from tests.scenarios.drivers import Driver

STANDING = np.array([-1.0, 0.0], np.float32)
AWAY = np.array([0.6, -1.0], np.float32)


@pytest.fixture(scope="module")
def env(make_env: Callable[..., CarlaEnv]) -> CarlaEnv:
    return make_env(route={"length": 120.0}, scenarios={"leaderboard": True})


def last_info(env: CarlaEnv, action: np.ndarray | None, steps: int = 600) -> dict[str, Any]:
    env.reset(seed=2)
    driver = Driver()
    for _ in range(steps):
        _, _, terminated, truncated, info = env.step(driver.act(env) if action is None else action)
        if terminated or truncated:
            return info
    raise AssertionError("The episode did not end.")


def test_a_route_without_fault_is_perfect(env: CarlaEnv) -> None:
    record = last_info(env, None)["leaderboard"]
    assert record["status"] == "Perfect"
    assert record["scores"] == {"score_route": 100.0, "score_penalty": 1.0, "score_composed": 100.0}
    assert record["meta"]["route_length"] == pytest.approx(120.0, abs=8.0)
    assert record["meta"]["duration_game"] > 10.0
    assert record["infractions"] == {name: [] for name in NAMES.values()}


def test_a_hero_that_stands_is_blocked(env: CarlaEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(criteria, "BLOCKED_SECONDS", 3.0)
    info = last_info(env, STANDING)
    assert info["end"] == "vehicle_blocked"
    assert info["leaderboard"]["status"] == "Failed - Agent got blocked"
    (message,) = info["leaderboard"]["infractions"]["vehicle_blocked"]
    assert message.startswith("Agent got blocked at (x=")


def test_a_route_has_its_time(env: CarlaEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(criteria, "LEAST_SECONDS", 2.0)
    info = last_info(env, STANDING)
    assert (info["end"], info["leaderboard"]["status"]) == ("route_timeout", "Failed - Agent timed out")


def test_a_hero_that_leaves_its_route_is_stopped(env: CarlaEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(criteria, "FARTHEST_OFF", 4.0)
    info = last_info(env, AWAY)
    assert (info["end"], info["leaderboard"]["status"]) == ("route_dev", "Failed - Agent deviated from the route")


def test_being_slower_than_the_traffic_costs(make_env: Callable[..., CarlaEnv]) -> None:
    env = make_env(
        route={"length": 60.0}, scenarios={"leaderboard": True}, background_activity={"n_vehicles": 6, "n_walkers": 0}
    )
    env.reset(seed=2)
    driver, speeds = Driver(speed=2.0), []
    for _ in range(900):
        _, _, terminated, truncated, info = env.step(driver.act(env))
        assert env.core.world is not None
        others = [
            vehicle.get_velocity().length()
            for vehicle in actors_of(env.core.world, "vehicle.*")
            if vehicle.attributes["role_name"] == "autopilot"
        ]
        speeds.append(np.mean(others))
        if terminated or truncated:
            break
    assert np.mean(speeds) > 2.5, "the others have to be faster for this to say anything"
    record = info["leaderboard"]
    messages = record["infractions"]["min_speed_infractions"]
    assert messages
    shares = [float(message.split(" ")[3].rstrip("%")) / 100.0 for message in messages]
    assert all(0.0 < share < 1.0 for share in shares)
    expected = math.prod(1.0 - 0.3 * (1.0 - share) for share in shares)
    assert record["scores"]["score_penalty"] == pytest.approx(expected, abs=0.01)


def test_the_two_versions_of_the_score() -> None:
    counts = {"collisions_pedestrian": 1, "red_lights_run": 2, "scenario_timeouts": 1}
    assert penalty_2_0(counts) == pytest.approx(0.5 * 0.7**2 * 0.7)
    assert penalty_2_0(counts, [0.5]) == pytest.approx(0.5 * 0.7**3 * 0.85)
    assert penalty_2_1(counts) == pytest.approx(1.0 / (1.0 + 1.0 + 2 * 0.4 + 0.4))
    assert penalty_2_1(counts, [0.5]) == pytest.approx(1.0 / (1.0 + 2.2 + 0.2))
    assert penalty_2_0({}) == penalty_2_1({}) == 1.0


def record(index: int, route: float, composed: float, **infractions: list[str]) -> dict[str, Any]:
    scores = {"score_route": route, "score_penalty": composed / route, "score_composed": composed}
    status = "Failed - Agent got blocked" if route < 100.0 else "Completed" if infractions else "Perfect"
    return {
        "index": index,
        "route_id": f"RouteScenario_{index}_rep0",
        "town_name": "Town05",
        "status": status,
        "num_infractions": sum(map(len, infractions.values())),
        "infractions": {**{name: [] for name in NAMES.values()}, **infractions},
        "scores": scores,
        "scores_2_1": {**scores, "score_composed": composed + 1.0},
        "meta": {"route_length": 1000.0, "duration_game": 100.0, "duration_system": 10.0},
    }


def test_results_have_the_leaderboards_form(tmp_path: Path) -> None:
    outside = "Agent went outside its route lanes for about 12.500 meters (1.25% of the completed route)"
    records = [
        record(0, 100.0, 100.0),
        record(1, 50.0, 30.0, collisions_vehicle=["a", "b"], outside_route_lanes=[outside]),
    ]
    file = write_results(tmp_path / "simulation_results.json", results(records, 2, ["carla_opendrive_map"]))
    content = json.loads(file.read_text())
    summary = content["_checkpoint"]["global_record"]
    assert content["entry_status"] == "Finished"
    assert content["eligible"] is True
    assert content["_checkpoint"]["progress"] == [2, 2]
    assert summary["scores_mean"] == {"score_composed": 65.0, "score_route": 75.0, "score_penalty": 0.8}
    assert summary["scores_std_dev"]["score_composed"] == pytest.approx(49.497, abs=1e-3)
    assert summary["infractions"]["collisions_vehicle"] == pytest.approx(2 / 1.5, abs=1e-3)
    assert summary["infractions"]["outside_route_lanes"] == pytest.approx(0.0125, abs=1e-3)
    assert summary["meta"]["exceptions"] == [["RouteScenario_1_rep0", 1, "Failed - Agent got blocked"]]
    assert summary["status"] == "Failed"
    shown = dict(zip(content["labels"], content["values"]))
    assert shown["Avg. driving score"] == "65.0"
    assert len(shown) == len(content["values"]) == 15
    assert results(records, 2, version="2.1")["values"][0] == "66.0"
    begun = results(records[:1], 2)
    assert (begun["entry_status"], begun["eligible"]) == ("Started", False)


def test_every_infraction_of_the_metrics_has_a_name_of_the_leaderboards() -> None:
    from rllib_integration.metrics import PENALTIES

    assert set(PENALTIES) < set(NAMES)
    assert Event._fields == ("name", "seconds", "message")
