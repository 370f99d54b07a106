"""Batches that tick, of a client whose sensors have callbacks in Python."""

from __future__ import annotations

from typing import Any

import pytest

from minicarla.rpc.deferrals import PATIENCE as BOUND
from minicarla.rpc.quirks.batch_ticks import KNOWN_FRAME, REST, BatchTicks
from tests.minicarla.client_program import run_synchronous_client
from tests.minicarla.quirk_rig import client_at

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

_BLOCKED = """
import time
sensor = world.spawn_actor(world.get_blueprint_library().find("sensor.other.imu"), carla.Transform())
sensor.listen(lambda data: time.sleep(0.5))
client.apply_batch_sync([], True)
time.sleep(0.1)  # the only thread is in the callback, and comes back to a lock that is taken
frame = world.get_snapshot().frame
client.apply_batch_sync([], True)
while world.get_snapshot().frame == frame:
    time.sleep(0.01)
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


def test_a_batch_that_ticks_goes_on_although_a_callback_cannot_end_before_it(start_server):
    """The client does not read the frame before its call is over, so the call must end without it."""
    server = start_server()
    client = run_synchronous_client(_BLOCKED, server.port, worker_threads=1)
    server.stop()
    assert client.stdout == "went on\n", (client.returncode, client.stderr)


def test_messages_come_after_a_row_of_batches_that_spawn(rig):
    """The client's threads have no time for them in between."""
    sent, client = [], client_at()
    rig.quirk = BatchTicks(rig.deferrals, lambda *message: sent.append(message), bool)
    client.ticks_for_batch = True
    body = bytearray(b"1")
    for _ in range(3):
        rig.quirk.begin(client, changes_actors=True)
        rig.quirk.keep(7, b"header", body)
        body[:] = b"2"
        rig.go_on(0.9 * REST)
        rig.ask(client, "apply_batch")
        rig.go_on()
    assert rig.quirk.is_keeping
    assert sent == []
    rig.go_on(REST)
    assert not rig.quirk.is_keeping
    assert sent == [(7, b"header", b"1"), (7, b"header", b"2"), (7, b"header", b"2")]


def test_messages_do_not_wait_for_ever_while_batches_go_on(rig):
    sent, client, began = [], client_at(), rig.now
    rig.quirk = BatchTicks(rig.deferrals, lambda *message: sent.append(message), bool)
    client.ticks_for_batch = True
    rig.quirk.begin(client, changes_actors=True)
    rig.quirk.keep(7, b"header", b"body")
    while not sent:
        assert rig.now < began + 2.0 * BOUND
        rig.quirk.begin(client, changes_actors=True)
        rig.go_on(0.5 * REST)
    assert rig.now >= began + BOUND


@pytest.mark.parametrize(("asks", "answer"), [(True, 9), (False, KNOWN_FRAME)])
def test_a_tick_is_answered_with_its_frame_once_the_client_has_taken_it_in(rig, asks, answer):
    answers: list[Any] = []
    client = client_at()
    rig.quirk = BatchTicks(rig.deferrals, lambda *message: None, bool)
    rig.calls(client, "query_lights_state")  # as at its start
    client.streams.add(7)
    client.connection.last_call = "apply_batch"
    rig.ask(client, "tick_cue")
    rig.quirk.begin(client, changes_actors=False)
    rig.quirk.answer(client, 9, answers.append)
    rig.go_on()
    assert client.lights_are_sign
    assert answers == []
    if asks:
        rig.calls(client, "query_lights_state")
    rig.go_on(0.0 if asks else BOUND)
    assert answers == [answer]
