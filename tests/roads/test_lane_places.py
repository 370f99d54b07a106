"""Places for heroes are clear of junctions and of other vehicles."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import carla
import numpy as np

from minicarla.town.minitown import minitown
from rllib_integration.roads.lane_places import draw_free_place, is_free, places_clear_of_junctions


def test_places_are_clear_of_junctions_and_repeat_with_their_seed() -> None:
    town = carla.Map("Minitown", minitown())
    places = places_clear_of_junctions(town)
    assert len(places) > 20
    assert not any(place.is_junction or place.next(15.0)[0].is_junction for place in places)
    one, two = (draw_free_place(town, [], np.random.default_rng(3)) for _ in range(2))
    assert one.transform == two.transform


def test_places_keep_clear_of_those_who_could_not_stop() -> None:
    def actor(x: float, speed: float = 0.0) -> SimpleNamespace:
        location, velocity = carla.Location(x, 0.0, 0.0), carla.Vector3D(speed, 0.0, 0.0)
        return SimpleNamespace(get_location=lambda: location, get_velocity=lambda: velocity)

    def is_clear(*others: Any) -> bool:
        return is_free(carla.Location(0.0, 0.0, 0.0), others)

    assert is_clear(actor(-11.0), actor(11.0, speed=8.0), actor(-30.0, speed=8.0))
    assert not is_clear(actor(-9.0))
    assert not is_clear(actor(-20.0, speed=8.0))
