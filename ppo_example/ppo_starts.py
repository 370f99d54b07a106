"""Starts of the race: evenly spaced places round the track, in either direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import carla
import numpy as np

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import Rule, one_of, positive

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore
    from rllib_integration.tracks import Track

STARTS: Record = {
    "direction": "forward",  # forward, backward or both: drawn for each episode
    "spawn_mode": "random",  # random, or consequent: one start after the other
    "n_spawn_points": 30,  # evenly spaced places that episodes start from
    "consequent_mode_step": 4,  # places from one start to the next
    "spawn_off_center": False,  # whether starts are up to a quarter of the width beside the middle
    "start_angle": 0.0,  # degrees, greatest angle to the track's direction
    "start_speed": 0.0,  # m/s, greatest speed
}
RULES = {
    "direction": one_of("forward", "backward", "both"),
    "spawn_mode": one_of("random", "consequent"),
    "n_spawn_points": positive("a whole number, 1 or more", int),
    "consequent_mode_step": positive("a whole number, 1 or more", int),
    "start_angle": Rule(float, accepts=lambda value: 0.0 <= value <= 90.0, expected="degrees, 0 to 90"),
    "start_speed": Rule(float, accepts=lambda value: 0.0 <= value <= 30.0, expected="a speed in m/s, 0 to 30"),
}
_HEIGHT = 0.05  # [m] of a start above the road
_CLEARANCE = 8.0  # [m] of a start from other vehicles


class Starts:
    """Chooses starts.

    Args:
        settings: `STARTS`, complete.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._next = 0

    def direction(self, rng: np.random.Generator) -> str:
        """Forward or backward."""
        direction = str(self._settings["direction"])
        return ("forward", "backward")[int(rng.integers(2))] if direction == "both" else direction

    def place(self, core: CarlaCore, track: Track) -> dict[str, float]:
        """Move the hero to a start.

        Args:
            core: The world.
            track: The track, in the direction of travel.

        Returns:
            The drawn values: `distance` along the track and `lateral` (m), `angle` (degrees) and `speed` (m/s).
        """
        settings, rng = self._settings, core.rng
        distance = self._free_place(core, track)
        lateral = float(rng.uniform(-0.25, 0.25)) * track.at(distance)[4] if settings["spawn_off_center"] else 0.0
        angle = float(rng.uniform(-1.0, 1.0)) * settings["start_angle"]
        speed = float(rng.uniform(0.0, 1.0)) * settings["start_speed"]
        pose = track.transform_at(distance, lateral, _HEIGHT)
        heading = pose.rotation.yaw + angle
        core.start_hero(carla.Transform(pose.location, carla.Rotation(yaw=heading)), speed)
        return {"distance": distance, "lateral": lateral, "angle": angle, "speed": speed}

    def _free_place(self, core: CarlaCore, track: Track) -> float:
        """Distance [m] along the track of a start without vehicles nearby; any start if there is none."""
        count = self._settings["n_spawn_points"]
        if self._settings["spawn_mode"] == "consequent":
            numbers = [(self._next + step * self._settings["consequent_mode_step"]) % count for step in range(count)]
        else:
            numbers = core.rng.permutation(count).tolist()
        others = [actor for actor in core.find_actors("vehicle.*") if actor.id != core.hero.id]
        chosen = numbers[0]
        for number in numbers:
            place = track.transform_at(track.length * number / count).location
            if all(other.get_location().distance(place) > _CLEARANCE for other in others):
                chosen = number
                break
        self._next = (chosen + self._settings["consequent_mode_step"]) % count
        return track.length * float(chosen) / count
