"""Clients that are killed, whatever they were doing, leave a server that the next client can use at once."""

from __future__ import annotations

import random
import subprocess
import sys

import carla
import pytest

from tests.ports import free_port

_TIMEOUT = 60.0

_CLIENT = """
import sys
import carla

port, kind, manager_port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
client = carla.Client("127.0.0.1", port)
client.set_timeout(60.0)
world = client.get_world()
settings = world.get_settings()
settings.synchronous_mode, settings.fixed_delta_seconds = kind != "asynchronous", 0.05
if kind != "loading":
    world.apply_settings(settings)
library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
if kind != "loading":
    manager = client.get_trafficmanager(manager_port)
    manager.set_synchronous_mode(kind != "asynchronous")
cars = [world.try_spawn_actor(library.find("vehicle.tesla.model3"), point) for point in points[:8]]
camera = library.find("sensor.camera.rgb")
camera.set_attribute("image_size_x", "32")
camera.set_attribute("image_size_y", "32")
sensor = world.spawn_actor(camera, carla.Transform(carla.Location(z=40.0)))
sensor.listen(lambda image: None)
for car in filter(None, cars):
    if kind != "loading":
        car.set_autopilot(True, manager_port)
print("drives", flush=True)
while True:
    if kind == "loading":
        world = client.load_world("Minitown")
    elif kind == "asynchronous":
        world.wait_for_tick()
    else:
        world.tick()
"""


def _kill_in_the_middle(address: tuple[str, int], kind: str, chance: random.Random) -> None:
    command = [sys.executable, "-c", _CLIENT, str(address[1]), kind, str(free_port())]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    with client:
        try:
            assert client.stdout.readline() == "drives\n"
            with pytest.raises(subprocess.TimeoutExpired):
                client.wait(chance.uniform(0.05, 0.4))
        finally:
            client.kill()


def _frames_of_a_new_world(address: tuple[str, int]) -> tuple[list[int], int]:
    """The frames of 21 ticks, and the number of vehicles afterwards.

    The client is gone before another loads a world, which it would otherwise look into at its end.
    """
    client = carla.Client(*address)
    client.set_timeout(_TIMEOUT)
    world = client.load_world("Minitown")
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    frames = [world.tick() for _ in range(21)]
    return frames, len(world.get_actors().filter("vehicle.*"))


@pytest.mark.parametrize("kind", ["synchronous", "asynchronous", "loading"])
def test_a_client_that_is_killed_leaves_a_server_that_ticks(embedded_server, kind):
    chance = random.Random(kind)
    for _ in range(3):
        _kill_in_the_middle(embedded_server, kind, chance)
        frames, vehicles = _frames_of_a_new_world(embedded_server)
        assert frames == list(range(frames[0], frames[0] + 21))
        assert vehicles == 0
