"""Whether the embedded server's memory stays flat: over a million ticks, or over 500 loads of a world.

    python benchmarks/soak.py ticks [--count 1000000] [--vehicles 5]
    python benchmarks/soak.py loads [--count 500] [--towns Minitown,Town01,Town02]

Prints the resident memory of server and client twenty times, and at the end by how much each grew over the second
half: before that, caches fill. Ticks are those of cars that drive and crash; one is replaced now and then.
Every load gets a car with a camera, which must deliver a picture; every tenth is an OpenDRIVE world.
"""

from __future__ import annotations

import argparse
import queue
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import carla
import psutil

from rllib_integration.servers import create_server

_REPORTS = 20
_TICKS_A_DRIVE = 200
_TICKS_A_LIFE = 5000


def make_synchronous(world: carla.World) -> carla.World:
    """Let the world tick when told."""
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    return world


def tick_on(client: carla.Client, vehicles: int) -> Iterator[None]:
    """Tick for ever; the cars are set back before they are lost, and one lives for a short while only."""
    world = make_synchronous(client.load_world("Minitown"))
    library, places = world.get_blueprint_library(), world.get_map().get_spawn_points()
    blueprint = library.find("vehicle.tesla.model3")
    cars = cast("list[carla.Vehicle]", [world.spawn_actor(blueprint, place) for place in places[:vehicles]])
    imu = cast(carla.Sensor, world.spawn_actor(library.find("sensor.other.imu"), carla.Transform(), cars[0]))
    imu.listen(lambda measurement: None)
    guest = None
    number = 0
    while True:
        if number % _TICKS_A_DRIVE == 0:
            for car, place in zip(cars, places):
                car.set_transform(place)
        if number % _TICKS_A_LIFE == 0:
            if guest is not None:
                guest.destroy()
            guest = world.spawn_actor(blueprint, places[vehicles])
        steer = 0.1 * (number // 100 % 3 - 1)
        cars[number % vehicles].apply_control(carla.VehicleControl(throttle=0.4, steer=steer))
        world.tick()
        number += 1
        yield


def load_on(client: carla.Client, towns: list[str]) -> Iterator[None]:
    """Load worlds for ever, and take a picture in each."""
    opendrive = client.load_world(towns[0]).get_map().to_opendrive()
    number = 0
    while True:
        number += 1
        if number % 10 == 0:
            world = client.generate_opendrive_world(opendrive)
        else:
            world = client.load_world(towns[number % len(towns)])
        make_synchronous(world)
        library = world.get_blueprint_library()
        car = world.spawn_actor(library.find("vehicle.tesla.model3"), world.get_map().get_spawn_points()[0])
        blueprint = library.find("sensor.camera.rgb")
        blueprint.set_attribute("image_size_x", "84")
        blueprint.set_attribute("image_size_y", "84")
        camera = world.spawn_actor(blueprint, carla.Transform(carla.Location(x=-5.0, z=2.5)), car)
        pictures: queue.SimpleQueue[carla.Image] = queue.SimpleQueue()
        camera.listen(pictures.put)
        frame = world.tick()
        while pictures.get(timeout=60.0).frame != frame:
            pass
        camera.stop()
        camera.destroy()
        yield


def soak(work: Iterator[None], count: int, what: str, server: int) -> None:
    """Do the work so many times and print the memory."""
    processes = {"server": psutil.Process(server), "client": psutil.Process()}
    memory: dict[str, list[float]] = {name: [] for name in processes}
    began = time.monotonic()
    for number in range(1, count + 1):
        next(work)
        if number * _REPORTS // count > (number - 1) * _REPORTS // count:
            for name, process in processes.items():
                memory[name].append(process.memory_info().rss / 2**20)
            now = ", ".join(f"{name} {values[-1]:.1f} MB" for name, values in memory.items())
            print(f"{number} {what} after {time.monotonic() - began:.0f} s: {now}", flush=True)
    for name, values in memory.items():
        print(f"{name}: {values[-1] - values[len(values) // 2 - 1]:+.1f} MB over the second half", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("what", choices=("ticks", "loads"))
    parser.add_argument("--count", type=int, help="default: 1000000 ticks, 500 loads")
    parser.add_argument("--vehicles", type=int, default=5)
    parser.add_argument("--towns", default="Minitown,Town01,Town02")
    options = parser.parse_args()
    server = create_server({"server": {"kind": "embedded", "start_timeout": 600}})
    server.start()
    try:
        client = carla.Client(server.host, server.port)
        client.set_timeout(300.0)
        if options.what == "ticks":
            work, count = tick_on(client, options.vehicles), options.count or 1_000_000
        else:
            work, count = load_on(client, options.towns.split(",")), options.count or 500
        soak(work, count, options.what, server_process())
    finally:
        server.stop()


def server_process() -> int:
    """The process that simulates, beside those that watch over it."""
    started = psutil.Process().children(recursive=True)
    return max(started, key=lambda process: process.memory_info().rss).pid


if __name__ == "__main__":
    main()
