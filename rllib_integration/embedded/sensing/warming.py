"""Compiles the sensors' kernels ahead of the first sensor, on a machine that has not compiled them yet.

The kernels of cameras take some ten seconds to compile, once. A client that spawns a camera would wait for them, and
many do not wait that long; so a server on a machine without compiled kernels begins at once, in the background.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np

from .view import Mount, View

logger = logging.getLogger(__name__)

_MARKER = "sensors-compiled"


def warm_up_in_background(view: View) -> threading.Thread | None:
    """Compile the kernels for the kind of arrays that `view` holds, unless that has been done before.

    Returns:
        The thread that compiles, which ends with the process; None where nothing is to be done, or where there is no
        cache that would remember it.
    """
    import numba

    folder = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    if not folder or (Path(folder) / _MARKER).exists():
        return None
    thread = threading.Thread(target=_compile, args=(view, Path(folder)), name="sensor-kernels", daemon=True)
    thread.start()
    return thread


def _compile(view: View, folder: Path) -> None:
    """Use every kernel once, on objects that no other thread sees."""
    from . import cameras, dvs, rays, shading
    from .actors import MovingBoxes
    from .renderer import Renderer

    place = np.array([view.town.spawn_points[0][i] for i in range(3)]) if len(view.town.spawn_points) else np.zeros(3)
    mount = Mount(place + (0.0, 0.0, 2.0), np.eye(3), np.zeros(3), -1, -1, 0)
    bounds = rays.tile_bounds(view.town.surface.height)
    boxes = MovingBoxes().of(view)
    rays.cast_rays(
        mount.position, np.eye(3), 50.0, view.town.surface, bounds, view.town.obstacles, view.town.obstacle_grid, boxes
    )
    rays.fan(np.zeros(1), np.zeros(1), np.eye(3), np.zeros((1, 3)), np.zeros((1, 3)))
    renderer = Renderer(view.town)
    size = {"image_size_x": "16", "image_size_y": "16"}
    for kind in (cameras.RgbCamera, cameras.DepthCamera, cameras.InstanceCamera, cameras.NormalsCamera):
        kind(size).draw(renderer, view, mount)
    flow = cameras.OpticalFlowCamera(size)
    for _ in range(2):
        flow.flow(renderer, view, mount)
    shading.draw_rain(np.zeros((1, 3)), 1.0, 0.1, np.zeros((16, 16, 4), np.uint8))
    dvs.compile_kernels()
    try:
        (folder / _MARKER).touch()
    except OSError as error:
        logger.warning("the sensors' kernels are compiled, but %s cannot remember it: %s", folder, error)
