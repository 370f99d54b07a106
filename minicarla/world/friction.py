"""Friction triggers: boxes in which tyres grip otherwise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicarla.physics.kernels import bare_entry

NO_OVERRIDE = -1.0

TRIGGER = np.dtype(
    [
        ("x", np.float64),
        ("y", np.float64),
        ("z", np.float64),
        ("yaw", np.float64),
        ("extent_x", np.float64),
        ("extent_y", np.float64),
        ("extent_z", np.float64),
        ("friction", np.float64),
    ],
    align=True,
)
"""Centre and half sizes in metres, heading in radians, CARLA's tire_friction inside."""


@bare_entry
def apply_friction(triggers: NDArray[np.void], vehicles: NDArray[np.void]) -> None:
    """Set `friction_override` of every vehicle: that of the last trigger that holds its origin, or none."""
    for i in range(len(vehicles)):
        vehicles[i].friction_override = NO_OVERRIDE
        for k in range(len(triggers)):
            t = triggers[k]
            dx, dy = vehicles[i].x - t.x, vehicles[i].y - t.y
            c, s = np.cos(t.yaw), np.sin(t.yaw)
            if (
                abs(dx * c + dy * s) <= t.extent_x
                and abs(dy * c - dx * s) <= t.extent_y
                and abs(vehicles[i].z - t.z) <= t.extent_z
            ):
                vehicles[i].friction_override = t.friction
