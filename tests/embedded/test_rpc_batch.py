"""Batches that tick, of a client whose sensors have callbacks in Python."""

from __future__ import annotations

import subprocess
import sys

_BATCHES = """
import os, queue, sys, carla
client = carla.Client("127.0.0.1", int(sys.argv[1]), worker_threads=1)
client.set_timeout(20.0)
world = client.get_world()
settings = world.get_settings()
settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
world.apply_settings(settings)
library = world.get_blueprint_library()
model = library.find("vehicle.tesla.model3")
car = world.spawn_actor(model, world.get_map().get_spawn_points()[0])
inboxes = [queue.Queue() for _ in range(3)]
sensors = [world.spawn_actor(library.find("sensor.other.imu"), carla.Transform(), attach_to=car) for _ in inboxes]
for sensor, inbox in zip(sensors, inboxes):
    sensor.listen(inbox.put)
world.tick()
frames = [inbox.get(timeout=20.0).frame for inbox in inboxes]
for number in range(30):
    client.apply_batch_sync([carla.command.ApplyVehicleControl(car.id, carla.VehicleControl(throttle=0.5))], True)
    frames = [inbox.get(timeout=20.0).frame for inbox in inboxes]
    if frames != [world.get_snapshot().frame] * len(frames):
        sys.exit(f"batch {number}: the sensors have {frames}, the world {world.get_snapshot().frame}")
place = world.get_map().get_spawn_points()[7]
for number in range(20):
    (answer,) = client.apply_batch_sync([carla.command.SpawnActor(model, place)], True)
    client.apply_batch_sync([carla.command.DestroyActor(answer.actor_id)], True)
last = world.get_snapshot().frame
heard = [[inbox.get(timeout=20.0).frame for _ in range(40)] for inbox in inboxes]
if heard != [list(range(last - 39, last + 1))] * len(inboxes):
    sys.exit(f"after rows of batches up to {last} the sensors have {heard}")
print("went on", flush=True)
os._exit(0)  # without asking anything more
"""


def test_a_batch_that_ticks_goes_on_although_callbacks_wait_for_python(start_server):
    """The call keeps Python's lock until the client has seen the frame, and its only thread waits for that lock as soon
    as it has a sensor's message: the frame must come first. In a row of batches that spawn and destroy, the thread has
    no time for messages in between: they must come after the row."""
    server = start_server()
    command = [sys.executable, "-c", _BATCHES, str(server.port)]
    client = subprocess.run(command, capture_output=True, text=True, timeout=300.0, check=False)
    server.stop()
    assert client.stdout == "went on\n", (client.returncode, client.stderr)
