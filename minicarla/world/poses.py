"""Rotations and poses in Unreal's left-handed frame, compiled for use over rows of the state arrays.

Roll, pitch and yaw are radians with CARLA's signs: positive yaw turns right, positive pitch lifts the nose,
positive roll lowers the right side. Matrices are row-major 9-vectors whose columns are forward, right and up.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from minicarla.physics.kernels import Record, bare_entry, kernel
from minicarla.physics.obstacles import ObstacleGrid
from minicarla.physics.rigid_body import angles_from_rotation, rotation_from_angles
from minicarla.physics.state import PROP_KIND, VEHICLE_KIND, WALKER_KIND, Floats, Rows
from minicarla.world.actors import FIXTURE_KIND, SPRING_ARM

Pose = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Location x, y, z in metres and rotation pitch, yaw, roll in degrees, as CARLA writes them."""

SPRING_ARM_RATE = 8.0
"""1/s at which the heading of a spring arm follows its parent (Unreal's camera rotation lag speed)."""
SPRING_ARM_HEIGHT = 0.3
"""m above its parent's origin at which a spring arm begins that is not a ghost (CARLA's offset)."""

ATTACHMENT = np.dtype(
    [
        ("child_kind", np.int32),
        ("child_row", np.int32),
        ("parent_kind", np.int32),
        ("parent_row", np.int32),
        ("x", np.float64),
        ("y", np.float64),
        ("z", np.float64),
        ("roll", np.float64),
        ("pitch", np.float64),
        ("yaw", np.float64),
        ("type", np.int32),
    ],
    align=True,
)
"""One attached actor: rows of child and parent, and the child's pose relative to the parent."""


@bare_entry
def write_rotation(roll: float, pitch: float, yaw: float, matrix: NDArray[np.float64]) -> None:
    """`rotation_from_angles` for Python and for the kernels of this module."""
    rotation_from_angles(roll, pitch, yaw, matrix)


@bare_entry
def angles_of(matrix: NDArray[np.float64]) -> tuple[float, float, float]:
    """`angles_from_rotation` for Python and for the kernels of this module."""
    return angles_from_rotation(matrix)


@bare_entry
def multiply(a: NDArray[np.float64], b: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Product of two rotation matrices."""
    for i in range(3):
        for j in range(3):
            out[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j]


@kernel
def _turn_towards(angle: float, goal: float, share: float) -> float:
    difference = (goal - angle + math.pi) % (2.0 * math.pi) - math.pi
    return angle + share * difference


@kernel
def _aim_arm(child: Record, link: Record, parent_yaw: float, share: float, frame: NDArray[np.float64]) -> float:
    """Turn `frame`, the parent's rotation, into that of a spring arm; returns the arm's length.

    As in Unreal, the arm points from its child's place to the parent, and its child turns with it: a camera on an arm
    looks at its parent before its own rotation. The arm keeps its pitch and does not roll, whatever the parent does.
    """
    level = math.hypot(link.x, link.y)
    goal = parent_yaw
    if level > 1e-6:
        goal = math.atan2(
            -(frame[3] * link.x + frame[4] * link.y + frame[5] * link.z),
            -(frame[0] * link.x + frame[1] * link.y + frame[2] * link.z),
        )
    child.arm_yaw = _turn_towards(child.arm_yaw, goal, share) if child.arm_ready else goal
    child.arm_ready = 1
    write_rotation(0.0, math.atan2(-link.z, level), child.arm_yaw, frame)
    return math.hypot(level, link.z)


@bare_entry
def follow_parents(
    attachments: Rows, vehicles: Rows, walkers: Rows, props: Rows, fixtures: Rows, scratch: Floats, dt: float
) -> None:
    """Move every attached actor to its parent; parents come before their children.

    A rigid child takes the parent's whole pose. A spring arm, see `_aim_arm`, only takes its heading, which it follows
    with a lag, so that a chasing camera neither rolls nor pitches with the vehicle.

    Args:
        attachments: Array of `ATTACHMENT`.
        vehicles, walkers, props, fixtures: State arrays that the rows refer to.
        scratch: (3, 9).
        dt: Seconds since the last call.
    """
    frame, child_rotation, rotation = scratch[0], scratch[1], scratch[2]
    share = 1.0 - math.exp(-SPRING_ARM_RATE * dt)
    for i in range(len(attachments)):
        link = attachments[i]
        row = link.parent_row
        wx, wy, wz = 0.0, 0.0, 0.0
        if link.parent_kind == VEHICLE_KIND:
            x, y, z = vehicles[row].x, vehicles[row].y, vehicles[row].z
            roll, pitch, yaw = vehicles[row].roll, vehicles[row].pitch, vehicles[row].yaw
            vx, vy, vz = vehicles[row].vx, vehicles[row].vy, vehicles[row].vz
            wx, wy, wz = vehicles[row].wx, vehicles[row].wy, vehicles[row].wz
        elif link.parent_kind == WALKER_KIND:
            x, y, z = walkers[row].x, walkers[row].y, walkers[row].z
            roll, pitch, yaw = walkers[row].roll, walkers[row].pitch, walkers[row].yaw
            vx, vy, vz = walkers[row].vx, walkers[row].vy, walkers[row].vz
        elif link.parent_kind == PROP_KIND:
            x, y, z = props[row].x, props[row].y, props[row].z
            roll, pitch, yaw = props[row].roll, props[row].pitch, props[row].yaw
            vx, vy, vz = props[row].vx, props[row].vy, props[row].vz
        else:
            x, y, z = fixtures[row].x, fixtures[row].y, fixtures[row].z
            roll, pitch, yaw = fixtures[row].roll, fixtures[row].pitch, fixtures[row].yaw
            vx, vy, vz = fixtures[row].vx, fixtures[row].vy, fixtures[row].vz
        write_rotation(roll, pitch, yaw, frame)
        place_x, place_y, place_z = link.x, link.y, link.z
        if link.type >= SPRING_ARM and link.child_kind == FIXTURE_KIND:
            place_x, place_y, place_z = -_aim_arm(fixtures[link.child_row], link, yaw, share, frame), 0.0, 0.0
            if link.type == SPRING_ARM:
                z += SPRING_ARM_HEIGHT
        write_rotation(link.roll, link.pitch, link.yaw, child_rotation)
        multiply(frame, child_rotation, rotation)
        roll, pitch, yaw = angles_of(rotation)
        dx = frame[0] * place_x + frame[1] * place_y + frame[2] * place_z
        dy = frame[3] * place_x + frame[4] * place_y + frame[5] * place_z
        dz = frame[6] * place_x + frame[7] * place_y + frame[8] * place_z
        vx += wy * dz - wz * dy
        vy += wz * dx - wx * dz
        vz += wx * dy - wy * dx
        x, y, z = x + dx, y + dy, z + dz
        row = link.child_row
        if link.child_kind == VEHICLE_KIND:
            vehicles[row].x, vehicles[row].y, vehicles[row].z = x, y, z
            vehicles[row].roll, vehicles[row].pitch, vehicles[row].yaw = roll, pitch, yaw
        elif link.child_kind == WALKER_KIND:
            walkers[row].x, walkers[row].y, walkers[row].z = x, y, z
            walkers[row].roll, walkers[row].pitch, walkers[row].yaw = roll, pitch, yaw
        elif link.child_kind == PROP_KIND:
            props[row].x, props[row].y, props[row].z = x, y, z
            props[row].roll, props[row].pitch, props[row].yaw = roll, pitch, yaw
        else:
            fixtures[row].x, fixtures[row].y, fixtures[row].z = x, y, z
            fixtures[row].roll, fixtures[row].pitch, fixtures[row].yaw = roll, pitch, yaw
            fixtures[row].vx, fixtures[row].vy, fixtures[row].vz = vx, vy, vz


@kernel
def _bounds_overlap(
    ax: float, ay: float, ayaw: float, aex: float, aey: float,
    bx: float, by: float, byaw: float, bex: float, bey: float,
) -> bool:  # fmt: skip
    """Whether two rectangles overlap (separating axes)."""
    dx, dy = bx - ax, by - ay
    reach = math.hypot(aex, aey) + math.hypot(bex, bey)
    if dx * dx + dy * dy > reach * reach:
        return False
    ca, sa = math.cos(ayaw), math.sin(ayaw)
    cb, sb = math.cos(byaw), math.sin(byaw)
    c, s = abs(ca * cb + sa * sb), abs(ca * sb - sa * cb)
    if abs(dx * ca + dy * sa) > aex + bex * c + bey * s:
        return False
    if abs(-dx * sa + dy * ca) > aey + bex * s + bey * c:
        return False
    if abs(dx * cb + dy * sb) > bex + aex * c + aey * s:
        return False
    return abs(-dx * sb + dy * cb) <= bey + aex * s + aey * c


@bare_entry
def first_overlap(
    rows: Rows, x: float, y: float, z: float, yaw: float, ex: float, ey: float, ez: float, skip: int
) -> int:
    """Row of the first body that an upright box (centre, heading, half sizes) touches, -1 for none.

    Args:
        rows: State array of vehicles, walkers or props.
        x, y, z: Centre of the box in metres.
        yaw: Heading of the box in radians.
        ex, ey, ez: Half sizes in metres.
        skip: Row that does not count, -1 for none.
    """
    for i in range(len(rows)):
        if i == skip or rows[i].collisions == 0:
            continue
        reach = ex + ey + abs(rows[i].box_x) + abs(rows[i].box_y) + rows[i].extent_x + rows[i].extent_y
        if abs(rows[i].x - x) > reach or abs(rows[i].y - y) > reach:
            continue  # as nearly all, for which this costs a fraction of what follows
        c, s = math.cos(rows[i].yaw), math.sin(rows[i].yaw)
        bx = rows[i].x + c * rows[i].box_x - s * rows[i].box_y
        by = rows[i].y + s * rows[i].box_x + c * rows[i].box_y
        bz = rows[i].z + rows[i].box_z
        if abs(bz - z) < ez + rows[i].extent_z and _bounds_overlap(
            x, y, yaw, ex, ey, bx, by, rows[i].yaw, rows[i].extent_x, rows[i].extent_y
        ):
            return i
    return -1


@bare_entry
def first_obstacle(
    obstacles: Rows, grid: ObstacleGrid, x: float, y: float, z: float, yaw: float, ex: float, ey: float, ez: float
) -> int:
    """Row of the first static obstacle that an upright box touches, -1 for none."""
    reach = math.hypot(ex, ey)
    if grid.columns == 0 or grid.rows == 0:
        return -1
    low_column = max(0, math.floor((x - reach - grid.origin_x) / grid.cell))
    high_column = min(grid.columns - 1, math.floor((x + reach - grid.origin_x) / grid.cell))
    low_row = max(0, math.floor((y - reach - grid.origin_y) / grid.cell))
    high_row = min(grid.rows - 1, math.floor((y + reach - grid.origin_y) / grid.cell))
    for row in range(low_row, high_row + 1):
        for column in range(low_column, high_column + 1):
            cell = row * grid.columns + column
            for k in range(grid.starts[cell], grid.starts[cell + 1]):
                o = obstacles[grid.items[k]]
                if abs(o.z - z) < ez + o.extent_z and _bounds_overlap(
                    x, y, yaw, ex, ey, o.x, o.y, o.yaw, o.extent_x, o.extent_y
                ):
                    return grid.items[k]
    return -1
