"""Places on a town's lanes where a hero can begin: away from junctions, and from other vehicles."""

from __future__ import annotations

from collections.abc import Iterable

import carla
import numpy as np

from rllib_integration.config.merging import ConfigError
from rllib_integration.roads.town_cache import TownMemory

JUNCTION_MARGIN = 15.0
"""Places keep so far from junctions [m]."""

TRAFFIC_MARGIN = 10.0  # [m] from other vehicles
TIME_TO_STOP = 2.0  # [s] and from those that come closer, as far again as they drive in this time
SPACING = 5.0  # [m] between the places

_PLACES: TownMemory[list[carla.Waypoint]] = TownMemory()


def places_clear_of_junctions(carla_map: carla.Map) -> list[carla.Waypoint]:
    """The places of a town, 5 m apart on every driving lane; worked out once in a process.

    Raises:
        ConfigError: The town has none.
    """
    places = _PLACES.get(carla_map, lambda: [p for p in carla_map.generate_waypoints(SPACING) if _is_clear(p)])
    if not places:
        raise ConfigError(
            f"Episodes start on lanes {JUNCTION_MARGIN:.0f} m away from junctions, and there is none in "
            f"{carla_map.name}."
        )
    return places


def draw_free_place(carla_map: carla.Map, vehicles: Iterable[carla.Actor], rng: np.random.Generator) -> carla.Waypoint:
    """A place away from junctions and from vehicles; away from junctions alone, where the town is crowded.

    Args:
        carla_map: The town.
        vehicles: Those to keep clear of.
        rng: Draws it.
    """
    places, others = places_clear_of_junctions(carla_map), list(vehicles)
    for index in rng.permutation(len(places)):
        if is_free(places[index].transform.location, others):
            return places[index]
    return places[int(rng.integers(len(places)))]


def is_free(place: carla.Location, vehicles: Iterable[carla.Actor]) -> bool:
    """Whether no vehicle is near a place, or comes towards it so fast that it could not stop."""
    for vehicle in vehicles:
        location = vehicle.get_location()
        distance = place.distance(location)
        approach = max(0.0, vehicle.get_velocity().dot(place - location)) / max(distance, 0.1)
        if distance <= TRAFFIC_MARGIN + TIME_TO_STOP * approach:
            return False
    return True


def _is_clear(point: carla.Waypoint) -> bool:
    ahead, behind = point.next(JUNCTION_MARGIN), point.previous(JUNCTION_MARGIN)
    near = [point, *ahead, *behind]
    return bool(ahead) and bool(behind) and not any(place.is_junction for place in near)
