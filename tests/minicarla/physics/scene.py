"""Small worlds for the physics tests: some actors on a surface, ticked as the server ticks them."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path

import numpy as np

from minicarla import physics
from minicarla.physics.ground import TILE_CELLS, Surface, flat_surface
from minicarla.physics.obstacles import OBSTACLE, build_obstacle_grid
from minicarla.physics.parameters import init_vehicle
from minicarla.physics.state import CONTACT, GRAVITY, PROP, VEHICLE, WALKER
from minicarla.physics.step import step

_FACTS = Path(physics.__file__).parents[1] / "world" / "blueprints.json"
TICK = 0.05


@cache
def vehicle_facts() -> dict:
    """Size and base type of every vehicle blueprint."""
    return {f"vehicle.{name}": facts for name, facts in json.loads(_FACTS.read_text())["vehicles"].items()}


def vehicles(*blueprints: str, gap: float = 20.0) -> np.ndarray:
    """Rows of these blueprints at rest, side by side along y, facing along x."""
    rows = np.zeros(len(blueprints), VEHICLE)
    for index, blueprint in enumerate(blueprints):
        facts = vehicle_facts()[blueprint]
        row = rows[index]
        row["extent_x"], row["extent_y"], row["extent_z"] = np.array(facts["size"]) / 2.0
        row["box_x"], row["box_y"], row["box_z"] = facts.get("centre", (0.0, 0.0, row["extent_z"]))
        init_vehicle(row, blueprint, facts["base"])
        row["id"], row["y"] = index + 1, gap * index
    return rows


def sedan(count: int = 1) -> np.ndarray:
    """Rows of an ordinary car with a combustion engine."""
    return vehicles(*["vehicle.lincoln.mkz_2020"] * count)


def launch(rows: np.ndarray, speed: float | np.ndarray) -> None:
    """Lets vehicles have this speed forward at the next tick."""
    rows["target_velocity"] = 1
    rows["target_vx"], rows["target_vy"] = speed * np.cos(rows["yaw"]), speed * np.sin(rows["yaw"])


def walker(x: float, y: float = 0.0) -> np.ndarray:
    """One pedestrian standing at a place on level ground."""
    rows = np.zeros(1, WALKER)
    rows["x"], rows["y"], rows["z"] = x, y, 0.93
    rows["extent_x"] = rows["extent_y"] = 0.19
    rows["extent_z"], rows["mass"] = 0.93, 75.0
    rows["physics"] = rows["gravity"] = rows["collisions"] = 1
    return rows


def prop(x: float, y: float = 0.0, half: float = 0.3, mass: float = 20.0, movable: bool = True) -> np.ndarray:
    """One cube standing on level ground."""
    rows = np.zeros(1, PROP)
    rows["x"], rows["y"], rows["mass"], rows["physics"] = x, y, mass, movable
    rows["extent_x"] = rows["extent_y"] = rows["extent_z"] = rows["box_z"] = half
    rows["gravity"] = rows["collisions"] = 1
    return rows


def obstacle(
    x: float, y: float, half_x: float, half_y: float, low: float = 0.0, high: float = 4.0, yaw: float = 0.0
) -> np.ndarray:
    """One immovable box."""
    rows = np.zeros(1, OBSTACLE)
    rows["x"], rows["y"], rows["z"] = x, y, (low + high) / 2.0
    rows["extent_x"], rows["extent_y"], rows["extent_z"], rows["yaw"] = half_x, half_y, (high - low) / 2.0, yaw
    return rows


def slope(angle: float, across: float = 0.0, half_size: float = 400.0) -> Surface:
    """A plane that rises along x by `angle` and along y by `across`, radians."""
    flat = flat_surface(half_size)
    height = flat.height.copy()
    columns = flat.tile_first.shape[1]
    for tile in range(len(height)):
        row, column = divmod(tile, columns)
        nodes = np.arange(TILE_CELLS + 1) * flat.cell
        x = flat.origin_x + column * TILE_CELLS * flat.cell + nodes
        y = flat.origin_y + row * TILE_CELLS * flat.cell + nodes
        height[tile] = math.tan(angle) * x[None, :] + math.tan(across) * y[:, None]
    return flat._replace(height=height)


class Scene:
    """What `step` needs, and what it returned last."""

    def __init__(
        self,
        vehicle_rows: np.ndarray | None = None,
        walker_rows: np.ndarray | None = None,
        prop_rows: np.ndarray | None = None,
        obstacle_rows: np.ndarray | None = None,
        surface: Surface | None = None,
    ) -> None:
        self.vehicles = np.zeros(0, VEHICLE) if vehicle_rows is None else vehicle_rows
        self.walkers = np.zeros(0, WALKER) if walker_rows is None else walker_rows
        self.props = np.zeros(0, PROP) if prop_rows is None else prop_rows
        self.obstacles = np.zeros(0, OBSTACLE) if obstacle_rows is None else obstacle_rows
        self.grid = build_obstacle_grid(self.obstacles)
        self.surface = flat_surface(300.0) if surface is None else surface
        self._room = np.zeros(256, CONTACT)
        self.contacts = self._room[:0]

    def tick(self, ticks: int = 1, dt: float = TICK, substep: float = 0.01, max_substeps: int = 10) -> np.ndarray:
        """Advances by some ticks and returns all contacts of them."""
        seen = []
        for _ in range(ticks):
            count = step(
                self.vehicles, self.walkers, self.props, self.obstacles, self.grid, self.surface,
                self._room, dt, substep, max_substeps, GRAVITY,
            )  # fmt: skip
            self.contacts = self._room[:count]
            seen.append(self.contacts.copy())
        return np.concatenate(seen) if seen else self.contacts

    def speed(self) -> np.ndarray:
        """Horizontal speed of the vehicles, m/s."""
        return np.hypot(self.vehicles["vx"], self.vehicles["vy"])
