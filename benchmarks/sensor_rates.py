"""What sensors on a car cost: ticks a second of the real client with them, and with none, in the same run.

For the benchmarks beside it, which name the sensors.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import carla
import psutil
from processor_time import below, processor_seconds

from rllib_integration.servers import create_server

Mounting = tuple[str, dict[str, str], carla.Transform]
"""Blueprint, its attributes, place on the car."""


def compare(title: str, setups: Iterable[tuple[str, Sequence[Mounting]]]) -> None:
    """Print the rate without sensors, then of each named set of them, on one CPU for client and server."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--town", default="Minitown")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--vehicles", type=int, default=20)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    server = create_server({"server": {"kind": "embedded"}})
    server.start()
    try:
        client = carla.Client(server.host, server.port)
        client.set_timeout(120.0)
        world = client.load_world(arguments.town)
        car = populate(world, arguments.vehicles)
        bare = ticks_per_second(world, [], arguments.seconds)
        print(f"{arguments.town}, {arguments.vehicles} vehicles. {describe('no sensor', bare, bare)}")
        for name, mountings in setups:
            with mounted(world, car, mountings) as queues:
                print(describe(name, ticks_per_second(world, queues, arguments.seconds), bare))
    finally:
        server.stop()


def populate(world: carla.World, vehicles: int) -> carla.Actor:
    """Make the world synchronous, with so many vehicles; return the first."""
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    library = world.get_blueprint_library()
    places = world.get_map().get_spawn_points()
    car = world.spawn_actor(library.find("vehicle.tesla.model3"), places[0])
    for blueprint, place in zip(library.filter("vehicle.*"), places[1:vehicles]):
        world.try_spawn_actor(blueprint, place)
    return car


@contextmanager
def mounted(world: carla.World, car: carla.Actor, mountings: Sequence[Mounting]) -> Iterator[list[queue.SimpleQueue]]:
    """Sensors on a car, and the queues of their messages."""
    library = world.get_blueprint_library()
    sensors: list[carla.Sensor] = []
    queues: list[queue.SimpleQueue] = []
    try:
        for type_id, attributes, place in mountings:
            blueprint = library.find(type_id)
            for name, value in attributes.items():
                blueprint.set_attribute(name, value)
            sensors.append(cast(carla.Sensor, world.spawn_actor(blueprint, place, attach_to=car)))
            queues.append(queue.SimpleQueue())
            sensors[-1].listen(queues[-1].put)
        yield queues
    finally:
        for sensor in sensors:
            sensor.stop()
            sensor.destroy()


def client_and_server() -> float:
    """Processor time [s] that this process and all below it, the server among them, have used."""
    return processor_seconds([psutil.Process(), *below()])


def ticks_per_second(world: carla.World, queues: Sequence[queue.SimpleQueue], seconds: float) -> tuple[float, float]:
    """Ticks a second, each with all its messages: by the clock, and by the processor time of client and server.

    On an idle machine both agree; where others compute too, only the second is steady.
    """
    ticks, start, used = -5, time.perf_counter(), client_and_server()
    while True:
        frame = world.tick()
        for pictures in queues:
            while pictures.get(timeout=60.0).frame != frame:
                pass
        ticks += 1
        if ticks == 0:
            start, used = time.perf_counter(), client_and_server()
        elapsed = time.perf_counter() - start
        if ticks > 0 and elapsed >= seconds:
            return ticks / elapsed, ticks / (client_and_server() - used)


def describe(name: str, rates: tuple[float, float], bare: tuple[float, float]) -> str:
    """One line: both rates, their ratio to the rate without sensor, and its cost."""
    cost = 1e3 * (1.0 / rates[1] - 1.0 / bare[1])
    share = f"{rates[1] / bare[1]:.3f} of no sensor, {cost:.2f} ms a tick"
    return f"{name}: {rates[0]:.0f} ticks/s; by processor time {rates[1]:.0f} ticks/s, {share}"
