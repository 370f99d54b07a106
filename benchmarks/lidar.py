"""How many ticks a second the real client gets with a lidar of 56 000 points a second, and what a ray costs.

Client and server share one CPU; the reference is the same world with no sensor, in the same run.

    python benchmarks/lidar.py [--town Minitown] [--seconds 3] [--vehicles 20]
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import carla
from cameras import describe, ticks_per_second

from rllib_integration.servers import create_server

SETUPS = (
    ("lidar, 10 m", "sensor.lidar.ray_cast", {"range": "10"}),
    ("lidar, 50 m", "sensor.lidar.ray_cast", {"range": "50"}),
    ("lidar, 100 m", "sensor.lidar.ray_cast", {"range": "100"}),
    ("semantic lidar, 50 m", "sensor.lidar.ray_cast_semantic", {"range": "50"}),
    ("radar", "sensor.other.radar", {}),
)


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
        for name, type_id, attributes in SETUPS:
            blueprint = library.find(type_id)
            for attribute, value in attributes.items():
                blueprint.set_attribute(attribute, value)
            sensor = world.spawn_actor(blueprint, carla.Transform(carla.Location(z=2.4)), attach_to=car)
            messages: queue.SimpleQueue = queue.SimpleQueue()
            sensor.listen(messages.put)
            rates = ticks_per_second(world, [messages], arguments.seconds)
            sensor.stop()
            sensor.destroy()
            print(describe(name, rates, bare))
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
