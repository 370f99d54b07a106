"""Vehicles on autopilot and walkers, spawned and ticked inside the traffic's own process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import carla
import numpy as np

from rllib_integration.annotations import Record
from rllib_integration.traffic.confinement import confine_listening_sockets
from rllib_integration.traffic.manners import TRAFFIC_MANNERS, Manners, draw_manners
from rllib_integration.traffic.plan import TrafficPlan
from rllib_integration.traffic.vehicles import DrawnVehicles
from rllib_integration.traffic.walkers import DrawnWalkers, missing_walkers

_WALKER_ATTEMPTS = 5  # draws of a place on the sidewalk for each walker
_TICKS_WITH_PHYSICS = 10
"""How long new vehicles drive with physics before the hybrid mode begins [ticks, each a step of the Traffic Manager].

In hybrid mode the Traffic Manager moves some of them backwards in its first steps. When the hero comes near, they get
their physics back together with the speed of that move, and roll backwards at up to 8 m/s.
"""
_THE_SPAWNED: Any = carla.command.FutureActor  # the actor that the preceding `SpawnActor` spawns


class TrafficActors:
    """All traffic of one server.

    Each public method is a command of the worker, and returns its answer.
    """

    def __init__(self, host: str, port: int, tm_port: int, timeout: float) -> None:
        self._timeout = timeout
        self._client = carla.Client(host, port, worker_threads=1)
        self._client.set_timeout(timeout)
        self._world = self._client.get_world()
        self._map = self._world.get_map()
        self._library = self._world.get_blueprint_library()
        self._tm_port = tm_port
        self._manager: carla.TrafficManager | None = None
        self._vehicles: list[int] = []
        self._walkers: list[int] = []
        self._controllers: list[int] = []
        self._ticks_to_hybrid = 0  # 0: the hybrid mode has begun, or is not wanted

    def tick(self, count: int = 1) -> Record:
        """Tick the world, then the Traffic Manager, `count` times."""
        for _ in range(count):
            frame = self._world.tick(self._timeout)
            if self._ticks_to_hybrid:
                self._wait_for_hybrid()
        return {"frame": frame}

    def _wait_for_hybrid(self) -> None:
        assert self._manager is not None
        self._ticks_to_hybrid -= 1
        if self._ticks_to_hybrid == 0:
            self._manager.set_hybrid_physics_mode(True)

    def clear(self) -> Record:
        """Destroy all traffic; the world lists it until the next tick."""
        for controller in self._present_controllers():
            controller.stop()
        doomed = [*self._controllers, *self._walkers, *self._vehicles]
        self._client.apply_batch_sync([carla.command.DestroyActor(actor) for actor in doomed], False)
        self._vehicles, self._walkers, self._controllers = [], [], []
        return {}

    def spawn(self, **planned: Any) -> Record:
        """Replace all traffic by that of a `TrafficPlan`, whose fields are given."""
        plan = TrafficPlan(**planned)
        if self._vehicles or self._walkers:
            self.clear()
            self._world.tick(self._timeout)
        rng = np.random.default_rng(plan.seed)
        client_seed = int(rng.integers(2**31))
        notes = self._direct_vehicles(client_seed, plan.hybrid) if plan.n_vehicles > 0 else []
        self._world.set_pedestrians_seed(client_seed)
        notes += self._spawn_vehicles(plan.n_vehicles, plan.keep_clear, rng)
        self._teach(draw_manners(plan.manners, len(self._vehicles), plan.seed))
        notes += self._spawn_walkers(plan.n_walkers, plan.pedestrians_cross_factor, rng)
        actors = {"vehicles": self._vehicles, "walkers": self._walkers, "controllers": self._controllers}
        return {**actors, "notes": notes}

    def _direct_vehicles(self, seed: int, hybrid: bool) -> list[str]:
        """Set up the Traffic Manager; without vehicles there is none, as it costs time at every tick."""
        notes = []
        if self._manager is None:
            self._manager = self._client.get_trafficmanager(self._tm_port)
            try:
                confine_listening_sockets()
            except OSError as error:
                notes.append(f"The Traffic Manager's port {self._tm_port} is open to other machines: {error}.")
            self._manager.set_synchronous_mode(True)
        self._manager.set_random_device_seed(seed)
        self._manager.set_hybrid_physics_mode(False)
        self._ticks_to_hybrid = _TICKS_WITH_PHYSICS if hybrid else 0
        return notes

    def _spawn_vehicles(
        self, number: int, keep_clear: Sequence[Sequence[float]], rng: np.random.Generator
    ) -> list[str]:
        if number == 0:
            return []
        drawn = DrawnVehicles(self._map, self._library, number, keep_clear, rng)
        autopilot = carla.command.SetAutopilot(_THE_SPAWNED, True, self._tm_port)
        commands = [command.then(autopilot) for command in drawn.commands]
        answers = self._client.apply_batch_sync(commands, True) if commands else []
        self._vehicles, notes = drawn.spawned(answers)
        return notes

    def _teach(self, manners: Sequence[Manners]) -> None:
        """Tell the Traffic Manager how the vehicles drive, where it does not drive them so anyway."""
        if all(own == TRAFFIC_MANNERS for own in manners):
            return
        cars = {car.id: car for car in cast("list[carla.Actor]", self._world.get_actors(self._vehicles))}
        for vehicle, own in zip(self._vehicles, manners):
            for name, value in own.items():
                if value != TRAFFIC_MANNERS[name]:
                    getattr(self._manager, name)(cars[vehicle], value)

    def _spawn_walkers(self, number: int, cross_factor: float, rng: np.random.Generator) -> list[str]:
        if number == 0:
            return []
        drawn = DrawnWalkers(self._library, self._sidewalk_places(number), rng)
        answers = self._client.apply_batch_sync(drawn.commands, True) if drawn.commands else []
        spawned = drawn.spawned(answers)
        self._walkers = list(spawned)
        self._start_controllers(list(spawned.values()), cross_factor)
        return missing_walkers(len(spawned), number)

    def _start_controllers(self, speeds: Sequence[float], cross_factor: float) -> None:
        blueprint = self._library.find("controller.ai.walker")
        commands = [carla.command.SpawnActor(blueprint, carla.Transform(), walker) for walker in self._walkers]
        answers = self._client.apply_batch_sync(commands, True) if commands else []
        self._controllers = [answer.actor_id for answer in answers if not answer.error]
        self._world.set_pedestrians_cross_factor(cross_factor)
        by_id = {controller.id: controller for controller in self._present_controllers()}
        for answer, speed in zip(answers, speeds):
            controller = by_id.get(answer.actor_id)
            target = self._world.get_random_location_from_navigation()
            if controller is None or target is None:
                continue
            controller.start()
            controller.go_to_location(target)
            controller.set_max_speed(speed)

    def _present_controllers(self) -> list[carla.WalkerAIController]:
        return cast("list[carla.WalkerAIController]", list(self._world.get_actors(self._controllers)))

    def _sidewalk_places(self, number: int) -> list[carla.Location]:
        """Distinct places on the sidewalks; fewer where the town has no room, or no sidewalks."""
        places: list[carla.Location] = []
        for _ in range(number * _WALKER_ATTEMPTS):
            place = self._world.get_random_location_from_navigation()
            if place is None or len(places) == number:
                break
            if all(place.distance(other) > 1.0 for other in places):
                places.append(cast(carla.Location, place + carla.Location(z=1.0)))
        return places
