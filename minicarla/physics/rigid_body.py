"""Orientation of a body: CARLA's angles, rotation matrices, and how they turn.

A rotation is stored row-major in nine numbers; its columns are the body's forward, right and up axes in the world.
The angles follow Unreal's FRotator: yaw from x to y, pitch lifts the nose, roll lowers the right side.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from minicarla.physics.kernels import inlined, kernel


@kernel
def rotation_from_angles(roll: float, pitch: float, yaw: float, out: NDArray[np.float64]) -> None:
    """Writes the rotation matrix of three angles (radians) into `out`, shape (9,)."""
    cos_r, sin_r = math.cos(roll), math.sin(roll)
    cos_p, sin_p = math.cos(pitch), math.sin(pitch)
    cos_y, sin_y = math.cos(yaw), math.sin(yaw)
    out[0] = cos_p * cos_y
    out[1] = sin_r * sin_p * cos_y - cos_r * sin_y
    out[2] = -(cos_r * sin_p * cos_y + sin_r * sin_y)
    out[3] = cos_p * sin_y
    out[4] = sin_r * sin_p * sin_y + cos_r * cos_y
    out[5] = cos_y * sin_r - cos_r * sin_p * sin_y
    out[6] = sin_p
    out[7] = -sin_r * cos_p
    out[8] = cos_r * cos_p


@kernel
def angles_from_rotation(rotation: NDArray[np.float64]) -> tuple[float, float, float]:
    """Roll, pitch and yaw (radians) of a rotation matrix of shape (9,)."""
    pitch = math.asin(min(max(rotation[6], -1.0), 1.0))
    if abs(rotation[6]) > 0.999999:
        # Looking straight up or down, roll and yaw turn about the same axis: all of it is called yaw.
        return 0.0, pitch, math.atan2(-rotation[1], rotation[4])
    return math.atan2(-rotation[7], rotation[8]), pitch, math.atan2(rotation[3], rotation[0])


@inlined
def turn(rotation: NDArray[np.float64], wx: float, wy: float, wz: float, h: float) -> None:
    """Turns a rotation by the angular velocity (world frame, rad/s) over `h` seconds, exactly."""
    rate = math.sqrt(wx * wx + wy * wy + wz * wz)
    angle = rate * h
    if angle < 1e-12:
        return
    # Rodrigues' formula; for small angles by its series, which is as exact and needs no trigonometry.
    if angle < 0.05:
        square = angle * angle
        a = h * (1.0 - square / 6.0 * (1.0 - square / 20.0))
        b = h * h * (0.5 - square / 24.0 * (1.0 - square / 30.0))
    else:
        a = math.sin(angle) / rate
        b = (1.0 - math.cos(angle)) / (rate * rate)
    for column in range(3):
        x, y, z = rotation[column], rotation[column + 3], rotation[column + 6]
        # once and twice the cross product with the angular velocity
        x1, y1, z1 = wy * z - wz * y, wz * x - wx * z, wx * y - wy * x
        rotation[column] = x + a * x1 + b * (wy * z1 - wz * y1)
        rotation[column + 3] = y + a * y1 + b * (wz * x1 - wx * z1)
        rotation[column + 6] = z + a * z1 + b * (wx * y1 - wy * x1)
