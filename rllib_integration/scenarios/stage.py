"""A scenario's access to the world: the hero, its route, and the scenario's own actors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import carla
import numpy as np

from rllib_integration.scenarios.errors import ScenarioError
from rllib_integration.scenarios.road import Path, Road
from rllib_integration.sensors.actor_roster import TWO_WHEELER, VEHICLE, ActorRoster
from rllib_integration.servers import ServerError

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore

CARS = ("vehicle.*",)
CAR = {"base_type": "car", "special_type": ""}
ANY: dict[str, str] = {}
EMERGENCY = ("vehicle.dodge.charger_police_2020", "vehicle.dodge.charger_police", "vehicle.ford.ambulance")
BICYCLES = ("vehicle.diamondback.century", "vehicle.bh.crossbike", "vehicle.gazelle.omafiets")
WALKERS = ("walker.pedestrian.*",)

_WALKER_HEIGHT = 1.0  # [m] of a walker's origin above the ground
_VEHICLE_HEIGHT = 0.3  # [m] from which a vehicle settles on its wheels
_TRIES = ((0.0, 0.0), (0.6, 0.0), (-0.6, 0.0), (1.5, 0.0), (-1.5, 0.0))  # [m] forward and to the right, in turn


class Stage:
    """The surroundings of one scenario, and its actors.

    Args:
        core: The world and the hero in it.
        road: The road along the hero's route.
        rng: The scenario's random numbers.

    Attributes:
        core: As given.
        road: As given.
        rng: As given.
        actors: The scenario's present actors.
        disturb: Changes the hero's control before it takes effect; None = no change.
    """

    def __init__(self, core: CarlaCore, road: Road, rng: np.random.Generator) -> None:
        self.core = core
        self.road = road
        self.rng = rng
        self.actors: list[carla.Actor] = []
        self.disturb: Callable[[carla.VehicleControl], carla.VehicleControl] | None = None
        interface = core.sensor_interface
        self._roster = ActorRoster(core.world, core.hero, interface.memory, interface.ask)

    # The hero

    @property
    def time(self) -> float:
        """Simulated seconds."""
        return self.core.world.get_snapshot().timestamp.elapsed_seconds

    @property
    def at(self) -> float:
        """Distance of the hero's middle along its route (m)."""
        route = self.core.sensor_interface.route
        return 0.0 if route is None else route.travelled

    @property
    def front(self) -> float:
        """Distance of the hero's front along its route (m)."""
        return self.at + self.core.hero.bounding_box.extent.x

    @property
    def speed(self) -> float:
        """The hero's speed [m/s]."""
        velocity = self.core.hero.get_velocity()
        return math.hypot(velocity.x, velocity.y)

    def is_near(self, place: float, seconds: float, metres: float) -> bool:
        """Whether the hero reaches a distance along its route within some seconds, or is within some metres of it."""
        free = place - self.at
        return free < metres or free < seconds * self.speed

    # Actors

    def vehicles_on(self, path: Path, aside: float) -> list[float]:
        """Distances along a path of the vehicles on it, without the hero, nearest first (m).

        Args:
            path: The path.
            aside: How far aside a vehicle's middle may be (m).
        """
        x, y = path.points[:, 0], path.points[:, 1]
        place, reach = ((x.min() + x.max()) / 2.0, (y.min() + y.max()) / 2.0), max(np.ptp(x), np.ptp(y)) / 2.0 + aside
        found = self._roster.read(float(place[0]), float(place[1]), float(reach))
        near = [
            path.nearest(*pose[:2]) for pose, kind in zip(found.poses, found.kinds) if kind in (VEHICLE, TWO_WHEELER)
        ]
        return sorted(along for away, along in near if away < aside)

    def vehicle(
        self, pose: carla.Transform, patterns: Sequence[str] = CARS, wanted: Mapping[str, str] = CAR
    ) -> carla.Vehicle:
        """Spawn a vehicle with its hand brake on.

        Args:
            pose: On the ground.
            patterns: Ids or patterns of blueprints; one blueprint of the first matching pattern is drawn.
            wanted: Required attributes of the blueprint.

        Raises:
            ScenarioError: There is no such blueprint, or no room.
        """
        role = {"role_name": "scenario"}
        vehicle = self._spawn(self._choose(patterns, wanted), pose, _VEHICLE_HEIGHT, **role)
        vehicle.apply_control(carla.VehicleControl(hand_brake=True))
        return vehicle

    def walker(self, pose: carla.Transform) -> carla.Walker:
        """Spawn a walker.

        Raises:
            ScenarioError: There is no room.
        """
        return self._spawn(self._choose(WALKERS, ANY), pose, _WALKER_HEIGHT, is_invincible="false")

    def prop(self, pose: carla.Transform, *patterns: str, above: float = 0.0) -> carla.Actor:
        """Spawn a static prop.

        Raises:
            ScenarioError: No blueprint matches, or there is no room.
        """
        return self._spawn(self._choose(patterns, ANY), pose, above)

    def _choose(self, patterns: Sequence[str], wanted: Mapping[str, str]) -> str:
        """The id of a blueprint."""
        library = self.core.sensor_interface.blueprints
        assert library is not None
        for pattern in patterns:
            fitting = sorted(blueprint.id for blueprint in library.filter(pattern) if _fits(blueprint, wanted))
            if fitting:
                return fitting[int(self.rng.integers(len(fitting)))]
        raise ScenarioError(f"The server has no blueprint that fits {' or '.join(patterns)}.")

    def _spawn(self, type_id: str, pose: carla.Transform, above: float, **attributes: str) -> Any:
        forward, right = pose.get_forward_vector(), pose.get_right_vector()
        for ahead, sideways in _TRIES:
            x, y = ahead * forward.x + sideways * right.x, ahead * forward.y + sideways * right.y
            location = carla.Location(pose.location.x + x, pose.location.y + y, pose.location.z + above)
            try:
                actor = self.core.spawn(type_id, carla.Transform(location, pose.rotation), **attributes)
            except ServerError:
                raise
            except RuntimeError:
                continue
            self.actors.append(actor)
            return actor
        where = f"({pose.location.x:.1f}, {pose.location.y:.1f})"
        raise ScenarioError(f"There is no room for {type_id} at {where}.")

    def remove(self, *actors: carla.Actor) -> None:
        """Remove actors from the world; removed ones are ignored."""
        for actor in actors:
            if actor in self.actors:
                self.actors.remove(actor)
                self.core.remove(actor)

    def clear(self) -> None:
        """Remove all of the scenario's actors, and stop disturbing the hero."""
        self.disturb = None
        self.remove(*list(self.actors))

    # Traffic lights

    def lights_at(self, path: Path) -> list[carla.TrafficLight]:
        """The traffic lights whose stop lines a path crosses."""
        metrics = self.core.metrics
        if metrics is None:
            return []
        found = []
        for row, (x, y, _, yaw, half_width, _) in enumerate(metrics.light_lines):
            away, at = path.nearest(x, y)
            if away < half_width and math.cos(path.yaw(at) - yaw) > 0.5:
                found.append(metrics.light_at(row))
        return found

    def junction_lights(self, light: carla.TrafficLight) -> list[carla.TrafficLight]:
        """All lights in a light's group."""
        return list(light.get_group_traffic_lights())


def _fits(blueprint: carla.ActorBlueprint, wanted: Mapping[str, str]) -> bool:
    """Whether a blueprint has the wanted attributes; those that a server does not know are ignored."""
    return all(
        not blueprint.has_attribute(name) or blueprint.get_attribute(name).as_str() == value
        for name, value in wanted.items()
    )
