"""Sorts the triangles of a town by place, so that cameras find those they may see without looking at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicarla.town.town import Scenery

CHUNK = 32.0
"""[m] Side of a chunk of scenery."""


def sort_into_chunks(scenery: Scenery) -> Scenery:
    """The same scenery in the order that `Scenery.chunk` and `Scenery.reach` describe, road markings last."""
    marking = np.zeros(len(scenery.triangles), bool)
    marking[scenery.marking_start : scenery.marking_stop] = True
    solid = np.flatnonzero(~marking)
    corners = scenery.vertices[scenery.triangles[solid]]
    reach = _reach(corners, scenery.object_id[solid])
    cell = np.floor(corners.mean(axis=1)[:, :2] / CHUNK).astype(np.int64)
    cell -= cell.min(axis=0, initial=0)
    # Ground and what stands on it are chunks of their own: flat ground is soon hidden by houses.
    key = 2 * (cell[:, 0] * (cell[:, 1].max(initial=0) + 1) + cell[:, 1]) + (scenery.object_id[solid] == 0)
    by_place = np.lexsort((-reach, key))
    key, reach = key[by_place], reach[by_place]
    chunk = np.cumsum(np.concatenate([np.zeros(min(len(key), 1), np.int64), np.diff(key) != 0]))
    order = np.concatenate([solid[by_place], np.flatnonzero(marking)])
    last = int(chunk[-1]) + 1 if len(chunk) else 0
    chunk = np.concatenate([chunk, np.full(len(order) - len(chunk), last)])
    vertices, triangles = _sort_vertices(scenery.vertices, scenery.triangles[order], chunk)
    return Scenery(
        vertices=vertices,
        triangles=triangles,
        label=scenery.label[order],
        colour=scenery.colour[order],
        object_id=scenery.object_id[order],
        marking_start=len(solid),
        marking_stop=len(order),
        chunk=chunk.astype(np.int32),
        reach=np.concatenate([reach, np.zeros(len(order) - len(reach))]).astype(np.float32),
    )


def _sort_vertices(
    vertices: NDArray[np.float32], triangles: NDArray[np.int32], chunk: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Bring vertices into the order of their first use; one that two chunks use becomes two."""
    pair = (chunk[:, None] * len(vertices) + triangles).ravel()
    unique, first_use, inverse = np.unique(pair, return_index=True, return_inverse=True)
    by_use = np.argsort(first_use, kind="stable")
    rank = np.empty(len(unique), np.int32)
    rank[by_use] = np.arange(len(unique), dtype=np.int32)
    return vertices[unique[by_use] % len(vertices)], rank[inverse.reshape(-1)].reshape(-1, 3)


def _reach(corners: NDArray[np.float32], object_id: NDArray[np.uint32]) -> NDArray[np.float64]:
    """[m] Size by which a triangle is kept or left out far away: its longest edge, or a part of its object's size."""
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    low, high = corners.min(axis=1), corners.max(axis=1)
    objects, owner = np.unique(object_id, return_inverse=True)
    owner = owner.reshape(-1)
    lowest, highest = np.full((len(objects), 3), np.inf), np.full((len(objects), 3), -np.inf)
    np.minimum.at(lowest, owner, low)
    np.maximum.at(highest, owner, high)
    # A pole is seen by its thickness, a house by its size: the middle one of the three sides tells them apart.
    sides = np.sort(highest - lowest, axis=1)
    size = np.where(objects > 0, 0.5 * (sides[:, 1] + 0.1 * sides[:, 2]), 0.0)
    return np.asarray(np.where(object_id > 0, np.maximum(size[owner], 0.15 * edges), edges), np.float64)
