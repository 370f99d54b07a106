"""How many pictures a second the real client receives from the embedded server's cameras.

Client and server share one CPU. The reference of every figure is the same car in the same street with no sensor at
all, in the same run; the picture's own cost is the difference.

    python benchmarks/cameras.py [--town Minitown] [--seconds 3] [--vehicles 20]
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import carla
import psutil

from rllib_integration.servers import create_server

Setup = tuple[str, Sequence[str], int, int, bool]
"""Name, kinds of camera, width, height, whether they all look the same way."""

SETUPS: tuple[Setup, ...] = (
    ("84x84 rgb", ("rgb",), 84, 84, True),
    ("84x84 semantic", ("semantic_segmentation",), 84, 84, True),
    ("320x240 rgb", ("rgb",), 320, 240, True),
    ("800x600 rgb", ("rgb",), 800, 600, True),
    ("800x600 depth", ("depth",), 800, 600, True),
    ("84x84 rgb, depth, semantic, instance", _FOUR := ("rgb", "depth", "semantic_segmentation",
                                                       "instance_segmentation"), 84, 84, True),
    ("84x84 four rgb around the car", ("rgb",) * 4, 84, 84, False),
)  # fmt: skip


@contextmanager
def mounted(world: carla.World, car: carla.Actor, setup: Setup) -> Iterator[list[queue.SimpleQueue]]:
    """Cameras on a car, and the queues of their pictures."""
    _, kinds, width, height, same = setup
    library = world.get_blueprint_library()
    cameras, queues = [], []
    try:
        for number, kind in enumerate(kinds):
            blueprint = library.find(f"sensor.camera.{kind}")
            blueprint.set_attribute("image_size_x", str(width))
            blueprint.set_attribute("image_size_y", str(height))
            turn = carla.Rotation(pitch=-8.0, yaw=0.0 if same else 90.0 * number)
            place = carla.Transform(carla.Location(x=-4.0 if same else 0.0, z=3.0), turn)
            cameras.append(world.spawn_actor(blueprint, place, attach_to=car))
            queues.append(queue.SimpleQueue())
            cameras[-1].listen(queues[-1].put)
        yield queues
    finally:
        for camera in cameras:
            camera.stop()
            camera.destroy()


def processor_seconds() -> float:
    """Processor time that this process and all below it, the server among them, have used."""
    mine = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (mine, *mine.children(recursive=True)))


def ticks_per_second(world: carla.World, queues: Sequence[queue.SimpleQueue], seconds: float) -> tuple[float, float]:
    """Ticks a second, each with all its messages: by the clock, and by the processor time of client and server.

    On an idle machine both agree; where others compute too, only the second is steady.
    """
    ticks, start, used = -5, time.perf_counter(), processor_seconds()
    while True:
        frame = world.tick()
        for pictures in queues:
            while pictures.get(timeout=60.0).frame != frame:
                pass
        ticks += 1
        if ticks == 0:
            start, used = time.perf_counter(), processor_seconds()
        elapsed = time.perf_counter() - start
        if ticks > 0 and elapsed >= seconds:
            return ticks / elapsed, ticks / (processor_seconds() - used)


def describe(name: str, rates: tuple[float, float], bare: tuple[float, float]) -> str:
    """One line: both rates, their ratio to the rate without sensor, and its cost."""
    cost = 1e3 * (1.0 / rates[1] - 1.0 / bare[1])
    share = f"{rates[1] / bare[1]:.3f} of no sensor, {cost:.2f} ms a tick"
    return f"{name}: {rates[0]:.0f} ticks/s; by processor time {rates[1]:.0f} ticks/s, {share}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
        settings = world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
        world.apply_settings(settings)
        library = world.get_blueprint_library()
        places = world.get_map().get_spawn_points()
        car = world.spawn_actor(library.find("vehicle.tesla.model3"), places[0])
        for blueprint, place in zip(library.filter("vehicle.*"), places[1 : arguments.vehicles]):
            world.try_spawn_actor(blueprint, place)
        bare = ticks_per_second(world, [], arguments.seconds)
        print(f"{arguments.town}, {arguments.vehicles} vehicles. {describe('no sensor', bare, bare)}")
        for setup in SETUPS:
            with mounted(world, car, setup) as queues:
                print(describe(setup[0], ticks_per_second(world, queues, arguments.seconds), bare))
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
