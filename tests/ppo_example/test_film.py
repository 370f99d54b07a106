"""What a film of the race shows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rllib_integration.carla_env import CarlaEnv
from rllib_integration.rendering import draw_rays, side_by_side


def test_pictures_stand_side_by_side() -> None:
    high, wide = np.full((40, 40, 3), 10, np.uint8), np.full((20, 40, 3), 200, np.uint8)
    both = side_by_side([high, wide])
    assert both is not None
    assert both.shape == (40, 40 + 2 + 80, 3)
    assert (both[:, :40] == 10).all()
    assert (both[:, 42:] == 200).all()
    assert side_by_side([high]) is high
    assert side_by_side([]) is None


def test_the_rays_are_drawn_from_the_heros_place_its_front_up(make_env: Callable[..., CarlaEnv]) -> None:
    env = make_env(sensors={"lidar": {"type": "sensor.virtual_lidar", "rear": False}}, start_speed=0.0)
    env.reset(seed=0)
    picture = draw_rays(env.core.sensor_interface.sensors, 200)
    assert picture is not None
    drawn = (picture != picture[-1, 0]).any(axis=2)
    rows, columns = np.nonzero(drawn)
    assert rows.max() <= 104  # nothing behind the hero
    assert columns.min() < 100 < columns.max()  # the road's edges lie to both sides
