"""Casts a sensor's rays into a view, and keeps what of the town can be prepared once."""

from __future__ import annotations

import weakref

import numpy as np
from numpy.typing import NDArray

from minicarla.sensing.actors import moving_boxes
from minicarla.sensing.rays import Hits, cast_rays, tile_bounds
from minicarla.sensing.view import Mount, View, VisibleTown


class _TileBounds:
    """`tile_bounds` of the last few towns' grounds."""

    def __init__(self) -> None:
        self._known: list[tuple[weakref.ref[VisibleTown], NDArray[np.float32]]] = []

    def of(self, town: VisibleTown) -> NDArray[np.float32]:
        self._known = [(known, bounds) for known, bounds in self._known if known() is not None]
        for known, bounds in self._known:
            if known() is town:
                return bounds
        bounds = tile_bounds(town.surface.height)
        self._known.append((weakref.ref(town), bounds))
        return bounds


_tile_bounds = _TileBounds()


def cast_from(
    view: View,
    mount: Mount,
    directions: NDArray[np.float64],
    limit: float,
    *,
    see_parent: bool,
    inflate: float = 0.0,
    see_ground: bool = True,
    see_static: bool = True,
    ignored: frozenset[int] = frozenset(),
) -> tuple[Hits, NDArray[np.void]]:
    """Cast rays from a sensor.

    Args:
        view: the world.
        mount: where the rays begin.
        directions: float64 (n, 3), unit vectors in the world.
        limit: [m] range.
        see_parent: whether the parent itself can be met.
        inflate: [m] radius of the ball that is swept along each ray.
        see_ground, see_static: whether the ground and the town's boxes count.
        ignored: ids of actors through which the rays pass.

    Returns:
        The hits, and the moving boxes that `Hits.target` refers to.
    """
    town = view.town
    boxes = moving_boxes(view)
    if ignored:
        boxes = boxes[~np.isin(boxes["actor_id"], list(ignored))]
    hits = cast_rays(
        mount.position,
        directions,
        limit,
        town.surface,
        _tile_bounds.of(town),
        town.ray_targets.boxes,
        town.ray_targets.grid,
        boxes,
        (-1, -1) if see_parent else (mount.kind, mount.row),
        inflate,
        see_ground,
        see_static,
    )
    return hits, boxes
