"""Time of one physics tick (0.05 s, five substeps) for 1, 50, 100 and 400 vehicles.

Prints microseconds a tick for free driving, for a jam and for parked cars, and the ratio to 50 free vehicles: a
cost that is linear in actors shows ratios near 2 for 100 and 8 for 400.

Run: ``python -m benchmarks.physics``.
"""

from __future__ import annotations

import time

import numpy as np

from minicarla.physics.ground import flat_surface
from minicarla.physics.obstacles import OBSTACLE, build_obstacle_grid
from minicarla.physics.parameters import init_vehicle
from minicarla.physics.state import CONTACT, PROP, VEHICLE, WALKER
from minicarla.physics.step import step
from minicarla.physics.vehicle_specs import SPECS

TICK = 0.05
CARS = [name for name, spec in SPECS.items() if spec.sort in ("car", "van")]


def cars(count: int, gap_x: float, gap_y: float) -> np.ndarray:
    """Rows of different cars in a block of lanes along x; without a gap along x, each has a lane of its own."""
    rows = np.zeros(count, VEHICLE)
    side = int(np.ceil(np.sqrt(count))) if gap_x else 1
    rows["x"], rows["y"] = (np.arange(count) % side) * gap_x, (np.arange(count) // side) * gap_y - 850.0
    for index in range(count):
        init_vehicle(rows[index], CARS[index % len(CARS)])
    return rows


def microseconds(rows: np.ndarray, seconds: float = 1.0) -> tuple[float, float]:
    """Median time of a tick and contacts a tick while `rows` drive, among 400 poles."""
    rng = np.random.default_rng(0)
    poles = np.zeros(400, OBSTACLE)
    poles["x"], lanes = rng.uniform(-50.0, 550.0, 400), rng.integers(0, 400, 400)
    poles["y"] = 4.0 * lanes - 852.0
    poles["z"], poles["extent_x"], poles["extent_y"], poles["extent_z"] = 2.0, 0.15, 0.15, 2.0
    world = (np.zeros(0, WALKER), np.zeros(0, PROP), poles, build_obstacle_grid(poles), flat_surface(900.0))
    contacts = np.zeros(1024, CONTACT)
    times, touched = [], 0
    start = time.perf_counter()
    while (now := time.perf_counter()) - start < seconds:
        touched += step(rows, *world, contacts, TICK, 0.01, 10, 9.81)
        times.append(time.perf_counter() - now)
        # the block stays where the poles are
        rows["x"] -= 500.0 * (rows["x"] > 600.0)
    return 1e6 * float(np.median(times)), touched / len(times)


def main() -> None:
    """Prints the table."""
    microseconds(cars(2, 20.0, 20.0), 0.2)
    reference = 0.0
    for scene in ("free", "jam", "parked"):
        for count in (1, 50, 100, 400):
            rows = cars(count, 6.5 if scene == "jam" else 0.0, 4.0)
            if scene == "free":
                rows["target_velocity"], rows["target_vx"], rows["throttle"] = 1, 10.0, 0.2
            if scene == "jam":
                rows["throttle"], rows["brake"] = np.linspace(0.1, 0.5, count), 0.0
            taken, touched = microseconds(rows)
            if scene == "free" and count == 50:
                reference = taken
            ratio = f"{taken / reference:6.2f} x 50 free" if reference else ""
            print(
                f"{scene:6s} {count:4d} vehicles {taken:8.1f} us a tick  {touched:6.1f} contacts  {ratio}", flush=True
            )


if __name__ == "__main__":
    main()
