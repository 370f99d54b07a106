"""Rewards of the race: functions of the state, as AWS DeepRacer has them.

A configuration names one of `REWARDS`, or a function of the user's own as `my_module:reward_function`. The function
takes the state (see `ppo_state`) and returns a number, or named parts whose sum is the reward.

Several are functions of CarlaGym-DeepRacer (2022) with bugs fixed; their docstrings list the fixes.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any

from ppo_example.ppo_state import sample_state
from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError, nearest_sentence

State = Settings
RewardFunction = Callable[[Record], "float | Mapping[str, float]"]

FAST, CALM = 12.0, 8.0  # [m/s] along the track at which `metres` and `calm_metres` are highest
_FULL_STEERING = 30.0  # [degrees] of AWS DeepRacer's cars


def metres(state: State) -> dict[str, float]:
    """At most 1 a step, for the distance along the track; -1 for an end off the track, in a crash or stuck.

    As each metre pays the same, the return is highest for the fastest drive that stays on the track. Turning the wheel
    costs a little, so that the smoother of two equally fast drives is better.
    """
    return _pay_metres(state, FAST)


def calm_metres(state: State) -> dict[str, float]:
    """As `metres`, but highest at 8 m/s: a faster drive is no better, and one that stays on the track is."""
    return _pay_metres(state, CALM)


def _pay_metres(state: State, fast: float) -> dict[str, float]:
    if is_bad_end(state):
        return {"progress": 0.0, "steering": 0.0, "end": -1.0}
    share = state["metres"] / (fast * max(state["seconds"], 1e-6))
    rate = state["steering_change"] / _FULL_STEERING
    return {"progress": min(1.0, max(-1.0, share)), "steering": -0.1 * min(1.0, rate * rate), "end": 0.0}


def basic(state: State) -> float:
    """Pays for speed up to 4 m/s, and for the middle; -2 for a crash or being stuck.

    Fixed: the term for the middle was unbounded (10000 at the middle itself), and overspeeding was rewarded.
    """
    speed, along = state["speed"], state["speed_longitudinal_waypoint"]
    steer = state["steering_angle"] / _FULL_STEERING
    bad = is_bad_end(state)
    centred = 1.0 - min(1.0, 2.0 * state["distance_from_center"] / state["track_width"])
    total = 20.0 * min(speed, 4.0) + min(along, 4.0) - 200.0 * (state["is_crashed"] or state["is_stuck"])
    total += -10.0 if along > 4.0 else 10.0 * along / 4.0
    total += -10.0 if bad else 10.0 * centred
    total -= 5.0 * steer**2 + 0.2 * abs(steer) * along**2 + 0.1
    return total / 100.0


def no_zigzag(state: State) -> float:
    """Pays for the middle, half as much while steering by more than 15 degrees.

    Fixed: steering was a share of the full lock, so that 15 was never reached.
    """
    away = state["distance_from_center"] / state["track_width"]
    reward = 1.0 if away <= 0.1 else 0.5 if away <= 0.25 else 0.1 if away <= 0.5 else 1e-3
    return reward * (0.5 if abs(state["steering_angle"]) > 15.0 else 1.0)


def no_zigzag_speed(state: State) -> float:
    """As `no_zigzag`, half as much below 0.5 m/s."""
    return no_zigzag(state) * (0.5 if state["speed"] < 0.5 else 1.0)


def from_2d(state: State) -> float:
    """Pays for progress, speed, little steering, the middle and heading along the track; -500 off the track.

    Fixed: limits in km/h were compared with speeds in m/s. Each step paid for the progress in the whole lap, instead of
    the progress of the step.
    """
    if state["is_offtrack"]:
        return -500.0
    speed = 3.6 * state["speed"]
    reward = -1.0 + 100.0 * state["metres"] / state["track_length"] - max(0.0, 15.0 - speed) + 0.05 * (speed - 50.0)
    reward += 3.0 * (0.42 - math.radians(abs(state["steering_angle"])))
    reward -= 2.0 * state["distance_from_center"] / state["track_width"]
    return reward - 10.0 * math.radians(state["delta_yaw"]) ** 2


def deepracer_reward_v2(state: State) -> float:
    """A product of factors: for the middle, for being fast and straight, for direction, for the left side, and so on.

    Fixed: the track's direction was reversed, and its difference to the heading was not wrapped. Steering was a share
    of the full lock and is in degrees now (3 and 6 for 0.1 and 0.2). Sharp steering begins at 20 degrees, as 30 is the
    maximum.
    """
    reward = 1.0 if state["all_wheels_on_track"] else 0.001
    away = state["distance_from_center"] / state["track_width"]
    reward = reward * (1.2 if away <= 0.1 else 0.8 if away <= 0.25 else 0.5) if away <= 0.5 else 0.001
    speed, steering = state["speed"], abs(state["steering_angle"])
    if steering < 3.0 and speed > 6.0:
        reward *= 1.5
    elif steering < 6.0 and speed > 5.0:
        reward *= 1.2
    reward *= 0.75 if _off_direction(state) > 10.0 else 1.0
    reward *= 0.9 if steering > 20.0 else 1.0
    reward *= 0.8 if speed > 3.0 - 0.4 * steering / _FULL_STEERING else 1.0
    reward *= 1.2 if state["is_left_of_center"] else 0.9
    reward *= 1.1 if state["progress"] > 75.0 else 1.0
    return reward * (0.75 if speed < 1.8 else 1.25 if speed > 3.0 else 1.0)


REWARDS: dict[str, RewardFunction] = {
    function.__name__: function
    for function in (metres, calm_metres, basic, no_zigzag, no_zigzag_speed, from_2d, deepracer_reward_v2)
}


def is_bad_end(state: State) -> bool:
    """Whether the state ends an episode: off the track, crashed or stuck."""
    return bool(state["is_offtrack"] or state["is_crashed"] or state["is_stuck"])


def find_reward(reference: object, where: str) -> RewardFunction:
    """The reward function that a configuration names, checked with a sample state.

    Args:
        reference: One of `REWARDS`, or "my_module:reward_function".
        where: Path of the setting, for messages.

    Raises:
        ConfigError: It does not exist, can't be imported, or returns no number for a sample state.
    """
    function = _import_function(reference, where) if ":" in str(reference) else REWARDS.get(str(reference))
    if function is None:
        raise ConfigError(
            f"{where} is {reference!r}, but there is no such reward. {nearest_sentence(str(reference), REWARDS)} "
            "A function of your own is written as 'my_module:reward_function'."
        )
    try:
        value = function(sample_state())
    except Exception as error:
        raise ConfigError(
            f"{where} is {reference!r}, which fails on a sample state: {type(error).__name__}: {error}. "
            "Its keys are those of AWS DeepRacer's reward functions, and some more (see ppo_example/ppo_state.py)."
        ) from error
    read_reward(value, f"{where} is {reference!r}, which")
    return function


def read_reward(value: object, subject: str) -> float | dict[str, float]:
    """Check the value that a reward function returned.

    Args:
        value: A number, or named parts.
        subject: Begins the sentence of the error.

    Raises:
        ConfigError: It is neither.
    """
    if isinstance(value, Mapping):
        return {str(name): _number(part, f"{subject} returned for '{name}'") for name, part in value.items()}
    return _number(value, f"{subject} returned")


def _number(value: Any, subject: str) -> float:
    try:
        number = float(value) if not isinstance(value, str) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"{subject} {value!r}, but a reward has to be a finite number, or named parts of one.")
    return number


def _import_function(reference: object, where: str) -> RewardFunction:
    module_name, _, name = str(reference).partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module of the user's may fail in any way
        raise ConfigError(
            f"{where} is {reference!r}, but its module can't be imported: {type(error).__name__}: {error}."
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(
            f"{where} is {reference!r}, but {module_name} has no function '{name}'. {nearest_sentence(name, names)}"
        )
    found: RewardFunction = function
    return found


def _off_direction(state: State) -> float:
    """Angle [degrees] between the heading and the line through the waypoints behind and ahead, as in AWS's examples."""
    behind, ahead = (state["waypoints"][number] for number in state["closest_waypoints"])
    direction = math.degrees(math.atan2(ahead[1] - behind[1], ahead[0] - behind[0]))
    return abs((direction - state["heading"] + 180.0) % 360.0 - 180.0)
