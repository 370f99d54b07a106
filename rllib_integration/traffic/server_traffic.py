"""Vehicles that the embedded server drives itself, without a Traffic Manager."""

from __future__ import annotations

from collections.abc import Sequence

import carla
import numpy as np

from rllib_integration.tick_extension import SEEDS, driving_order
from rllib_integration.traffic.vehicles import DrawnVehicles

SPEED_SHARE = 1.0
"""Share of the speed limit; corresponds to the Traffic Manager's `global_percentage_speed_difference` of 0."""

DISTANCE = 2.5
"""Distance to the vehicle ahead at standstill [m]."""


def spawn_driven(
    client: carla.Client, number: int, keep_clear: Sequence[tuple[float, float]], seed: int
) -> tuple[list[int], list[str]]:
    """Spawn vehicles and have the server drive them (`docs/tick_extension.md`).

    Args:
        client: Client of an embedded server.
        number: Number of vehicles.
        keep_clear: Places (x, y in metres) without vehicles within 8 m.
        seed: Determines vehicles and places; a Traffic Manager's are the same for the same seed.

    Returns:
        Their ids, and sentences about vehicles that could not be spawned.
    """
    rng = np.random.default_rng(seed)
    turn_seed = int(rng.integers(2**31)) % SEEDS  # drawn first, as in the traffic's process
    world = client.get_world()
    drawn = DrawnVehicles(world.get_map(), world.get_blueprint_library(), number, keep_clear, rng)
    answers = client.apply_batch_sync(drawn.commands, True) if drawn.commands else []
    vehicles, notes = drawn.spawned(answers)
    order_driving(client, vehicles, turn_seed)
    return vehicles, notes


def order_driving(client: carla.Client, vehicles: Sequence[int], seed: int) -> None:
    """Let the server drive these vehicles, and no others.

    Args:
        client: Client of an embedded server that was started with `--skip-overtaken-frames`.
        vehicles: Their ids.
        seed: Determines where they turn, 0 <= seed < `tick_extension.SEEDS`.
    """
    # apply_batch_sync would register the vehicles with a Traffic Manager.
    client.apply_batch(driving_order(vehicles, seed, SPEED_SHARE, DISTANCE), False)
