"""One town's scenery and the actors of the present tick, drawn once for all cameras that look the same way."""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicarla import labels
from minicarla.kernels.cache import njit
from minicarla.sensing import raster, scene, weather
from minicarla.sensing.actors import PROP, VEHICLE, WALKER, label_of, leans, pose_of
from minicarla.sensing.compiling import BARE
from minicarla.sensing.mesh import Mesh, MeshBuilder
from minicarla.sensing.models import WALK_POSES, Size, model, opened_doors, posed_walker, walk_pose, wheel_mesh, wheels
from minicarla.sensing.raster import FARTHEST, INSTANCE, Camera, MeshPool
from minicarla.sensing.shading import (
    LAMP_BRAKE,
    LAMP_HEAD,
    LAMP_HIGH,
    LAMP_LEFT,
    LAMP_REVERSE,
    LAMP_RIGHT,
    LAMP_SIREN,
    LAMP_TAIL,
    Stage,
)
from minicarla.sensing.view import Joints, Mount, View, VisibleTown

_LENS_COLOURS = ((255, 40, 30), (255, 180, 30), (40, 255, 110))
_LENS_GLOW = np.array([(3.2, 0.12, 0.08), (3.0, 1.5, 0.1), (0.15, 2.9, 0.7)], np.float32)
"""Glass and light of a signal's lenses: red, yellow, green, as CARLA numbers its states."""

_COARSE_BODY, _COARSE_WHEEL = 26.0, 8.0
"""[pixels] Radius below which the simpler mesh is drawn."""

MAX_BEAMS = 6
"""Head lamps that light their surroundings at night: those of the vehicles nearest to the camera."""


_LOW_BEAM, _HIGH_BEAM = 2.2, 6.0
"""Strength of head lamps."""


class Seen(NamedTuple):
    """The samples of one look at the world, see `raster`."""

    camera: Camera
    samples: int
    nearness: NDArray[np.float32]
    ids: NDArray[np.int32]


class _Meshes:
    """The pool of meshes, which grows when a new kind of actor appears."""

    def __init__(self) -> None:
        self._meshes: list[Mesh] = []
        self._rows: dict[tuple[Hashable, ...], int] = {}
        self._pool: MeshPool | None = None

    def row(self, key: tuple[Hashable, ...], mesh: Mesh) -> int:
        """The row of a mesh in the pool; `key` tells whether it is there already."""
        if key not in self._rows:
            self._rows[key] = len(self._meshes)
            self._meshes.append(mesh)
            self._pool = None
        return self._rows[key]

    def of_actor(self, type_id: str, size: tuple[float, float, float], detail: int, pose: int = 0) -> int:
        """The row of an actor's mesh."""
        key = (type_id, size, detail, pose)
        known = self._rows.get(key)
        return self.row(key, model(type_id, size, detail, pose)) if known is None else known

    def replace(self, key: tuple[Hashable, ...], mesh: Mesh) -> int:
        """The row of a mesh that takes the place of the one that had this key."""
        row = self.row(key, mesh)
        self._meshes[row], self._pool = mesh, None
        return row

    @property
    def pool(self) -> MeshPool:
        """All meshes so far."""
        if self._pool is None:
            meshes = self._meshes or [_lens_mesh(0.1, 0)]
            counts = np.cumsum([0] + [len(mesh.triangles) for mesh in meshes]).astype(np.int32)
            starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes]).astype(np.int32)
            self._pool = MeshPool(
                np.concatenate([mesh.vertices for mesh in meshes]),
                np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, starts)]).astype(np.int32),
                np.concatenate([mesh.normal for mesh in meshes]),
                np.concatenate([mesh.colour for mesh in meshes]),
                np.concatenate([mesh.material for mesh in meshes]),
                np.concatenate([mesh.label for mesh in meshes]),
                counts,
                starts,
                np.array([np.linalg.norm(mesh.vertices, axis=1).max() for mesh in meshes], np.float32),
            )
        return self._pool


@functools.cache
def _lens_mesh(radius: float, state: int) -> Mesh:
    builder = MeshBuilder()
    dark = tuple(int(25 + 0.16 * channel) for channel in _LENS_COLOURS[state])
    builder.cylinder((0.0, 0.0, 0.0), radius, 0.03, 0, dark, sides=8)
    return builder.build()


_PART = np.dtype(
    [("body", np.int64), ("wheel", np.int64), ("x", "f8"), ("y", "f8"), ("z", "f8"), ("radius", "f8")], align=True
)
"""What moves with a vehicle: the vehicle's row; which of its wheels it is, -1 for none; middle and radius [m]."""


@njit(**BARE)
def _pose(rows, lean, first, instances):  # type: ignore[no-untyped-def]
    """Copy where actors are and how they move into their instances, from row `first` on; lean: see `leans`."""
    for row in range(len(rows)):
        actor, body = rows[row], instances[first + row]
        turn, middle = pose_of(actor, lean[row])
        for i in range(3):
            body["position"][i] = middle[i]
            for j in range(3):
                body["rotation"][i, j] = turn[i][j]
        body["velocity"][0], body["velocity"][1], body["velocity"][2] = actor["vx"], actor["vy"], actor["vz"]
        body["turn"][0], body["turn"][1], body["turn"][2] = actor["wx"], actor["wy"], actor["wz"]
        body["ground"] = middle[2] - body["size"][2]


@njit(**BARE)
def _pose_parts(parts, vehicles, first, instances):  # type: ignore[no-untyped-def]
    """Bring what moves with vehicles to them: instances from row `first` on. Wheels are turned and have rolled."""
    for row in range(len(parts)):
        part, piece = parts[row], instances[first + row]
        vehicle, body, wheel = vehicles[part["body"]], instances[part["body"]], part["wheel"]
        cos, sin, rolled = 1.0, 0.0, 0.0
        if wheel >= 0:
            rolled = vehicle["rolled"] / part["radius"]
            if not vehicle["physics"]:
                offset = vehicle["wheel_steer_offset"][wheel]
                cos, sin = math.cos(offset), math.sin(offset)
                rolled -= vehicle["wheel_pitch_offset"][wheel]
            elif vehicle["wheel_cosine"][wheel] != 0.0:
                cos, sin = vehicle["wheel_cosine"][wheel], vehicle["wheel_sine"][wheel]
        down, along = math.sin(rolled), math.cos(rolled)
        turn, spin, x, y, z = body["rotation"], body["turn"], part["x"], part["y"], part["z"]
        for i in range(3):
            ahead, right = turn[i, 0] * cos + turn[i, 1] * sin, turn[i, 1] * cos - turn[i, 0] * sin
            piece["rotation"][i, 0] = ahead * along - turn[i, 2] * down
            piece["rotation"][i, 1] = right
            piece["rotation"][i, 2] = ahead * down + turn[i, 2] * along
            piece["position"][i] = body["position"][i] + turn[i, 0] * x + turn[i, 1] * y + turn[i, 2] * z
            piece["turn"][i] = spin[i]
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            arm_j, arm_k = piece["position"][j] - body["position"][j], piece["position"][k] - body["position"][k]
            piece["velocity"][i] = body["velocity"][i] + spin[j] * arm_k - spin[k] * arm_j


def compile_poses(vehicles: NDArray[np.void], walkers: NDArray[np.void], props: NDArray[np.void]) -> None:
    """Compile what brings actors to their places, or read it from its cache; a row of each kind will do."""
    for rows in (vehicles, walkers, props):
        _pose(rows, leans(rows, 1.0), 0, np.zeros(len(rows), INSTANCE))
    _pose_parts(np.zeros(0, _PART), vehicles, 0, np.zeros(1, INSTANCE))


class Renderer:
    """Everything cameras of one town share."""

    def __init__(self, town: VisibleTown) -> None:
        self.mesh, self._surfaces = scene.static_mesh(town.scenery)
        self._markings = scene.sort_markings(town.scenery)
        self._ground_map = scene.GroundLightMap(town)
        self._meshes = _Meshes()
        self._lamp_heads = self._make_lamp_heads(town)
        self._lamp_signals = np.array([index for index, _, _ in self._lamp_heads], np.int64)
        self._lamp_states = np.array([state for _, state, _ in self._lamp_heads], np.int64)
        self._noise = _noise_texture()
        steps = np.arange(256) / 255.0
        self._linear = np.where(steps < 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4).astype(np.float32)
        self._weather_key: tuple[int, ...] | None = None
        self._light: weather.Light | None = None
        self._lit_view: View | None = None
        self._ground: scene.GroundLight | None = None
        self._lamps: NDArray[np.float32] | None = None
        self._view: View | None = None
        self._cast: list[object] | None = None
        self._postures: dict[int, Joints] = {}
        self._instances = np.zeros(0, INSTANCE)
        self._parts = np.zeros(0, _PART)
        self._owner = np.zeros(0, np.int32)
        self._looks: dict[tuple[Hashable, ...], Seen] = {}
        self._spare: list[tuple[NDArray[np.float32], NDArray[np.int32]]] = []

    def _make_lamp_heads(self, town: VisibleTown) -> list[tuple[int, int, NDArray[np.void]]]:
        """(signal, state, instance) of every lens of every traffic light."""
        lenses = []
        for index, signal in enumerate(town.signals):
            if not signal.is_traffic_light:
                continue
            facing = math.radians(signal.yaw + 90.0)
            for x, y, z, yaw, depth, width, height in np.asarray(signal.light_boxes, np.float64).reshape(-1, 7):
                if math.cos(yaw - facing) < 0.0:
                    yaw += math.pi
                radius = min(0.75 * width, 0.27 * height)
                turn = np.array(
                    [[math.cos(yaw), -math.sin(yaw), 0.0], [math.sin(yaw), math.cos(yaw), 0.0], [0, 0, 1.0]]
                )
                for state, lift in enumerate((0.6, 0.0, -0.6)):
                    lens = np.zeros(1, INSTANCE)
                    lens["position"] = np.array([x, y, z + lift * height]) + turn[:, 0] * (depth + 0.02)
                    lens["rotation"], lens["size"] = turn, radius
                    glass = _lens_mesh(round(radius, 3), state)
                    lens["near_mesh"] = lens["far_mesh"] = self._meshes.row(("lens", id(glass)), glass)
                    lens["label"] = labels.TRAFFIC_LIGHT
                    lens["object_id"] = 0x8000 + index
                    lenses.append((index, state, lens))
        return lenses

    def light(self, view: View) -> weather.Light:
        """Light of the view's weather."""
        if self._light is not None and view is self._lit_view:
            return self._light
        self._lit_view = view
        sane = weather.sane_weather(view.weather)
        key = weather.weather_key(sane)
        if self._light is None or key != self._weather_key:
            self._weather_key = key
            self._light = weather.make_light(sane)
            self._ground = self._ground_map.bake(self._light.sun)
        if view.lamps is not self._lamps and self._light.night > 0.0:
            assert self._ground is not None
            self._lamps = view.lamps
            self._ground = self._ground_map.with_lamps(self._ground, view.lamps)
        return self._light

    def stage(self, view: View, camera: Camera) -> Stage:
        """All that a picture of this view is made of."""
        light = self.light(view)
        self._update(view)
        assert self._ground is not None
        return Stage(
            self._surfaces, self._markings, self._ground, light, self._meshes.pool, self._instances, self._owner,
            len(self.mesh.triangles), self._beams(camera, light.night), self._noise, self._linear,
        )  # fmt: skip

    def look(self, view: View, camera: Camera, samples: int, reuse: bool) -> Seen:
        """Draw the world, unless a camera that looks the same way already did in this tick.

        Args:
            view: the world.
            camera: over samples; for `reuse` its samples are pixels.
            samples: squared, they make a pixel.
            reuse: take a look with an odd number of samples a pixel too, whose middle ones are the pixels' middles.
        """
        self._update(view)
        place = camera.position.tobytes() + camera.axes.tobytes()
        for finer in (samples, 3) if reuse and samples == 1 else (samples,):
            factor = finer // samples
            key = (place, round(camera.focal * factor, 6), camera.width * factor, camera.height * factor, finer)
            if key in self._looks:
                return self._looks[key]
        nearness, ids = self._buffers(camera.height, camera.width)
        raster.draw_instances(
            camera, self._meshes.pool, self._instances, len(self.mesh.triangles), samples, nearness, ids
        )
        raster.draw_static(camera, self.mesh, samples, nearness, ids)
        if view.culling_distance > 0.0:
            culled = nearness < 1.0 / view.culling_distance
            nearness[culled], ids[culled] = 0.0, -1
        seen = Seen(camera, samples, nearness, ids)
        self._looks[place, round(camera.focal, 6), camera.width, camera.height, samples] = seen
        return seen

    def shadows(self, seen: Seen, light: weather.Light) -> NDArray[np.uint8]:
        """Samples in the shadow of actors: uint8 like `Seen.ids`."""
        shadow = np.zeros(seen.ids.shape, np.uint8)
        if light.sun[2] > 0.02:
            raster.draw_shadows(seen.camera, self._instances, light.sun, seen.samples, seen.nearness, shadow)
        return shadow

    def _buffers(self, height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Nearness and ids; the ids are written by whoever draws something, and where nothing is drawn."""
        for place, (nearness, ids) in enumerate(self._spare):
            if nearness.shape == (height, width):
                del self._spare[place]
                nearness.fill(0.0)
                return nearness, ids
        return np.zeros((height, width), np.float32), np.empty((height, width), np.int32)

    def _update(self, view: View) -> None:
        """Bring the instances to a new tick and forget the looks of the last one."""
        if self._view is view:
            return
        self._view = view
        self._spare = [(seen.nearness, seen.ids) for seen in self._looks.values()][:8]
        self._looks.clear()
        groups = (view.vehicles, view.walkers, view.props)
        cast: list[object] = [
            (rows["id"].tobytes(), rows["extent_x"].tobytes(), rows["extent_z"].tobytes()) for rows in groups
        ]
        self._postures = {
            row: joints for row in range(len(view.walkers)) if (joints := view.actors.posture(row)) is not None
        }
        cast.append(self._postures)
        cast.append([view.actors.open_doors(row) for row in range(len(view.vehicles))])
        cast.append([view.actors.is_painted(PROP, row) for row in range(len(view.props))])
        cast += [
            (view.actors.type_id(kind, row), view.actors.colour(kind, row))
            for kind, rows in enumerate(groups)
            for row in range(len(rows))
        ]
        if cast != self._cast:
            self._cast_actors(view)
            self._cast = cast
        first = 0
        for rows in (view.vehicles, view.walkers, view.props):
            if len(rows):
                _pose(rows, leans(rows, view.gravity), first, self._instances)
            first += len(rows)
        if len(self._parts):
            _pose_parts(self._parts, view.vehicles, first, self._instances)
        self._walk(view)
        self._switch_lamps(view)

    def _cast_actors(self, view: View) -> None:
        """Make instances for a changed set of actors."""
        bodies = []
        for kind, rows in ((VEHICLE, view.vehicles), (WALKER, view.walkers), (PROP, view.props)):
            for row in range(len(rows)):
                bodies.append(self._body(view, kind, row, rows[row]))
        self._parts, pieces = self._add_parts(view, bodies)
        bodies += pieces
        bodies += [lens for _, _, lens in self._lamp_heads]
        self._instances = np.concatenate(bodies) if bodies else np.zeros(0, INSTANCE)
        first = self._meshes.pool.first
        near, far = self._instances["near_mesh"], self._instances["far_mesh"]
        counts = first[near + 1] - first[near] + first[far + 1] - first[far]
        self._instances["slot"] = np.cumsum(counts) - counts
        self._owner = np.repeat(np.arange(len(counts), dtype=np.int32), counts)

    def _add_parts(self, view: View, bodies: list[NDArray[np.void]]) -> tuple[NDArray[np.void], list[NDArray[np.void]]]:
        """What moves with the vehicles, whose instances are the first of `bodies`, and the instances of that."""
        parts: list[tuple[float, ...]] = []
        pieces = []

        def add(row: int, near: int, far: int, *part: float) -> None:
            piece = bodies[row].copy()
            piece["near_mesh"], piece["far_mesh"] = near, far
            piece["casts_shadow"], piece["coarse"] = 0, _COARSE_WHEEL
            parts.append((row, *part))
            pieces.append(piece)

        for row, vehicle in enumerate(view.vehicles):
            type_id, size = view.actors.type_id(VEHICLE, row), _size(vehicle)
            for wheel in wheels(type_id, size):
                shape = (round(wheel.radius, 3), wheel.half, wheel.rim)
                meshes = [self._meshes.row(("wheel", *shape, detail), wheel_mesh(*shape, detail)) for detail in (1, 0)]
                add(row, *meshes, wheel.number, *wheel.place, wheel.radius)
            open_ones = view.actors.open_doors(row)
            doors = opened_doors(type_id, size, open_ones) if open_ones else None
            if doors is not None:
                mesh = self._meshes.row(("doors", type_id, size, open_ones), doors)
                add(row, mesh, mesh, -1, 0.0, 0.0, 0.0, 1.0)
        return np.array(parts, _PART), pieces

    def _body(self, view: View, kind: int, row: int, actor: np.void) -> NDArray[np.void]:
        type_id = view.actors.type_id(kind, row)
        size = _size(actor)
        body = np.zeros(1, INSTANCE)
        pose = WALK_POSES if kind == WALKER else 0
        if kind == WALKER:
            for step in range(WALK_POSES + 1):
                for detail in (0, 1):
                    self._meshes.of_actor(type_id, size, detail, step)
        body["near_mesh"] = self._meshes.of_actor(type_id, size, 1, pose)
        body["far_mesh"] = self._meshes.of_actor(type_id, size, 0, pose)
        if kind == WALKER and row in self._postures:
            mesh = posed_walker(type_id, size, self._postures[row])
            body["near_mesh"] = body["far_mesh"] = self._meshes.replace(("posed", int(actor["id"])), mesh)
        body["size"] = size
        body["colour"] = view.actors.colour(kind, row)
        if kind == PROP and view.actors.is_painted(kind, row):
            mesh = model(type_id, size, 1, pose)
            mesh = mesh._replace(colour=np.broadcast_to(body["colour"], mesh.colour.shape).copy())
            body["near_mesh"] = body["far_mesh"] = self._meshes.replace(("painted", int(actor["id"])), mesh)
        body["label"] = label_of(type_id)
        body["object_id"] = actor["id"]
        body["casts_shadow"], body["coarse"] = 1, _COARSE_BODY
        return body

    def _walk(self, view: View) -> None:
        """Walkers swing arms and legs with the distance they have come."""
        first = len(view.vehicles)
        for row in range(len(view.walkers)):
            if row in self._postures:
                continue
            walker = view.walkers[row]
            pose = walk_pose(walker)
            type_id = view.actors.type_id(WALKER, row)
            size = _size(walker)
            body = self._instances[first + row]
            body["near_mesh"] = self._meshes.of_actor(type_id, size, 1, pose)
            body["far_mesh"] = self._meshes.of_actor(type_id, size, 0, pose)

    def _switch_lamps(self, view: View) -> None:
        """Lamps of vehicles by their light state and brake, lenses of traffic lights by their state."""
        brakes = view.vehicles["brake"].tolist()
        self._instances["lamps"][: len(brakes)] = [
            _lamps(view.actors.light_flags(row), brake) for row, brake in enumerate(brakes)
        ]
        if self._lamp_heads:
            start = len(self._instances) - len(self._lamp_heads)
            lit = view.light_states[self._lamp_signals] == self._lamp_states
            self._instances["glow"][start:] = _LENS_GLOW[self._lamp_states] * lit[:, None]

    def _beams(self, camera: Camera, night: float) -> NDArray[np.float32]:
        """Lit head lamps near the camera, float32 (n, 6) for `shading.Stage`."""
        lit = np.flatnonzero(self._instances["lamps"] & LAMP_HEAD) if night > 0.0 else np.zeros(0, np.int64)
        if len(lit) == 0:
            return np.zeros((0, 6), np.float32)
        bodies = self._instances[lit]
        away = np.linalg.norm(bodies["position"] - camera.position, axis=1)
        bodies = bodies[np.argsort(away, kind="stable")[:MAX_BEAMS]]
        forward = bodies["rotation"][:, :, 0]
        place = bodies["position"] + forward * bodies["size"][:, :1]
        strength = np.where(bodies["lamps"] & LAMP_HIGH, _HIGH_BEAM, _LOW_BEAM)[:, None]
        return np.concatenate([place, forward[:, :2], strength], axis=1).astype(np.float32)


def _size(actor: np.void) -> Size:
    """Half sizes of an actor's box [m]."""
    return tuple(round(float(actor[f"extent_{axis}"]), 3) for axis in "xyz")  # type: ignore[return-value]


@functools.lru_cache(maxsize=4096)
def _lamps_of_flags(flags: int) -> int:
    return (
        (LAMP_HEAD if flags & 0x86 else 0)
        | (LAMP_TAIL if flags & 0x7 else 0)
        | (LAMP_BRAKE if flags & 0x8 else 0)
        | (LAMP_LEFT if flags & 0x20 else 0)
        | (LAMP_RIGHT if flags & 0x10 else 0)
        | (LAMP_SIREN if flags & 0x200 else 0)
        | (LAMP_REVERSE if flags & 0x40 else 0)
        | (LAMP_HIGH if flags & 0x4 else 0)
    )


def _lamps(flags: int, brake: float) -> int:
    """Bits of raster.INSTANCE's `lamps` from CARLA's VehicleLightState and the brake pedal (0..1)."""
    return _lamps_of_flags(flags) | (LAMP_BRAKE if brake > 0.05 else 0)


def _noise_texture() -> NDArray[np.float32]:
    return np.random.Generator(np.random.SFC64(3)).random((256, 256)).astype(np.float32)


MOST_RENDERERS = 2
"""Towns whose scenery is kept sorted: the present one, and the last one for whoever goes back and forth."""

_renderers: list[tuple[VisibleTown, Renderer]] = []


def renderer_of(town: VisibleTown) -> Renderer:
    """The renderer of a town, made at its first camera and kept while the town is in use."""
    for place, (known, renderer) in enumerate(_renderers):
        if known is town:
            if place:
                _renderers.insert(0, _renderers.pop(place))
            return renderer
    renderer = Renderer(town)
    _renderers.insert(0, (town, renderer))
    del _renderers[MOST_RENDERERS:]
    return renderer


def camera_at(mount: Mount, fov: float, width: int, height: int, samples: int = 1) -> Camera:
    """A pinhole at a mount; `fov` [degrees] is horizontal, sizes are in pixels.

    Raises:
        ValueError: the mount is nowhere: its pose is not a number, or beyond `FARTHEST`.
    """
    somewhere = np.abs(mount.position).max() < FARTHEST and np.abs(mount.rotation).max() < 1.01
    if not (somewhere and np.abs(mount.rotation @ mount.rotation.T - np.eye(3)).max() < 1e-3):
        raise ValueError(f"A camera at {mount.position} with axes {mount.rotation.tolist()} sees nothing.")
    focal = 0.5 * width * samples / math.tan(math.radians(fov) / 2.0)
    axes = np.ascontiguousarray(mount.rotation.T, np.float64)
    return Camera(np.array(mount.position, np.float64), axes, focal, width * samples, height * samples)
