"""Changes to a world by a person with controls: weather, pause, single steps, and driving a car."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import carla

from rllib_integration.errors import IntegrationError

WEATHERS = ("ClearNoon", "CloudyNoon", "WetNoon", "HardRainNoon", "SoftRainSunset", "ClearSunset", "ClearNight")
_CAR = "vehicle.tesla.model3"
_ROLES = ("hero", "person")  # "person" if there is a hero already
_PLACES_TRIED = 40
_STEP_SECONDS = 0.05  # step of a paused world without a fixed one


class ControlError(IntegrationError, RuntimeError):
    """A change is not possible in this world; the message is a sentence for the user."""


class Controls:
    """Changes one world.

    Args:
        world: The world.
    """

    def __init__(self, world: carla.World) -> None:
        self._world = world
        self._before: carla.WorldSettings | None = None  # settings before a pause
        self._car: carla.Vehicle | None = None

    @property
    def car(self) -> int:
        """Id of the car that a person drives; 0 if there is none."""
        return self._car.id if self._car is not None else 0

    def do(self, wish: Mapping[str, Any]) -> None:
        """Do a browser's request.

        Args:
            wish: `weather`: one of `WEATHERS`; `pause`: whether to pause the world; `step`: any value, one tick of a
                paused world; `car`: whether to have a car; `drive`: its throttle, steer, brake, reverse.

        Raises:
            ControlError: The change is not possible.
            RuntimeError: The server failed.
        """
        if wish.get("weather") in WEATHERS:
            self._world.set_weather(getattr(carla.WeatherParameters, wish["weather"]))
        if "pause" in wish:
            self._pause(bool(wish["pause"]))
        if "step" in wish and self._before is not None:
            self._world.tick()
        if "car" in wish:
            self._spawn() if wish["car"] else self.leave()
        if "drive" in wish and self._car is not None:
            self._drive(wish["drive"])

    def _pause(self, is_paused: bool) -> None:
        if is_paused == (self._before is not None):
            return
        if self._before is not None:
            self._world.apply_settings(self._before)
            self._before = None
            return
        settings, before = self._world.get_settings(), self._world.get_settings()
        if settings.synchronous_mode:
            raise ControlError("Another program ticks this world, so it can't be paused here.")
        settings.synchronous_mode = True
        settings.fixed_delta_seconds = settings.fixed_delta_seconds or _STEP_SECONDS
        self._world.apply_settings(settings)
        self._before = before

    def _spawn(self) -> None:
        if self._car is not None and self._car.is_alive:
            return
        blueprint = self._world.get_blueprint_library().find(_CAR)
        actors: Iterable[carla.Actor] = self._world.get_actors().filter("vehicle.*")
        taken = {actor.attributes.get("role_name") for actor in actors}
        blueprint.set_attribute("role_name", _ROLES[_ROLES[0] in taken])
        places = self._world.get_map().get_spawn_points()
        for place in random.sample(places, min(len(places), _PLACES_TRIED)):
            car = self._world.try_spawn_actor(blueprint, place)
            if isinstance(car, carla.Vehicle):
                self._car = car
                return
        raise ControlError("There is no room for a car.")

    def _drive(self, pedals: Any) -> None:
        throttle, steer, brake, reverse = (float(number) for number in pedals)
        assert self._car is not None
        if self._car.is_alive:
            self._car.apply_control(
                carla.VehicleControl(
                    throttle=min(max(throttle, 0.0), 1.0),
                    steer=min(max(steer, -1.0), 1.0),
                    brake=min(max(brake, 0.0), 1.0),
                    reverse=reverse > 0.5,
                )
            )

    def leave(self) -> None:
        """Remove the car, and end a pause."""
        car, self._car = self._car, None
        if car is not None and car.is_alive:
            car.destroy()
        self._pause(False)
