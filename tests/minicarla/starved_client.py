"""What a starved client does: `python3 starved_client.py DEFECT HOST PORT TRAFFIC_MANAGER_PORT CORE ROUNDS`.

A program of its own: whatever becomes of it, its server and the tests go on. It pins itself to a core once it has
imported what it needs, and says each round that it has survived.
"""

from __future__ import annotations

import os
import queue
import sys
import time
from collections.abc import Callable
from typing import Any

import carla

_TIMEOUT = 60.0


class Session:
    """A client and its world; a Traffic Manager where a defect needs one."""

    def __init__(self, host: str, port: int, manager_port: int) -> None:
        self.client = carla.Client(host, port)
        self.client.set_timeout(_TIMEOUT)
        self.manager_port = manager_port
        self.world = self.client.get_world()
        self.library = self.world.get_blueprint_library()
        self.car = self.library.find("vehicle.tesla.model3")
        self.points = self.world.get_map().get_spawn_points()

    @property
    def manager(self) -> Any:
        return self.client.get_trafficmanager(self.manager_port)

    def make_synchronous(self, synchronous: bool) -> None:
        settings = self.world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = synchronous, 0.05
        self.world.apply_settings(settings)

    def drive(self, count: int) -> list[Any]:
        """Spawn cars that the Traffic Manager drives."""
        cars = [self.world.spawn_actor(self.car, point) for point in self.points[:count]]
        for car in cars:
            assert isinstance(car, carla.Vehicle)
            car.set_autopilot(True, self.manager_port)
        return cars

    def end(self, ids: list[int]) -> None:
        """End actors by a batch, which leaves the client's own objects as they are."""
        self.client.apply_batch_sync([carla.command.DestroyActor(number) for number in ids])


def synchronous_traffic(own: Session, number: int) -> None:
    """Ticks in step with a Traffic Manager."""
    manager = own.manager
    own.make_synchronous(True)
    manager.set_synchronous_mode(True)
    cars = own.drive(5)
    for _ in range(15):
        own.world.tick()
    driven = sum(len(manager.get_all_actions(car)) > 0 for car in cars)
    assert driven == len(cars), f"{driven} of {len(cars)} cars are driven"
    own.end([car.id for car in cars])
    own.world.tick()


def asynchronous_traffic(own: Session, number: int) -> None:
    """Cars that are spawned beside the frames are driven all the same."""
    manager = own.manager
    manager.set_synchronous_mode(False)
    own.make_synchronous(False)
    cars = own.drive(5)
    driven, frames = 0, 0
    while driven < len(cars):
        own.world.wait_for_tick(_TIMEOUT)
        driven, frames = sum(len(manager.get_all_actions(car)) > 0 for car in cars), frames + 1
        assert frames < 100, f"{driven} of {len(cars)} cars are driven"
    own.end([car.id for car in cars])


def ended_vehicles(own: Session, number: int) -> None:
    """Driven cars end, in a world and beside a Traffic Manager that are in step or not, also just after a change."""
    manager = own.manager
    world_first, manager_first, manager_then, world_then = (bool(number >> bit & 1) for bit in range(4))
    own.make_synchronous(world_first)
    manager.set_synchronous_mode(manager_first and world_first)
    cars = own.drive(8)
    for _ in range(4):
        if world_first:
            own.world.tick()
        else:
            own.world.wait_for_tick(_TIMEOUT)
    manager.set_synchronous_mode(manager_then and world_first)
    for car in cars[:4]:
        assert car.destroy()
    if world_first != world_then:
        manager.set_synchronous_mode(False)
        own.make_synchronous(world_then)
    for car in cars[4:]:
        assert car.destroy()
    manager.set_synchronous_mode(False)
    own.make_synchronous(False)
    own.world.wait_for_tick(_TIMEOUT)


def world_loading(own: Session, number: int) -> None:
    """A client with a Traffic Manager loads its world anew."""
    manager = own.manager
    own.make_synchronous(True)
    manager.set_synchronous_mode(True)
    own.drive(3)
    for _ in range(3):
        own.world.tick()
    manager.set_synchronous_mode(False)
    own.make_synchronous(False)
    own.world = own.client.reload_world()


def _sensors(own: Session, count: int) -> list[Any]:
    imu = own.library.find("sensor.other.imu")
    return [own.world.spawn_actor(imu, carla.Transform()) for _ in range(count)]


def batch_ticks(own: Session, number: int) -> None:
    """Rows of batches that spawn and tick, of a client whose sensors have callbacks."""
    own.make_synchronous(True)
    inboxes: list[queue.Queue[Any]] = [queue.Queue() for _ in range(4)]
    sensors = _sensors(own, len(inboxes))
    for sensor, inbox in zip(sensors, inboxes):
        sensor.listen(inbox.put)
    own.world.tick()
    ids: list[int] = []
    for point in own.points[:4]:
        answers = own.client.apply_batch_sync([carla.command.SpawnActor(own.car, point)], True)
        ids += [answer.actor_id for answer in answers]
    for inbox in inboxes:
        for _ in range(5):
            inbox.get(timeout=_TIMEOUT)
    for sensor in sensors:
        sensor.stop()
    own.end([*ids, *(sensor.id for sensor in sensors)])
    own.world.tick()


def subscribing(own: Session, number: int) -> None:
    """The tick after `listen` is heard."""
    own.make_synchronous(True)
    sensors = _sensors(own, 4)
    inboxes: list[queue.Queue[Any]] = [queue.Queue() for _ in sensors]
    for sensor, inbox in zip(sensors, inboxes):
        sensor.listen(inbox.put)
    frame = own.world.tick()
    for inbox in inboxes:
        heard = inbox.get(timeout=_TIMEOUT).frame
        assert heard == frame, f"the first message is of frame {heard}, not {frame}"
    for sensor in sensors:
        sensor.stop()
    own.end([sensor.id for sensor in sensors])


def second_listens(own: Session, number: int) -> None:
    """A sensor is stopped and listened to again, with messages on their way, and listened to twice."""
    own.make_synchronous(False)
    (sensor,) = _sensors(own, 1)
    for _ in range(4):
        inbox: queue.Queue[Any] = queue.Queue()
        sensor.listen(inbox.put)
        inbox.get(timeout=_TIMEOUT)
        sensor.stop()
    sensor.listen(inbox.put)
    refusal = ""
    try:
        sensor.listen(inbox.put)
    except RuntimeError as error:
        refusal = str(error)
    assert "listens to the sensor already" in refusal
    sensor.stop()
    own.end([sensor.id])


DEFECTS: dict[str, Callable[[Session, int], None]] = {
    function.__name__: function
    for function in (
        synchronous_traffic,
        asynchronous_traffic,
        ended_vehicles,
        world_loading,
        batch_ticks,
        subscribing,
        second_listens,
    )
}


def main() -> None:
    defect, host, port, manager_port, core, rounds = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    own = Session(host, int(port), int(manager_port))
    for number in range(int(rounds)):
        began = time.monotonic()
        DEFECTS[defect](own, number)
        print(f"round {number}: {time.monotonic() - began:.2f} s", flush=True)
    print("went on", flush=True)
    os._exit(0)  # without asking anything more


if __name__ == "__main__":
    main()
