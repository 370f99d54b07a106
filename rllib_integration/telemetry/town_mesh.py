"""A town as a browser draws it: lanes as strips, markings, crosswalks and boxes of what stands around.

Strips are thinned where a lane is straight, rounded to 2 cm and written as differences, so that a town of 40 km of
lanes takes some 100 kB. What a town looks like is kept in the user's cache folder under a key made of its roads and
its objects; the key is also the address that browsers load it from, so that they can keep it for ever.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import carla
import numpy as np
from numpy.typing import NDArray

from rllib_integration.roads.lanes import SampledLanes, town_lanes
from rllib_integration.roads.town_cache import cache_folder
from rllib_integration.telemetry.messages import Kind, pack

MESH_VERSION = 4
"""Part of the key: raise it whenever the bytes of a town change."""

_UNIT = 0.02  # [m] to which places are rounded
_TOLERANCE = 0.04  # [m] by which a thinned strip may differ from the lane
_LONGEST = 40.0  # [m] between two points of a strip
_MARGIN = 0.35  # [m] by which lanes in junctions are widened, so that no gaps are left between them
_APRON = 2.6  # [m] by which a shoulder surrounds them, which fills a junction's corners
_MOST_BOXES = 30_000

LABELS = ("Buildings", "Walls", "Fences", "GuardRail", "Bridge", "Vegetation", "Poles", "Static")
"""Names of `carla.CityObjectLabel` whose boxes are drawn; their place here is their number in the mesh."""

SURFACES = {"driving": 0, "shoulder": 1, "parking": 2, "sidewalk": 3, "biking": 4, "median": 5, "apron": 6}
"""Numbers of the surfaces of strips."""

_SURFACE_OF_LANE = {
    int(carla.LaneType.Driving): "driving",
    int(carla.LaneType.Bidirectional): "driving",
    int(carla.LaneType.OnRamp): "driving",
    int(carla.LaneType.OffRamp): "driving",
    int(carla.LaneType.Entry): "driving",
    int(carla.LaneType.Exit): "driving",
    int(carla.LaneType.Shoulder): "shoulder",
    int(carla.LaneType.Stop): "shoulder",
    int(carla.LaneType.Restricted): "shoulder",
    int(carla.LaneType.Border): "shoulder",
    int(carla.LaneType.Parking): "parking",
    int(carla.LaneType.Sidewalk): "sidewalk",
    int(carla.LaneType.Biking): "biking",
    int(carla.LaneType.Median): "median",
}
_BROKEN = {int(carla.LaneMarkingType.Broken), int(carla.LaneMarkingType.BottsDots)}
_DOUBLE = {
    int(carla.LaneMarkingType.SolidSolid),
    int(carla.LaneMarkingType.SolidBroken),
    int(carla.LaneMarkingType.BrokenSolid),
    int(carla.LaneMarkingType.BrokenBroken),
}
_UNSEEN = {
    int(carla.LaneMarkingType.NONE),
    int(carla.LaneMarkingType.Other),
    int(carla.LaneMarkingType.Curb),
    int(carla.LaneMarkingType.Grass),
}
_SOLID_MARKING, _BROKEN_MARKING, _DOUBLE_MARKING = range(3)


class TownMesh(NamedTuple):
    """A packed town.

    Attributes:
        key: What it is kept and addressed by.
        name: Of the town, without its folder.
        body: The message, compressed (zlib).
    """

    key: str
    name: str
    body: bytes


def read_town(world: carla.World, carla_map: carla.Map, folder: Path | None = None) -> TownMesh:
    """The mesh of a world's town: out of the cache, or made now and kept there.

    Args:
        world: Is asked for the boxes of what stands in it; nothing else.
        carla_map: Its town.
        folder: Cache folder; the user's own is the default.
    """
    boxes = town_boxes(world)
    key = hashlib.sha256(f"{MESH_VERSION}\n{carla_map.to_opendrive()}".encode() + boxes.tobytes()).hexdigest()[:32]
    name = carla_map.name.rsplit("/", 1)[-1]
    body = load_town(key, folder)
    if body is None:
        body = zlib.compress(pack_town(name, town_lanes(carla_map, folder), crosswalks(carla_map), boxes), 6)
        keep_town(key, body, folder)
    return TownMesh(key, name, body)


def towns_folder(folder: Path | None = None) -> Path:
    """Where meshes are kept."""
    return (folder or cache_folder()) / "town_meshes"


def load_town(key: str, folder: Path | None = None) -> bytes | None:
    """The compressed mesh of a key, None if it is not known."""
    if not is_key(key):
        return None
    try:
        return (towns_folder(folder) / key).read_bytes()
    except OSError:
        return None


def is_key(text: str) -> bool:
    """Whether a text could be a town's key, and so is no path."""
    return len(text) == 32 and all(character in "0123456789abcdef" for character in text)


def keep_town(key: str, body: bytes, folder: Path | None = None) -> None:
    """Write a mesh, whole or not at all.

    Raises:
        OSError: The folder can't be written to.
    """
    place = towns_folder(folder)
    place.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(prefix=".draft-", dir=place)
    with os.fdopen(descriptor, "wb") as file:
        file.write(body)
    os.replace(draft, place / key)


def town_boxes(world: carla.World) -> NDArray[np.int32]:
    """What stands in a world.

    Returns:
        `int32 (n, 8)`: number of the label, x, y, z of the centre, half sizes along x, y, z (cm), yaw (hundredths of a
        degree).
    """
    rows: list[tuple[float, ...]] = []
    for number, name in enumerate(LABELS):
        label = getattr(carla.CityObjectLabel, name)
        for box in world.get_level_bbs(label):
            place, size = box.location, box.extent
            figures = (place.x, place.y, place.z, size.x, size.y, size.z, box.rotation.yaw)
            rows.append((number, *(100.0 * figure for figure in figures)))
        if len(rows) > _MOST_BOXES:
            del rows[_MOST_BOXES:]
            break
    table = np.array(rows, np.float64).reshape(-1, 8)
    table[~np.isfinite(table)] = 0.0
    return table.round().clip(-(2**31), 2**31 - 1).astype(np.int32)


def crosswalks(carla_map: carla.Map) -> list[NDArray[np.float64]]:
    """The corners of every crosswalk, `float64 (n, 3)` each, without the first one repeated at the end."""
    found: list[NDArray[np.float64]] = []
    corners: list[tuple[float, float, float]] = []
    for point in carla_map.get_crosswalks():
        corner = (point.x, point.y, point.z)
        if corners and corner == corners[0]:
            found.append(np.array(corners))
            corners = []
        else:
            corners.append(corner)
    return found


def pack_town(
    name: str, lanes: SampledLanes, crossings: Sequence[NDArray[np.float64]], boxes: NDArray[np.int32]
) -> bytes:
    """The message of a town.

    Args:
        name: Of the town.
        lanes: All of its lanes.
        crossings: Corners of the crosswalks.
        boxes: As of `town_boxes`.
    """
    strips = list(_strips(lanes))
    markings = list(_markings(lanes))
    head = {
        "town": name,
        "unit": _UNIT,
        "surfaces": SURFACES,
        "labels": LABELS,
        "crossings": [np.round(corners, 2).ravel().tolist() for corners in crossings],
    }
    return pack(
        Kind.TOWN,
        head,
        np.array([kind for kind, _ in strips], np.uint8),
        *_as_differences([points for _, points in strips], 6),
        np.array([kind for kind, _ in markings], np.uint8).reshape(-1, 2),
        *_as_differences([points for _, points in markings], 3),
        boxes,
    )


def _as_differences(lines: Sequence[NDArray[np.float64]], width: int) -> tuple[NDArray[np.generic], ...]:
    """Lines as counts of points, their first points (int32) and differences between points (int16), in `_UNIT`s."""
    counts = np.array([len(line) for line in lines], np.uint32)
    whole = [np.round(line / _UNIT).astype(np.int32) for line in lines]
    starts = np.array([line[0] for line in whole], np.int32).reshape(-1, width)
    steps = [np.diff(line, axis=0) for line in whole]
    differences = np.concatenate(steps) if steps else np.zeros((0, width))
    return counts, starts, differences.clip(-(2**15), 2**15 - 1).astype(np.int16)


def _strips(lanes: SampledLanes) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """(surface, left and right edge `float64 (n, 6)`) of all lanes, those beneath others first."""
    runs = [run for begin, end in pairwise(lanes.starts) if len(run := lanes.driving[begin:end]) > 1]
    for run in runs:
        if run["junction"].all():
            yield SURFACES["apron"], _thinned(np.hstack(_edges(run, run["width"] + 2.0 * _APRON)))
    yield from _side_strips(lanes.beside)
    for run in runs:
        widened = run["width"] + 2.0 * _MARGIN * run["junction"]
        yield SURFACES["driving"], _thinned(np.hstack(_edges(run, widened)))


def _side_strips(beside: NDArray[np.void]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    if not len(beside):
        return
    order = np.lexsort((beside["index"], beside["depth"], beside["side"], beside["run"]))
    ordered = beside[order]
    kind = ordered["sample"]["kind"]
    broken = np.diff(ordered["index"]) != 1
    for name in ("run", "side", "depth"):
        broken |= np.diff(ordered[name]) != 0
    broken |= np.diff(kind) != 0
    bounds = np.r_[0, np.flatnonzero(broken) + 1, len(ordered)]
    for begin, end in pairwise(bounds):
        surface = _SURFACE_OF_LANE.get(int(kind[begin]))
        if surface is not None and end - begin > 1:
            run = ordered["sample"][begin:end]
            yield SURFACES[surface], _thinned(np.hstack(_edges(run, run["width"])))


def _edges(run: NDArray[np.void], width: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Left and right edge of a lane, `float64 (n, 3)` each."""
    middle = np.stack([run["x"], run["y"], run["z"]], axis=1).astype(np.float64)
    aside = np.zeros_like(middle)
    yaw, half = run["yaw"].astype(np.float64), width.astype(np.float64) / 2.0
    aside[:, 0], aside[:, 1] = -np.sin(yaw) * half, np.cos(yaw) * half
    return middle - aside, middle + aside


def _thinned(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The line without points that lie where the line would be without them (Douglas and Peucker's way)."""
    kept = np.zeros(len(points), bool)
    kept[[0, -1]] = True
    stretches = [(0, len(points) - 1)]
    while stretches:
        first, last = stretches.pop()
        if last - first < 2:
            continue
        share = np.linspace(0.0, 1.0, last - first + 1)[1:-1, None]
        straight = points[first] + share * (points[last] - points[first])
        off = np.abs(points[first + 1 : last] - straight).max(axis=1)
        worst = int(off.argmax())
        long = np.abs(points[last, :2] - points[first, :2]).max() > _LONGEST
        if off[worst] > _TOLERANCE or long:
            middle = first + 1 + worst if off[worst] > _TOLERANCE else (first + last) // 2
            kept[middle] = True
            stretches += [(first, middle), (middle, last)]
    return points[kept]


def _markings(lanes: SampledLanes) -> Iterator[tuple[tuple[int, int], NDArray[np.float64]]]:
    """((form, `carla.LaneMarkingColor`), `float64 (n, 3)`) of the lines between lanes, each line once."""
    seen: set[tuple[int, int, int]] = set()
    for begin, end in pairwise(lanes.starts):
        run = lanes.driving[begin:end]
        if len(run) < 2:
            continue
        left, right = _edges(run, run["width"])
        for side, points in (("left", left), ("right", right)):
            yield from _pieces(run, side, points, seen)


def _pieces(
    run: NDArray[np.void], side: str, points: NDArray[np.float64], seen: set[tuple[int, int, int]]
) -> Iterator[tuple[tuple[int, int], NDArray[np.float64]]]:
    """The pieces of one marking in which nothing changes. Two lanes share the line between them: it is taken once."""
    marking, colour = run[f"{side}_type"], run[f"{side}_color"]
    changes = (np.diff(marking) != 0) | (np.diff(colour) != 0) | (np.diff(run["section"]) != 0)
    changes |= np.diff(run["junction"]) != 0
    bounds = np.r_[0, np.flatnonzero(changes) + 1, len(run)]
    found: set[tuple[int, int, int]] = set()
    for begin, end in pairwise(bounds):
        sample = run[begin]
        outwards = abs(int(sample["lane"])) - (side == "left")
        boundary = outwards if sample["lane"] > 0 else -outwards
        key = int(sample["road"]), int(sample["section"]), boundary
        if sample["junction"] or int(marking[begin]) in _UNSEEN or key in seen:
            continue
        found.add(key)
        piece = points[begin : min(end + 1, len(run))]
        if len(piece) > 1:
            yield (_form(int(marking[begin])), int(colour[begin])), _thinned(piece)
    seen |= found


def _form(marking: int) -> int:
    if marking in _BROKEN:
        return _BROKEN_MARKING
    return _DOUBLE_MARKING if marking in _DOUBLE else _SOLID_MARKING
