"""How walkers walk: speed, time on roads, crossings, collisions with vehicles, and what a tick costs with them.

    python benchmarks/walkers.py [--towns Minitown,...] [--seeds 1,...] [--cars 30] [--walkers 20] [--minutes 10]

Each town is shown twice: with CARLA's Traffic Manager and the client's navigation, then with the embedded server's own
traffic (`background_activity: {traffic: server}`). Who moves faster than 0.2 m/s walks. A crossing is a stay of a
second or more on a lane for vehicles. A collision with the same vehicle counts again after three seconds without touch.
The last column is processor time of all processes a tick.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import carla
import numpy as np
from processor_time import below, processor_seconds

from rllib_integration.base_experiment import resolve_experiment_config
from rllib_integration.carla_core import CarlaCore

_STEP = 0.05
_WALKING, _CROSSING_SECONDS, _NEW_TOUCH_SECONDS = 0.2, 1.0, 3.0
_COLUMNS = ("town", "traffic", "walkers", "hours", "m/s", "walking %", "on road %", "crossings/h", "collisions/h", "ms")


@dataclass
class Walks:
    """What all walkers of one run did together; times in ticks."""

    seen: int = 0
    walking: int = 0
    way: float = 0.0
    on_road: int = 0
    crossings: int = 0
    collisions: int = 0


class Watch:
    """Follows the walkers of a world from tick to tick."""

    def __init__(self, core: CarlaCore) -> None:
        self.walks = Walks()
        self._core = core
        self.walkers = [actor for actor in core.find_actors("walker.*") if actor.id in core.actors]
        self._stay = dict.fromkeys((walker.id for walker in self.walkers), 0)
        self._touched: dict[tuple[int, int], float] = {}
        blueprint, mount = core.world.get_blueprint_library().find("sensor.other.collision"), carla.Transform()
        made = [core.world.spawn_actor(blueprint, mount, attach_to=walker) for walker in self.walkers]
        self._sensors = cast("list[carla.Sensor]", made)
        for sensor in self._sensors:
            sensor.listen(lambda event: self._note(cast(carla.CollisionEvent, event)))

    def _note(self, event: carla.CollisionEvent) -> None:
        if not event.other_actor.type_id.startswith("vehicle."):
            return
        pair = event.actor.id, event.other_actor.id
        self.walks.collisions += event.timestamp - self._touched.get(pair, -np.inf) > _NEW_TOUCH_SECONDS
        self._touched[pair] = event.timestamp

    def look(self) -> None:
        """Count one tick."""
        snapshot = self._core.world.get_snapshot()
        for walker in self.walkers:
            seen = snapshot.find(walker.id)
            speed = seen.get_velocity().length()
            place = seen.get_transform().location
            self.walks.seen += 1
            if speed > _WALKING:
                self.walks.walking += 1
                self.walks.way += speed * _STEP
            is_on_road = self._core.map.get_waypoint(place, project_to_road=False) is not None
            self.walks.on_road += is_on_road
            self._stay[walker.id] = self._stay[walker.id] + 1 if is_on_road else 0
            self.walks.crossings += self._stay[walker.id] == round(_CROSSING_SECONDS / _STEP)

    def close(self) -> None:
        """Take the sensors away again."""
        for sensor in self._sensors:
            sensor.stop()
            sensor.destroy()


def measure(town: str, seed: int, traffic: str, options: argparse.Namespace) -> None:
    """Print the line of one run."""
    activity = {"n_vehicles": options.cars, "n_walkers": options.walkers, "traffic": traffic}
    core = CarlaCore({"server": {"kind": "embedded"}, "timestep": _STEP, "timeout": 60.0})
    try:
        core.setup_experiment(resolve_experiment_config({"town": town, "background_activity": activity}), seed)
        watch = Watch(core)
        used, processes = 0.0, below()
        used -= time.process_time() + processor_seconds(processes)
        for _ in range(round(options.minutes * 60.0 / _STEP)):
            core.tick_world()
            used -= _seconds_of(watch.look)
        used += time.process_time() + processor_seconds(processes)
        watch.close()
    finally:
        core.close()
    walks, hours = watch.walks, watch.walks.seen * _STEP / 3600.0
    numbers = (
        f"{walks.way / max(walks.walking * _STEP, _STEP):.2f}",
        f"{100.0 * walks.walking / walks.seen:.0f}",
        f"{100.0 * walks.on_road / walks.seen:.1f}",
        f"{walks.crossings / hours:.1f}",
        f"{walks.collisions / hours:.2f}",
        f"{1e3 * used / (walks.seen / len(watch.walkers)):.2f}",
    )
    _print((town, traffic, str(len(watch.walkers)), f"{hours:.1f}", *numbers))


def _seconds_of(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _print(cells: tuple[str, ...]) -> None:
    print("  ".join(f"{cell:>{max(len(head), 8)}}" for cell, head in zip(cells, _COLUMNS)), flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--towns", default="Minitown,Town03,Town10HD")
    parser.add_argument("--seeds", default="1", help="one or several, each of them in every town")
    parser.add_argument("--cars", type=int, default=30)
    parser.add_argument("--walkers", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10.0, help="simulated")
    options = parser.parse_args()
    _print(_COLUMNS)
    for town in options.towns.split(","):
        for seed in options.seeds.split(","):
            for traffic in ("manager", "server"):
                measure(town, int(seed), traffic, options)


if __name__ == "__main__":
    main()
