"""Vehicles that the embedded server drives itself: no Traffic Manager decides about each frame."""

from __future__ import annotations

from collections.abc import Sequence

import carla
import numpy as np

from rllib_integration.tick_extension import SEEDS, driving_order
from rllib_integration.traffic.vehicles import DrawnVehicles

SPEED_SHARE = 1.0
"""Of the speed limit, as the Traffic Manager's `global_percentage_speed_difference` of 0."""

DISTANCE = 2.5
"""[m] To the vehicle ahead while standing."""


def spawn_driven(
    client: carla.Client, number: int, keep_clear: Sequence[tuple[float, float]], seed: int
) -> tuple[list[int], list[str]]:
    """Spawn vehicles and have the server drive them (`docs/tick_extension.md`).

    Args:
        client: Of an embedded server.
        number: How many.
        keep_clear: Places (x, y in metres) without vehicles within 8 m.
        seed: Decides all about them; with a Traffic Manager it gives the same vehicles at the same places.

    Returns:
        Their ids, and sentences about what could not be had.
    """
    rng = np.random.default_rng(seed)
    turns = int(rng.integers(2**31)) % SEEDS  # drawn first, as the traffic's process does
    world = client.get_world()
    drawn = DrawnVehicles(world.get_map(), world.get_blueprint_library(), number, keep_clear, rng)
    answers = client.apply_batch_sync(drawn.commands, True) if drawn.commands else []
    vehicles, notes = drawn.spawned(answers)
    order_driving(client, vehicles, turns)
    return vehicles, notes


def order_driving(client: carla.Client, vehicles: Sequence[int], seed: int) -> None:
    """Have the server drive vehicles that are there, and no others.

    Args:
        client: Of an embedded server that was started with `--skip-overtaken-frames`.
        vehicles: Their ids.
        seed: Decides where they turn, 0 <= seed < `tick_extension.SEEDS`.
    """
    # Without waiting for an answer: else the client would hand the vehicles to a Traffic Manager.
    client.apply_batch(driving_order(vehicles, seed, SPEED_SHARE, DISTANCE), False)
