"""Scenarios are put in place, begun, ended and told of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import carla
import numpy as np
import pytest

from rllib_integration.carla_env import CarlaEnv
from rllib_integration.roads.routes import plan_route
from rllib_integration.scenarios.director import trigger_on_route
from rllib_integration.scenarios.errors import ScenarioError
from rllib_integration.scenarios.situations import Trigger
from rllib_integration.scenarios.types import SCENARIO_TYPES
from tests.known import actors_of
from tests.scenarios.drivers import Driver, drive

STANDING = np.array([-1.0, 0.0], np.float32)


@pytest.fixture(scope="module")
def env(make_env: Callable[..., CarlaEnv]) -> CarlaEnv:
    return make_env()


def drawn(kind: str, **given: Any) -> dict[str, Any]:
    return {"scenarios": {"types": {kind: given}}}


def test_nothing_is_left_of_a_scenario_after_its_end(env: CarlaEnv) -> None:
    info = drive(env, lambda env, situation: Driver(), **drawn("DynamicObjectCrossing"))
    assert [outcome["result"] for outcome in info["scenarios"]] == ["passed"]
    env.core.clock.tick()
    left = {actor.type_id for actor in actors_of(env.core.world)}
    assert not [name for name in left if name.startswith(("walker.", "static.prop"))]


def test_an_episode_that_ends_early_leaves_nothing_to_the_next(env: CarlaEnv) -> None:
    env.reset(seed=1, options=drawn("Accident"))
    assert len(env.core.world.get_actors().filter("vehicle.*")) == 4
    env.reset(seed=1, options={"scenarios": {"share": 0.0}})
    assert len(env.core.world.get_actors().filter("vehicle.*")) == 1


def test_an_outcome_tells_what_went_wrong(env: CarlaEnv) -> None:
    info = drive(env, lambda env, situation: Driver(looks=False), **drawn("DynamicObjectCrossing"))
    (outcome,) = info["scenarios"]
    assert outcome["type"] == "DynamicObjectCrossing"
    assert outcome["result"] == "failed"
    assert outcome["infractions"] == {"collisions_pedestrian": 1}


def finished(env: CarlaEnv, steps: int, action: np.ndarray | None = None) -> list[str]:
    """Results after some steps of an action, or of a driver who looks."""
    driver = Driver()
    for _ in range(steps):
        env.step(driver.act(env) if action is None else action)
    assert env._director is not None
    return [outcome.result for outcome in env._director.finish()]


def test_a_scenario_is_missed_unfinished_or_timed_out(env: CarlaEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    env.reset(seed=1, options=drawn("DynamicObjectCrossing"))
    assert finished(env, 5, STANDING) == ["missed"]
    env.reset(seed=1, options={"scenarios": {"types": {"ParkedObstacle": {}}, "lead": [20.0, 20.0]}})
    assert finished(env, 60) == ["unfinished"]
    monkeypatch.setattr(SCENARIO_TYPES["ParkedObstacle"], "timeout", 3.0)
    env.reset(seed=1, options={"scenarios": {"types": {"ParkedObstacle": {}}, "lead": [20.0, 20.0]}})
    assert finished(env, 90) == ["timeout"]
    assert env.core.metrics is not None
    assert env.core.metrics.counts["scenario_timeouts"] == 1
    assert env.core.metrics.penalty == 0.7


def test_a_scenario_without_room_is_skipped(env: CarlaEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("Spawn failed because of collision at spawn position")

    monkeypatch.setattr(type(env.core), "spawn", refuse)
    env.reset(seed=1, options=drawn("Accident"))
    assert finished(env, 2) == ["skipped"]


def test_a_trigger_away_from_the_route_is_refused(env: CarlaEnv) -> None:
    _, info = env.reset(seed=1, options=drawn("HardBreakRoute"))
    situation = info["situation"]
    situation["scenarios"]["pinned"] = [{"type": "HardBreakRoute", "trigger": "0,0,0,45"}]
    with pytest.raises(
        ScenarioError, match=r"The trigger 0\.00,0\.00,0\.00,45\.0 of HardBreakRoute is not on the route"
    ):
        env.reset(seed=1, options=situation)


def test_a_situation_can_be_had_again(env: CarlaEnv) -> None:
    def episode(**options: Any) -> tuple[dict[str, Any], np.ndarray]:
        _, info = env.reset(seed=5, options=options)
        driver, places = Driver(), []
        for _ in range(150):
            env.step(driver.act(env))
            assert env.hero is not None
            place = env.hero.get_location()
            others = [actor.get_location() for actor in actors_of(env.core.world, "walker.*")]
            places.append([place.x, place.y, *([others[0].x, others[0].y] if others else [0.0, 0.0])])
        return info["situation"], np.array(places)

    situation, first = episode(**drawn("DynamicObjectCrossing", distance=[10.0, 30.0], direction=["left", "right"]))
    assert np.ptp(first[:, 2]) > 1.0  # the walker has walked
    assert np.array_equal(
        first, episode(**drawn("DynamicObjectCrossing", distance=[10.0, 30.0], direction=["left", "right"]))[1]
    )
    again, second = episode(**situation)
    assert again["scenarios"]["pinned"] == situation["scenarios"]["pinned"]
    assert np.abs(second[0] - first[0]).max() < 0.1


def test_triggers_count_near_the_route_and_in_its_direction(town: carla.Map) -> None:
    start = next(w for w in town.generate_waypoints(20.0) if not w.is_junction).transform
    route = plan_route(town, start, length=300.0, rng=np.random.default_rng(1))
    x, y, z, yaw = route.points[40].tolist()
    here = Trigger(x, y, z, np.degrees(yaw))
    at = trigger_on_route(route, here)
    assert at == pytest.approx(np.hypot(*np.diff(route.points[:41, :2], axis=0).T).sum(), abs=0.01)
    aside = here._replace(x=x - 1.5 * np.sin(yaw), y=y + 1.5 * np.cos(yaw))
    assert trigger_on_route(route, aside) == pytest.approx(at, abs=1.5)
    assert trigger_on_route(route, here._replace(x=x - 2.5 * np.sin(yaw), y=y + 2.5 * np.cos(yaw))) is None
    assert trigger_on_route(route, here._replace(yaw=here.yaw + 30.0)) is None
    assert trigger_on_route(route, here._replace(yaw=here.yaw + 360.0)) == pytest.approx(at)


def test_a_curriculum_draws_from_its_level_and_sometimes_from_earlier_ones(make_env: Callable[..., CarlaEnv]) -> None:
    levels = [["HardBreakRoute"], {"ParkedObstacleTwoWays": {"distance": [60, 90]}}]
    env = make_env(scenarios={"levels": levels, "earlier": 0.5})

    def kinds() -> set[tuple[int, str]]:
        found = set()
        for seed in range(8):
            _, info = env.reset(seed=seed)
            scenarios = info["situation"]["scenarios"]
            found |= {(scenarios["level"], pinned["type"]) for pinned in scenarios["pinned"]}
        return found

    assert kinds() == {(0, "HardBreakRoute")}
    env.set_level(1)
    assert kinds() == {(0, "HardBreakRoute"), (1, "ParkedObstacleTwoWays")}
