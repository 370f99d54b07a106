"""Batches that tick, of a client whose sensors have callbacks in Python."""

from __future__ import annotations

from minicarla.rpc.quirks import batch_ticks as held_messages
from minicarla.rpc.quirks.batch_ticks import HeldMessages
from tests.minicarla.client_program import run_synchronous_client

_BATCHES = """
library = world.get_blueprint_library()
model = library.find("vehicle.tesla.model3")
car = world.spawn_actor(model, world.get_map().get_spawn_points()[0])
inboxes = [queue.Queue() for _ in range(3)]
sensors = [world.spawn_actor(library.find("sensor.other.imu"), carla.Transform(), attach_to=car) for _ in inboxes]
for sensor, inbox in zip(sensors, inboxes):
    sensor.listen(inbox.put)
world.tick()
frames = [inbox.get(timeout=60.0).frame for inbox in inboxes]
for number in range(30):
    client.apply_batch_sync([carla.command.ApplyVehicleControl(car.id, carla.VehicleControl(throttle=0.5))], True)
    frames = [inbox.get(timeout=60.0).frame for inbox in inboxes]
    if frames != [world.get_snapshot().frame] * len(frames):
        sys.exit(f"batch {number}: the sensors have {frames}, the world {world.get_snapshot().frame}")
print("went on", flush=True)
os._exit(0)  # without asking anything more
"""


def test_a_batch_that_ticks_goes_on_although_callbacks_wait_for_python(start_server):
    """The call keeps Python's lock until the client has seen the frame, and its only thread waits for that lock as soon
    as it has a sensor's message: the frame must come first."""
    server = start_server()
    client = run_synchronous_client(_BATCHES, server.port, worker_threads=1)
    server.stop()
    assert client.stdout == "went on\n", (client.returncode, client.stderr)


def test_messages_come_after_a_row_of_batches_that_spawn():
    """The client's threads have no time for them in between."""
    sent = []
    held = HeldMessages(lambda *message: sent.append(message))
    assert held.next_due() is None
    body, now = bytearray(b"1"), 100.0
    for _ in range(3):
        held.begin(now)
        held.keep(7, b"header", body)
        body[:] = b"2"
        now += 0.9 * held_messages.REST
        held.called(now)
        held.send_due(now)
    assert held
    assert sent == []
    held.send_due(held.next_due())
    assert not held
    assert sent == [(7, b"header", b"1"), (7, b"header", b"2"), (7, b"header", b"2")]


def test_messages_do_not_wait_for_ever_while_batches_go_on():
    sent = []
    held = HeldMessages(lambda *message: sent.append(message))
    held.begin(100.0)
    held.keep(7, b"header", b"body")
    for tenth in range(1, 11):
        now = 100.0 + 0.1 * tenth * held_messages.LONGEST_WAIT
        held.begin(now)
        assert sent == []
        held.send_due(now)
    assert len(sent) == 1
