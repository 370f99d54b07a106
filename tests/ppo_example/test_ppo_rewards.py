"""Rewards: bounded, for what they say they pay for; functions of the user's own work as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_example.ppo_rewards import CALM, FAST, REWARDS, find_reward
from ppo_example.ppo_state import sample_state
from rllib_integration.carla_env import CarlaEnv
from rllib_integration.config.merging import ConfigError
from tests.ppo_example.conftest import race_config, race_of

HERE = "tests.ppo_example.aws_functions"
STATES = st.fixed_dictionaries(
    {
        "speed": st.floats(0.0, 30.0),
        "speed_longitudinal_waypoint": st.floats(-30.0, 30.0),
        "distance_from_center": st.floats(0.0, 5.0),
        "steering_angle": st.floats(-30.0, 30.0),
        "steering_change": st.floats(-60.0, 60.0),
        "delta_yaw": st.floats(0.0, 180.0),
        "metres": st.floats(-6.0, 6.0),
        "progress": st.floats(-10.0, 300.0),
        "heading": st.floats(-180.0, 180.0),
        "all_wheels_on_track": st.booleans(),
        "is_left_of_center": st.booleans(),
        "is_offtrack": st.booleans(),
        "is_crashed": st.booleans(),
        "is_stuck": st.booleans(),
    }
)
BOUNDS = {
    "metres": (-1.1, 1.0),
    "calm_metres": (-1.1, 1.0),
    "basic": (-20.0, 2.0),
    "no_zigzag": (0.0, 1.0),
    "no_zigzag_speed": (0.0, 1.0),
    "from_2d": (-500.0, 10.0),
    "deepracer_reward_v2": (0.0, 4.0),
}


def state(**changes: Any) -> dict[str, Any]:
    return sample_state() | changes


def total(name: str, **changes: Any) -> float:
    value = REWARDS[name](state(**changes))
    return sum(value.values()) if isinstance(value, dict) else float(value)  # type: ignore[arg-type]


@given(changes=STATES)
@pytest.mark.parametrize("name", sorted(REWARDS))
def test_every_named_reward_is_a_finite_number_within_its_bounds(name: str, changes: dict[str, Any]) -> None:
    low, high = BOUNDS[name]
    assert low <= total(name, **changes) <= high


def test_the_default_pays_for_metres_up_to_a_speed_and_takes_one_for_a_bad_end() -> None:
    paid = [total("metres", metres=speed * 0.2, seconds=0.2) for speed in (0.0, 3.0, 6.0, FAST, 2 * FAST)]
    assert paid == pytest.approx([0.0, 3.0 / FAST, 6.0 / FAST, 1.0, 1.0])
    assert total("metres", metres=-0.6, seconds=0.2) == pytest.approx(-3.0 / FAST)
    for flag in ("is_offtrack", "is_crashed", "is_stuck"):
        assert total("metres", **{flag: True}) == -1.0


def test_the_calm_reward_gains_nothing_from_more_than_its_speed() -> None:
    paid = [total("calm_metres", metres=speed * 0.1, seconds=0.1) for speed in (0.5 * CALM, CALM, 2.0 * CALM)]
    assert paid == pytest.approx([0.5, 1.0, 1.0])
    assert total("calm_metres", is_offtrack=True) == -1.0


def test_of_two_drives_as_fast_the_calmer_one_is_better() -> None:
    assert total("metres", steering_change=15.0) < total("metres", steering_change=3.0) < total("metres")


def test_basic_pays_for_the_middle_and_no_more_for_being_too_fast() -> None:
    assert total("basic", distance_from_center=0.0) < 2.0
    assert total("basic", distance_from_center=0.0) > total("basic", distance_from_center=3.0)
    assert total("basic", speed=9.0, speed_longitudinal_waypoint=9.0) < total("basic")


def test_no_zigzag_halves_beyond_fifteen_degrees_and_below_half_a_metre_a_second() -> None:
    assert total("no_zigzag", steering_angle=16.0) == 0.5 * total("no_zigzag", steering_angle=14.0)
    assert total("no_zigzag_speed", speed=0.4) == 0.5 * total("no_zigzag_speed", speed=0.6)


def test_from_2d_pays_for_moving_not_for_being_late_in_the_lap() -> None:
    assert total("from_2d", progress=90.0) == total("from_2d", progress=5.0)
    assert total("from_2d", metres=1.0) > total("from_2d", metres=0.5)
    assert total("from_2d", speed=15.0 / 3.6) - total("from_2d", speed=14.0 / 3.6) == pytest.approx(1.05)


@pytest.mark.parametrize(("heading", "factor"), [(0.0, 1.0), (9.0, 1.0), (-9.0, 1.0), (12.0, 0.75), (175.0, 0.75)])
def test_deepracer_reward_v2_compares_the_heading_with_the_track(heading: float, factor: float) -> None:
    assert total("deepracer_reward_v2", heading=heading) == pytest.approx(factor * total("deepracer_reward_v2"))


def test_deepracer_reward_v2_wraps_directions() -> None:
    west = [(0.0, 0.0), (-2.0, 0.0), (-4.0, 0.0)]
    plain = total("deepracer_reward_v2", waypoints=west, heading=180.0)
    assert total("deepracer_reward_v2", waypoints=west, heading=-179.0) == pytest.approx(plain)


@pytest.mark.parametrize("function", ["follow_center_line", "heading_and_objects", "with_memory"])
def test_functions_pasted_from_web_runs_work_as_they_are(make_env: Callable[..., CarlaEnv], function: str) -> None:
    env = make_env(reward=f"{HERE}:{function}")
    env.reset(seed=0)
    for _ in range(5):
        _, reward, _, _, info = env.step(np.array([1.0, 0.0], np.float32))
        assert reward == 1.0  # along the middle, straight
        assert "reward_parts" not in info


def test_parts_of_a_reward_are_told(make_env: Callable[..., CarlaEnv]) -> None:
    env = make_env(reward="metres")
    env.reset(seed=0)
    _, reward, _, _, info = env.step(np.array([3.0, 0.0], np.float32))
    assert set(info["reward_parts"]) == {"progress", "steering", "end"}
    assert reward == pytest.approx(sum(info["reward_parts"].values()))


@pytest.mark.parametrize(
    ("reward", "sentence"),
    [
        ("metre", r"others\.reward is 'metre', but there is no such reward\. The nearest are: metres"),
        ("no_such_module:reward_function", "its module can't be imported: ModuleNotFoundError"),
        (f"{HERE}:reward_function", f"{HERE} has no function 'reward_function'"),
        (f"{HERE}:not_callable", "has no function 'not_callable'"),
        (f"{HERE}:returns_nothing", "returned None, but a reward has to be a finite number"),
        (f"{HERE}:returns_text", "returned '1.0', but a reward has to be a finite number"),
        (f"{HERE}:asks_for_what_is_not_there", "fails on a sample state: KeyError: 'colour'"),
    ],
)
def test_a_reward_that_can_not_be_used_is_refused_before_anything_starts(reward: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        CarlaEnv(race_config(reward=reward))


def test_a_reward_that_is_no_number_later_on_is_told_with_its_functions_name(make_env: Callable[..., CarlaEnv]) -> None:
    env = make_env(reward=f"{HERE}:sometimes_nan")
    env.reset(seed=0)
    for _ in range(2):
        env.step(np.array([1.0, 0.0], np.float32))
    with pytest.raises(ConfigError, match="sometimes_nan returned nan"):
        env.step(np.array([1.0, 0.0], np.float32))


def test_the_older_name_of_the_setting_works(make_env: Callable[..., CarlaEnv]) -> None:
    assert race_of(make_env(reward_name="no_zigzag")).others["reward"] == "no_zigzag"


def test_a_class_is_a_reward_function_too_if_it_can_be_called() -> None:
    assert find_reward(f"{HERE}:follow_center_line", "reward")(state()) == 1.0
