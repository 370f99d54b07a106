"""Actions, controls and rewards are held to their form, with a sentence that names the experiment."""

from __future__ import annotations

import carla
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rllib_integration.step_check import ExperimentError, action_guard, check_control, read_reward

PEDALS = spaces.Box(np.array([0.0, -1.0], np.float32), 1.0, (2,), np.float32)


class Task:
    """Stands for an experiment: only its name matters."""


@pytest.mark.parametrize("action", [np.array([0.5, -1.0], np.float32), np.array([1.000001, 0.0]), [0, 1]])
def test_actions_in_a_box_pass_also_where_rounding_led_beyond_it(action: object) -> None:
    action_guard(PEDALS)(action)


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        (np.array([0.5, np.nan], np.float32), r"Number 1 of the action is nan, but the action space allows -1 to 1"),
        (np.array([np.inf, 0.0]), r"Number 0 of the action is inf, but the action space allows 0 to 1"),
        (np.array([-0.1, 0.0]), r"Number 0 of the action is -0\.1"),
        (np.zeros(3), r"has shape \(3,\), but the action space has \(2,\)"),
        ("left", r"The action is 'left' \(str\), but numbers are needed"),
        (None, r"The action None \(NoneType\) has shape \(\)"),
    ],
)
def test_actions_outside_a_box_are_refused(action: object, sentence: str) -> None:
    with pytest.raises(gymnasium.error.InvalidAction, match=sentence):
        action_guard(PEDALS)(action)


def test_an_unbounded_action_still_has_to_be_finite() -> None:
    check = action_guard(spaces.Box(-np.inf, np.inf, (1,), np.float32))
    check(np.array([1e30]))
    with pytest.raises(gymnasium.error.InvalidAction, match="is inf"):
        check(np.array([np.inf]))


@pytest.mark.parametrize("control", [None, (0.5, 0.0), carla.WalkerControl()])
def test_an_action_has_to_become_a_vehicles_control(control: object) -> None:
    with pytest.raises(ExperimentError, match=r"Task\.compute_action returned .*, but it has to return a carla\.Veh"):
        check_control(control, Task())


def test_a_control_has_to_be_finite() -> None:
    check_control(carla.VehicleControl(throttle=0.5), Task())
    with pytest.raises(ExperimentError, match=r"Task\.compute_action returned a control with throttle nan"):
        check_control(carla.VehicleControl(throttle=float("nan")), Task())


def test_rewards_are_numbers_or_named_parts() -> None:
    assert read_reward(np.float32(0.5), Task()) == (0.5, None)
    assert read_reward({"speed": 2, "time": -0.5}, Task()) == (1.5, {"speed": 2.0, "time": -0.5})


@pytest.mark.parametrize("reward", [None, "1", np.nan, np.inf, np.zeros(2), 1j])
def test_other_rewards_are_refused(reward: object) -> None:
    with pytest.raises(ExperimentError, match=r"Task\.compute_reward returned .* as the reward, but it has"):
        read_reward(reward, Task())
    with pytest.raises(ExperimentError, match=r"as part 'speed' of the reward, but it has to be a finite number"):
        read_reward({"speed": reward}, Task())
