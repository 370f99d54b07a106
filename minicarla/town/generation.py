"""Worlds of a bare OpenDRIVE text, as `carla.OpendriveGenerationParameters` ask for them: walls, wider junctions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minicarla.kernels.cache import njit
from minicarla.labels import TERRAIN
from minicarla.physics.ground import Surface, ground_at
from minicarla.town.lanes import DRIVABLE, MEDIAN, SIDEWALK, Array, LaneTable
from minicarla.town.sources import TownError
from minicarla.town.stretches import straight_stretches
from minicarla.town.surface import KERB

WALL_GAP = 0.3
"""[m] From the edge of the road to a wall: on lanes of 3.5 m the widest vehicle just fits."""

WALL_THICKNESS = 0.2

_LIMITS = {"wall_height": 100.0, "additional_width": 10.0}
_STEPS = (0.5, 10.0)
"""[m] Distances between vertices; others are taken for the nearest one."""

_BESIDE = 0.9
"""[m] Where it is looked whether the road goes on beside its edge: more than a cell of the ground."""

_LONGEST = 500.0
"""[m] Longer pieces of wall are cut: looking for the ends of a piece takes time with the square of its length."""

_TOLERANCE = 0.04
"""[m] How far a wall may leave the edge between its ends."""


@dataclass(frozen=True)
class GenerationParameters:
    """How a world is made of an OpenDRIVE text; names and defaults are CARLA's.

    Attributes:
        vertex_distance: [m] between the points in which lanes and walls are sampled (curves: half of it).
        max_road_length: [m] greatest length of one piece of wall, at most 500.
        wall_height: [m] of the walls at both edges of all roads outside junctions; 0 for none.
        additional_width: [m] by which driving lanes in junctions are wider, on either side.
        smooth_junctions: accepted for CARLA's sake; heights in junctions are always smooth.
        enable_mesh_visibility: whether cameras see ground and walls.
        enable_pedestrian_navigation: whether there is a navigation mesh.

    Raises:
        TownError: a number is out of range.
    """

    vertex_distance: float = 2.0
    max_road_length: float = 50.0
    wall_height: float = 1.0
    additional_width: float = 0.6
    smooth_junctions: bool = True
    enable_mesh_visibility: bool = True
    enable_pedestrian_navigation: bool = True

    def __post_init__(self) -> None:
        for name in ("vertex_distance", "max_road_length"):
            if not getattr(self, name) > 0.0:
                raise TownError(f"{name} is {getattr(self, name):g} m, allowed is more than 0 m.")
        for name, most in _LIMITS.items():
            if not 0.0 <= getattr(self, name) <= most:
                raise TownError(f"{name} is {getattr(self, name):g} m, allowed are 0 to {most:g} m.")

    @property
    def step(self) -> float:
        """[m] Greatest distance between stations of a lane."""
        return min(max(self.vertex_distance, _STEPS[0]), _STEPS[1])


def widened(lanes: LaneTable, metres: float) -> LaneTable:
    """The lanes, those for driving in junctions wider on either side."""
    rows = np.isin(lanes.type, DRIVABLE) & (lanes.junction >= 0)
    across = lanes.outer - lanes.inner
    length = np.linalg.norm(across, axis=1, keepdims=True)
    move = np.divide(metres * across, length, out=np.zeros_like(across), where=length > 0.1)
    move[~rows[lanes.lane]] = 0.0
    return dataclasses.replace(lanes, inner=lanes.inner - move, outer=lanes.outer + move)


def walls(
    lanes: LaneTable, edges: list[tuple[int, Array, Array]], surface: Surface, longest: float
) -> NDArray[np.float64]:
    """Where walls stand: outside of junctions, and not where another road lies beside.

    Args:
        lanes: the lanes of the town.
        edges: outer edges of the roads: row of the lane, points (n, 3) [m], unit vectors outward (n, 2).
        surface: the ground.
        longest: [m] greatest length of a piece.

    Returns:
        float64 (m, 2, 3) [m]: the feet of both ends of every piece.
    """
    edges = [edge for edge in edges if lanes.junction[edge[0]] < 0]
    if not edges:
        return np.zeros((0, 2, 3))
    sizes = [len(points) for _, points, _ in edges]
    points, outward = (np.concatenate([edge[k] for edge in edges]) for k in (1, 2))
    owner = np.repeat(np.arange(len(edges)), sizes)
    outer = is_outer(surface, points, points[:, :2] + _BESIDE * outward)
    feet = points.copy()
    feet[:, :2] += (WALL_GAP + 0.5 * WALL_THICKNESS) * outward
    feet[:, 2] += np.repeat([_raised(int(lanes.type[row])) for row, *_ in edges], sizes)
    # A run ends with its edge, and where points between do not belong to it.
    run = np.cumsum(np.concatenate([[False], (np.diff(owner) != 0) | ~outer[:-1]]))[outer].astype(np.int32)
    feet = np.ascontiguousarray(feet[outer])
    first, last = straight_stretches(run, feet, feet, _TOLERANCE, min(longest, _LONGEST))
    return np.stack([feet[first], feet[last]], axis=1)


def _raised(kind: int) -> float:
    return KERB if kind in (SIDEWALK, MEDIAN) else 0.0


@njit()
def is_outer(surface, points, beside):  # type: ignore[no-untyped-def]
    """Whether points (n, 3) are at the outer edge of all that is paved: places (n, 2) beside them are terrain, or on
    another level."""
    out = np.empty(len(points), np.bool_)
    for i in range(len(points)):
        z = points[i, 2]
        height, _, _, _, label = ground_at(surface, beside[i, 0], beside[i, 1], z + 0.3)
        out[i] = label == TERRAIN or not abs(height - z) < 0.5
    return out
