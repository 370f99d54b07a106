"""A small world for sensors: a flat field, a wall, and whatever actors a test puts there."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import carla
import numpy as np

from minicarla.physics.ground import flat_surface
from minicarla.physics.obstacles import OBSTACLE, build_obstacle_grid
from minicarla.physics.state import CONTACT, PROP, VEHICLE, WALKER
from minicarla.sensing import Mount, View
from minicarla.sensing.actors import rotation_matrix
from minicarla.sensing.view import Joints
from minicarla.town.town import RayTargets

OPENDRIVE = """<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4" name="field" version="1">
<geoReference><![CDATA[+proj=tmerc +lat_0=49.0 +lon_0=8.0 +k=1 +x_0=0 +y_0=0 +datum=WGS84]]></geoReference></header>
<road name="r" length="200" id="1" junction="-1"><link/><planView>
<geometry s="0" x="-100" y="0" hdg="0" length="200"><line/></geometry></planView>
<elevationProfile/><lateralProfile/><lanes><laneSection s="0"><center><lane id="0" type="none" level="false"/></center>
<right><lane id="-1" type="driving" level="false"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></right>
</laneSection></lanes></road></OpenDRIVE>"""

NOON = {
    "cloudiness": 10.0, "precipitation": 0.0, "precipitation_deposits": 0.0, "wind_intensity": 5.0,
    "sun_azimuth_angle": 45.0, "sun_altitude_angle": 50.0, "fog_density": 0.0, "fog_distance": 0.75,
    "fog_falloff": 0.1, "wetness": 0.0, "scattering_intensity": 1.0, "mie_scattering_scale": 0.03,
    "rayleigh_scattering_scale": 0.0331, "dust_storm": 0.0,
}  # fmt: skip


class Actors:
    """Names and colours of the rows of a `world`."""

    def __init__(self, names: dict[int, list[str]]) -> None:
        self.names = names
        self.colours: dict[tuple[int, int], tuple[int, int, int]] = {}
        self.flags: dict[int, int] = {}
        self.doors: dict[int, int] = {}
        self.postures: dict[int, Joints] = {}

    def describe(self, kind: int, row: int) -> list[Any]:
        box = [[0.0] * 3, [1.0] * 3, [0.0] * 3, 0]
        return [10 * kind + row, 0, [0, self.type_id(kind, row), []], box, b"\x0e", b""]

    def type_id(self, kind: int, row: int) -> str:
        return self.names[kind][row]

    def colour(self, kind: int, row: int) -> tuple[int, int, int]:
        return self.colours.get((kind, row), (200, 20, 20))

    def is_painted(self, kind: int, row: int) -> bool:
        return False

    def posture(self, row: int) -> Joints | None:
        return self.postures.get(row)

    def light_flags(self, row: int) -> int:
        return self.flags.get(row, 0)

    def open_doors(self, row: int) -> int:
        return self.doors.get(row, 0)

    def is_emergency_vehicle(self, row: int) -> bool:
        return False


@functools.lru_cache(maxsize=1)
def field_map() -> carla.Map:
    return carla.Map("field", OPENDRIVE)


class Town:
    """What sensors read of a town."""

    def __init__(self, boxes: list[dict[str, float]] | None = None, scenery: Any = None) -> None:
        self.surface = flat_surface(120.0)
        self.obstacles = np.zeros(len(boxes or ()), OBSTACLE)
        for row, box in enumerate(boxes or ()):
            for name, value in box.items():
                self.obstacles[name][row] = value
        self.ray_targets = RayTargets(self.obstacles, build_obstacle_grid(self.obstacles))
        self.geo_reference = 49.0, 8.0
        self.signals: list[Any] = []
        self.scenery = scenery or empty_scenery()


def empty_scenery() -> SimpleNamespace:
    return SimpleNamespace(
        vertices=np.zeros((0, 3), np.float32),
        triangles=np.zeros((0, 3), np.int32),
        label=np.zeros(0, np.uint8),
        colour=np.zeros((0, 3), np.uint8),
        object_id=np.zeros(0, np.uint32),
    )


def make_view(
    town: Town | None = None,
    vehicles: list[dict[str, Any]] | None = None,
    walkers: list[dict[str, Any]] | None = None,
    props: list[dict[str, Any]] | None = None,
    frame: int = 1,
    time: float = 0.05,
    dt: float = 0.05,
    **weather: float,
) -> View:
    """A view of a town; actors are dicts of fields, plus `type_id` and `colour`."""
    arrays: list[np.ndarray] = []
    names: dict[int, list[str]] = {}
    colours: dict[tuple[int, int], Any] = {}
    for kind, (dtype, rows_of) in enumerate(((VEHICLE, vehicles), (WALKER, walkers), (PROP, props))):
        rows = np.zeros(len(rows_of or ()), dtype)
        names[kind] = []
        for row, actor in enumerate(rows_of or ()):
            fields = {**_DEFAULTS[kind], **actor}
            names[kind].append(fields.pop("type_id"))
            if "colour" in fields:
                colours[kind, row] = fields.pop("colour")
            rows["id"][row] = 100 * (kind + 1) + row
            for name, value in fields.items():
                rows[name][row] = value
        arrays.append(rows)
    actors = Actors(names)
    actors.colours = colours
    seen: Any = town or Town()
    rows_of_vehicles, rows_of_walkers, rows_of_props = arrays
    return View(
        frame, time, dt, seen, rows_of_vehicles, rows_of_walkers, rows_of_props, {**NOON, **weather},
        np.zeros(0, np.uint8), np.zeros(0, CONTACT), 9.81, actors,
    )  # fmt: skip


_DEFAULTS: tuple[dict[str, Any], ...] = (
    {"type_id": "vehicle.tesla.model3", "extent_x": 2.4, "extent_y": 1.08, "extent_z": 0.74, "box_z": 0.74},
    {"type_id": "walker.pedestrian.0001", "extent_x": 0.19, "extent_y": 0.19, "extent_z": 0.93, "z": 0.93},
    {"type_id": "static.prop.box01", "extent_x": 0.5, "extent_y": 0.5, "extent_z": 0.5, "box_z": 0.5},
)


def make_mount(
    x: float = 0.0, y: float = 0.0, z: float = 2.0, roll: float = 0.0, pitch: float = 0.0, yaw: float = 0.0,
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0), kind: int = -1, row: int = -1,
) -> Mount:  # fmt: skip
    """A mount at a place, angles in degrees."""
    angles = np.radians([roll, pitch, yaw])
    return Mount(np.array([x, y, z]), rotation_matrix(*angles), np.array(velocity), kind, row, 999)


WALL_AT_TEN_METRES = {
    "x": 10.5, "y": 0.0, "z": 5.0, "extent_x": 0.5, "extent_y": 20.0, "extent_z": 5.0, "label": 4, "object_id": 77,
}  # fmt: skip


def street(wall_at: float | None = None) -> SimpleNamespace:
    """Scenery of a straight road along x with pavements, grass and a dashed middle line; a wall across if asked for."""
    vertices: list[tuple[float, float, float]] = []
    triangles: list[tuple[int, int, int]] = []
    label: list[int] = []
    colour: list[tuple[int, int, int]] = []

    def quad(corners: list[tuple[float, float, float]], tag: int, paint: tuple[int, int, int]) -> None:
        start = len(vertices)
        vertices.extend(corners)
        triangles.extend([(start, start + 1, start + 2), (start, start + 2, start + 3)])
        label.extend([tag] * 2)
        colour.extend([paint] * 2)

    for low, high, tag, paint in (
        (-6.0, 6.0, 1, (72, 72, 75)), (6.0, 9.0, 2, (165, 160, 152)), (-9.0, -6.0, 2, (165, 160, 152)),
        (9.0, 90.0, 10, (96, 122, 62)), (-90.0, -9.0, 10, (96, 122, 62)),
    ):  # fmt: skip
        for x in np.arange(-120.0, 120.0, 20.0):
            quad([(x, low, 0.0), (x + 20.0, low, 0.0), (x + 20.0, high, 0.0), (x, high, 0.0)], tag, paint)
    if wall_at is not None:
        wall = [(wall_at, -50.0, 0.0), (wall_at, -50.0, 30.0), (wall_at, 50.0, 30.0), (wall_at, 50.0, 0.0)]
        quad(wall, 4, (150, 140, 130))
    start = len(triangles)
    for x in np.arange(-120.0, 120.0, 6.0):
        for y in (-3.0, 0.0, 3.0):
            corners = [(x, y - 0.07, 0.0), (x + 3.0, y - 0.07, 0.0), (x + 3.0, y + 0.07, 0.0), (x, y + 0.07, 0.0)]
            quad(corners, 24, (225, 225, 220))
    return SimpleNamespace(
        vertices=np.array(vertices, np.float32),
        triangles=np.array(triangles, np.int32),
        label=np.array(label, np.uint8),
        colour=np.array(colour, np.uint8),
        object_id=np.array([1 if tag == 4 else 0 for tag in label], np.uint32),
        marking_start=start,
        marking_stop=len(triangles),
    )
