"""One tick of all pedestrians: they choose ways, look, and take a step."""

from __future__ import annotations

import math

import numpy as np

from minicarla.physics.ground import Surface, ground_at
from minicarla.physics.kernels import Record, entry, kernel
from minicarla.physics.state import Floats, Integers, Rows
from minicarla.town.detour import SIDEWALK_AREA
from minicarla.town.walk_mesh import WalkMesh
from minicarla.world.pedestrians.pedestrian import draw, draw_place, edge_to, outside
from minicarla.world.pedestrians.perception import avoid, is_free, is_held_up
from minicarla.world.pedestrians.ways import Search, find_way

_NO_WAY = -1
_PATIENCE = 60.0  # [s] before a road, after which it goes elsewhere, as in CARLA's navigation
_PATIENCE_ON_ROAD = 10.0  # [s] before a vehicle that stands on the crossing
_ARRIVED, _KERB = 0.5, 0.5  # [m] from the goal; from the edge of the road where it stops and looks
_ACCELERATION, _TURN_RATE = 4.0, 6.0  # [m/s^2], [rad/s]
_DISPLACED = 1.0  # [m] beside where it was led
_APART, _ATTEMPTS = 1.0, 20  # [m] between two that begin; draws of a place for each


@entry
def begin(mesh: WalkMesh, pedestrians: Rows, rows: Integers, walkers: Rows, surface: Surface) -> None:
    """Put all walkers on random places of the sidewalks, apart from each other where there is room.

    Args:
        mesh, pedestrians, rows, walkers, surface: As of `walk`.
    """
    place = np.empty(3)
    for i in range(pedestrians.shape[0]):
        pedestrian, walker = pedestrians[i], walkers[rows[i]]
        for _ in range(_ATTEMPTS):
            pedestrian.polygon = draw_place(mesh, pedestrian, place)
            is_apart = True
            for j in range(i):
                other = walkers[rows[j]]
                is_apart = is_apart and math.hypot(other.x - place[0], other.y - place[1]) > _APART
            if is_apart:
                break
        walker.x, walker.y, walker.z = place[0], place[1], place[2] + walker.extent_z - walker.box_z
        walker.yaw = math.pi * (2.0 * draw(pedestrian) - 1.0)
        walker.ticked, walker.stagger, walker.astray = 0, 0.0, 0.0
        walker.vx = walker.vy = walker.vz = 0.0
        _place(surface, walker, pedestrian.speed)


@entry
def walk(
    mesh: WalkMesh,
    search: Search,
    pedestrians: Rows,
    rows: Integers,
    walkers: Rows,
    vehicles: Rows,
    lights: Rows,
    surface: Surface,
    dt: float,
) -> None:
    """Place all walkers for the next tick.

    Args:
        mesh: Where they walk.
        search: Work space.
        pedestrians: Rows of `PEDESTRIAN`.
        rows: int64, the row of each pedestrian's walker.
        walkers: Rows of `physics.state.WALKER`.
        vehicles: Rows of `physics.state.VEHICLE`.
        lights: Rows of `traffic_lights.LIGHT`.
        surface: The ground.
        dt: Length of the tick [s].
    """
    target, way = np.empty(3), np.empty(2)
    may_search = True  # one a tick: a search takes longer than all else
    for i in range(pedestrians.shape[0]):
        pedestrian, walker = pedestrians[i], walkers[rows[i]]
        if walker.stagger > 0.0 or walker.astray > 0.0:
            continue  # it was knocked over
        if abs(walker.x - walker.guide_x) + abs(walker.y - walker.guide_y) > _DISPLACED:
            walker.x, walker.y = walker.guide_x, walker.guide_y
        if pedestrian.ahead_count == _NO_WAY and may_search:
            may_search = False
            goal = draw_place(mesh, pedestrian, target)
            pedestrian.goal_x, pedestrian.goal_y = target[0], target[1]
            find_way(mesh, search, walker, pedestrian, goal)
        speed = 0.0
        if pedestrian.ahead_count != _NO_WAY:
            distance = _aim(mesh, pedestrian, walker, way)
            speed = _pace(mesh, pedestrian, walkers, rows[i], vehicles, lights, way, distance)
            pedestrian.waiting = pedestrian.waiting + dt if speed == 0.0 else 0.0
            is_there = pedestrian.ahead_at == pedestrian.ahead_count and distance < _ARRIVED
            patience = _PATIENCE if mesh.area[pedestrian.polygon] == SIDEWALK_AREA else _PATIENCE_ON_ROAD
            if is_there or pedestrian.waiting > patience:
                pedestrian.ahead_count, pedestrian.waiting, pedestrian.looked = _NO_WAY, 0.0, 0
        _step(walker, way, speed, dt)
        _stay_on_mesh(mesh, pedestrian, walker)
        _place(surface, walker, pedestrian.speed)


@kernel
def _crossing_point(mesh: WalkMesh, pedestrian: Record, polygon: int, number: int) -> tuple[float, float]:
    """Where a pedestrian leaves a polygon for the one of that number ahead; behind the last one, its goal."""
    if number >= pedestrian.ahead_count:
        return pedestrian.goal_x, pedestrian.goal_y
    edge = edge_to(mesh, polygon, pedestrian.ahead[number])
    a, b = mesh.corner[polygon, edge], mesh.corner[polygon, (edge + 1) % mesh.size[polygon]]
    return a[0] + pedestrian.share * (b[0] - a[0]), a[1] + pedestrian.share * (b[1] - a[1])


@kernel
def _aim(mesh: WalkMesh, pedestrian: Record, walker: Record, way: Floats) -> float:
    """Write the direction to the next place of the way, a unit vector, into `way`; returns the distance [m]."""
    x, y = _crossing_point(mesh, pedestrian, pedestrian.polygon, pedestrian.ahead_at)
    way[0], way[1] = x - walker.x, y - walker.y
    distance = math.sqrt(way[0] * way[0] + way[1] * way[1])
    if distance < 1e-6:
        way[0], way[1] = math.cos(walker.yaw), math.sin(walker.yaw)
    else:
        way[0], way[1] = way[0] / distance, way[1] / distance
    return distance


@kernel
def _pace(
    mesh: WalkMesh,
    pedestrian: Record,
    walkers: Rows,
    row: int,
    vehicles: Rows,
    lights: Rows,
    way: Floats,
    distance: float,
) -> float:
    """The speed with which a pedestrian can walk now [m/s]; turns `way` to pass others."""
    walker, number = walkers[row], pedestrian.ahead_at
    if mesh.area[pedestrian.polygon] == SIDEWALK_AREA and number < pedestrian.ahead_count:
        crossing = pedestrian.ahead[number]
        if mesh.area[crossing] != SIDEWALK_AREA and distance < _KERB and not pedestrian.looked:
            end_x, end_y = _crossing_point(mesh, pedestrian, crossing, number + 1)
            if not is_free(walker, vehicles, lights, mesh.light[crossing], end_x, end_y):
                return 0.0
            pedestrian.looked = 1
    speed = avoid(walkers, row, way, pedestrian.speed)
    return 0.0 if is_held_up(walker, vehicles, way) else speed


@kernel
def _step(walker: Record, way: Floats, speed: float, dt: float) -> None:
    """Move a walker in a direction, which it turns to."""
    change_x, change_y = speed * way[0] - walker.vx, speed * way[1] - walker.vy
    change = math.sqrt(change_x * change_x + change_y * change_y)
    share = min(1.0, _ACCELERATION * dt / max(change, 1e-9))
    step_x, step_y = (walker.vx + share * change_x) * dt, (walker.vy + share * change_y) * dt
    if speed == 0.0 and share == 1.0:
        return
    walker.x += step_x
    walker.y += step_y
    if speed > 0.0:
        turn = (math.atan2(step_y, step_x) - walker.yaw + math.pi) % (2.0 * math.pi) - math.pi
        walker.yaw += min(max(turn, -_TURN_RATE * dt), _TURN_RATE * dt)
        walker.yaw = (walker.yaw + math.pi) % (2.0 * math.pi) - math.pi


@kernel
def _stay_on_mesh(mesh: WalkMesh, pedestrian: Record, walker: Record) -> None:
    """Enter the next polygon of the way where the walker has come to it; else keep it inside its own."""
    for _ in range(4):
        polygon, number = pedestrian.polygon, pedestrian.ahead_at
        exit_edge = -1
        if number < pedestrian.ahead_count:
            exit_edge = edge_to(mesh, polygon, pedestrian.ahead[number])
        for k in range(mesh.size[polygon]):
            beyond = outside(mesh, polygon, k, walker.x, walker.y)
            if beyond > 0.0 and k != exit_edge:
                a, b = mesh.corner[polygon, k], mesh.corner[polygon, (k + 1) % mesh.size[polygon]]
                size = max(math.hypot(b[0] - a[0], b[1] - a[1]), 1e-9)
                walker.x += beyond * (b[1] - a[1]) / size
                walker.y -= beyond * (b[0] - a[0]) / size
        if exit_edge < 0 or outside(mesh, polygon, exit_edge, walker.x, walker.y) < 0.0:
            return
        pedestrian.polygon = pedestrian.ahead[number]
        pedestrian.ahead_at += 1
        if mesh.area[pedestrian.polygon] == SIDEWALK_AREA:
            pedestrian.looked = 0


@kernel
def _place(surface: Surface, walker: Record, speed: float) -> None:
    """Put a walker on the ground, upright, as one that a navigation leads."""
    foot = walker.extent_z - walker.box_z
    height = ground_at(surface, walker.x, walker.y, walker.z - foot)[0]
    if height > -math.inf:
        walker.z = height + foot
    walker.guide_x, walker.guide_y, walker.speed = walker.x, walker.y, speed
    walker.led, walker.physics, walker.roll, walker.pitch, walker.fall, walker.fallen = 1, 0, 0.0, 0.0, 0.0, 0.0
