"""Nothing that a client can do to the world may cost the server its life: kernels do not check their indices."""

from __future__ import annotations

import math

import msgpack
import numpy as np
import pytest

from minicarla.protocol.body_checks import check_body
from minicarla.sensing import SENSORS, Mount
from tests.minicarla.sensing.world import WALL_AT_TEN_METRES, Town, make_mount, make_view, street

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


def reach(type_id, body):
    """[m] Distances of what a sensor perceived, from a body that a client can read."""
    check_body(SENSORS[type_id].stream_type, body)
    if type_id.endswith("radar"):
        return np.frombuffer(body, "<f4").reshape(-1, 4)[:, 3]
    if "lidar" in type_id:
        width = 6 if type_id.endswith("semantic") else 4
        points = np.frombuffer(body, "<f4", offset=8 + 4 * 32).reshape(-1, width)[:, :3]
        return np.linalg.norm(points, axis=1)
    if type_id.endswith("obstacle"):
        return np.array([msgpack.unpackb(body)[2]])
    if type_id.endswith("depth"):
        pixels = np.frombuffer(body, np.uint8, offset=12).reshape(-1, 4).astype(float)
        return (pixels[:, 2] + 256.0 * pixels[:, 1] + 65536.0 * pixels[:, 0]) / (256.0**3 - 1.0) * 1000.0
    return np.zeros(0)


FARTHEST = {"sensor.other.radar": 100.0, "sensor.other.obstacle": 5.0, "sensor.camera.depth": 1000.0}


@pytest.mark.parametrize("type_id", PERCEIVING)
def test_vehicles_that_are_nowhere_are_not_perceived(town, type_id):
    alone = capture(type_id, make_view(town, vehicles=[{"x": 5.0}]), make_mount(kind=0, row=0))
    for place in NOWHERE:
        for field in ("x", "z"):
            view = make_view(town, vehicles=[{"x": 5.0}, {field: place}])
            assert capture(type_id, view, make_mount(kind=0, row=0)) == alone
        for field in ("yaw", "pitch", "vx"):
            view = make_view(town, vehicles=[{"x": 5.0}, {"x": -30.0, field: place}])
            for body in capture(type_id, view, make_mount(kind=0, row=0)):
                assert np.isfinite(reach(type_id, body)).all()


@pytest.mark.parametrize("type_id", PERCEIVING)
def test_sensors_that_are_nowhere_perceive_nothing(town, type_id):
    view, here = make_view(town, vehicles=[{"x": 5.0}]), make_mount()
    mounts = [mount for place in NOWHERE for mount in (make_mount(x=place), make_mount(z=place))]
    mounts += [Mount(here.position, here.rotation * scale, *here[2:]) for scale in (math.nan, 0.0, 1e200)]
    for mount in mounts:
        bodies = capture(type_id, view, mount)
        if ".camera." in type_id:
            assert bodies is None
        else:
            assert [len(reach(type_id, body)) for body in bodies] == [0] * len(bodies)


@pytest.mark.parametrize("type_id", PERCEIVING)
def test_sensors_in_odd_poses_see_no_farther_than_they_reach(town, type_id):
    random = np.random.default_rng(3)
    seen = 0
    for _ in range(25):
        angles = random.uniform(-180.0, 180.0, 3)
        place = random.normal(0.0, random.choice([1.0, 30.0, 2000.0]), 3)
        view = make_view(town, vehicles=[{"x": 5.0}], walkers=[{"x": 3.0}], props=[{"y": 2.0}])
        for body in capture(type_id, view, make_mount(*place, *angles)):
            distances = reach(type_id, body)
            seen += len(distances)
            assert (distances >= 0.0).all()
            assert (distances <= FARTHEST.get(type_id, 10.0) + 1e-3).all()
    assert seen > 0 or ".camera." in type_id or type_id.endswith("obstacle")


@pytest.mark.parametrize("value", [math.nan, -1e30, 1e30, math.inf])
def test_weather_beyond_all_measure(town, value):
    for name in ("sun_altitude_angle", "fog_density", "fog_falloff", "wetness", "precipitation", "cloudiness"):
        assert capture("sensor.camera.rgb", make_view(town, **{name: value}), make_mount()) is not None
