"""Nothing that a client can do to the world may cost the server its life: kernels do not check their indices."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rllib_integration.embedded.sensing import SENSORS, Mount

from .world import WALL_AT_TEN_METRES, Town, make_mount, make_view, street

NOWHERE = (math.nan, math.inf, -math.inf, 1e300, -1e9)
SIZED = {"image_size_x": "40", "image_size_y": "30"}


@pytest.fixture(scope="module")
def town():
    return Town([WALL_AT_TEN_METRES], scenery=street())


def capture(type_id, view, mount):
    """The bodies, or None where the sensor says that this is no place to be."""
    sensor = SENSORS[type_id](SIZED if ".camera." in type_id else {})
    try:
        return sensor.capture(view, mount)
    except ValueError as error:
        assert "sees nothing" in str(error)  # noqa: PT017
        return None


PERCEIVING = [type_id for type_id in SENSORS if ".other." not in type_id or type_id.endswith(("radar", "obstacle"))]


@pytest.mark.parametrize("type_id", PERCEIVING)
def test_vehicles_that_are_nowhere(town, type_id):
    for place in NOWHERE:
        for field in ("x", "z", "yaw", "pitch", "vx"):
            view = make_view(town, vehicles=[{"x": 5.0}, {field: place}])
            assert capture(type_id, view, make_mount(kind=0, row=0)) is not None


@pytest.mark.parametrize("type_id", PERCEIVING)
def test_sensors_that_are_nowhere(town, type_id):
    view = make_view(town, vehicles=[{"x": 5.0}])
    for place in NOWHERE:
        capture(type_id, view, make_mount(x=place))
        capture(type_id, view, make_mount(z=place))
    for scale in (math.nan, 0.0, 1e200):
        mount = make_mount()
        capture(type_id, view, Mount(mount.position, mount.rotation * scale, *mount[2:]))


@pytest.mark.parametrize("type_id", PERCEIVING)
def test_sensors_in_odd_poses(town, type_id):
    random = np.random.default_rng(3)
    for _ in range(25):
        angles = random.uniform(-180.0, 180.0, 3)
        place = random.normal(0.0, random.choice([1.0, 30.0, 2000.0]), 3)
        view = make_view(town, vehicles=[{"x": 5.0}], walkers=[{"x": 3.0}], props=[{"y": 2.0}])
        capture(type_id, view, make_mount(*place, *angles))


@pytest.mark.parametrize("value", [math.nan, -1e30, 1e30, math.inf])
def test_weather_beyond_all_measure(town, value):
    for name in ("sun_altitude_angle", "fog_density", "fog_falloff", "wetness", "precipitation", "cloudiness"):
        assert capture("sensor.camera.rgb", make_view(town, **{name: value}), make_mount()) is not None
