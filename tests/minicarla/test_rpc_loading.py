"""A client that runs a Traffic Manager loads worlds again and again."""

from __future__ import annotations

import subprocess
import sys

from tests.ports import free_port_pair

_AGAIN_AND_AGAIN = """
import os, sys, carla
client = carla.Client("127.0.0.1", int(sys.argv[1]))
client.set_timeout(60.0)
for number in range(25):
    world = client.reload_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    manager = client.get_trafficmanager(int(sys.argv[2]))
    manager.set_synchronous_mode(True)
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    car = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[0])
    car.set_autopilot(True, int(sys.argv[2]))
    for _ in range(20):
        world.tick()
    if car.get_control().throttle == 0.0:
        sys.exit(f"the car of world {number} is not driven")
    car.destroy()
    world.tick()
    manager.set_synchronous_mode(False)
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    world.apply_settings(settings)
print("went on", flush=True)
os._exit(0)  # without asking anything more
"""


def test_a_traffic_manager_drives_in_every_world_that_is_loaded(start_server):
    server = start_server()
    command = [sys.executable, "-c", _AGAIN_AND_AGAIN, str(server.port), str(free_port_pair())]
    client = subprocess.run(command, capture_output=True, text=True, timeout=300.0, check=False)
    server.stop()
    assert client.stdout == "went on\n", (client.returncode, client.stderr)
