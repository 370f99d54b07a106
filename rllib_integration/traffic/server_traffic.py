"""Vehicles and walkers that the embedded server moves itself, without a Traffic Manager or a client's navigation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import carla
import numpy as np

from rllib_integration.tick_extension import SEEDS, driving_order, walking_order
from rllib_integration.traffic.manners import TRAFFIC_MANNERS, Manners, draw_manners
from rllib_integration.traffic.plan import TrafficPlan
from rllib_integration.traffic.vehicles import DrawnVehicles
from rllib_integration.traffic.walkers import DrawnWalkers, missing_walkers

_HIGH_UP, _APART = 500.0, 2.0  # [m] where walkers wait for the order that puts them on sidewalks


class ServerTraffic(NamedTuple):
    """What the server moves.

    Attributes:
        vehicles, walkers: Actor ids.
        notes: Sentences about those that could not be spawned.
    """

    vehicles: list[int]
    walkers: list[int]
    notes: list[str]


def spawn_in_server(client: carla.Client, library: carla.BlueprintLibrary, plan: TrafficPlan) -> ServerTraffic:
    """Spawn vehicles and walkers, and have the server move them (`docs/tick_extension.md`).

    Args:
        client: Client of an embedded server.
        library: The server's blueprints.
        plan: Numbers, manners and seed; a Traffic Manager's vehicles are the same for the same plan.
    """
    rng = np.random.default_rng(plan.seed)
    own_seed = int(rng.integers(2**31)) % SEEDS  # drawn first, as in the traffic's process
    world = client.get_world()
    drawn = DrawnVehicles(world.get_map(), library, plan.n_vehicles, plan.keep_clear, rng)
    places = [carla.Location(_APART * number, 0.0, _HIGH_UP) for number in range(plan.n_walkers)]
    walkers = DrawnWalkers(library, places, rng)
    answers = client.apply_batch_sync([*drawn.commands, *walkers.commands], False)
    vehicle_ids, notes = drawn.spawned(answers[: len(drawn.commands)])
    speeds = walkers.spawned(answers[len(drawn.commands) :])
    if vehicle_ids:
        manners = draw_manners(plan.manners, len(vehicle_ids), plan.seed)
        order_driving(client, dict(zip(vehicle_ids, manners)), own_seed)
    if speeds:
        client.apply_batch(walking_order(speeds, own_seed, plan.pedestrians_cross_factor), False)
    world.tick()
    snapshot = world.get_snapshot()
    walker_ids = [walker for walker in speeds if snapshot.find(walker) is not None]  # none in a town without sidewalks
    return ServerTraffic(vehicle_ids, walker_ids, [*notes, *missing_walkers(len(walker_ids), plan.n_walkers)])


def order_driving(client: carla.Client, vehicles: Mapping[int, Manners], seed: int) -> None:
    """Let the server drive these vehicles, and no others.

    Args:
        client: Client of an embedded server that was started with `--skip-overtaken-frames`.
        vehicles: Their ids, with each one's manners.
        seed: Determines where they turn, 0 <= seed < `tick_extension.SEEDS`.
    """
    # apply_batch_sync would register the vehicles with a Traffic Manager.
    figures = {vehicle: [manners[name] for name in TRAFFIC_MANNERS] for vehicle, manners in vehicles.items()}
    client.apply_batch(driving_order(figures, seed), False)
