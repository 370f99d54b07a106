"""How traffic drives: collisions, red lights run, cars that stand, speeds, gaps, time at lights, lane changes.

    python benchmarks/traffic.py [--towns Town01,...] [--seeds 1,...] [--cars 50] [--minutes 10] [--processes 1]
    python benchmarks/traffic.py --summary FILE...

The client's Traffic Manager drives, or, with `--traffic server`, the embedded server itself. A gap is from a car that
moves to the next one in its direction within 30 m; the mean is shown.

Each drive, that is each town with each seed, gets a server and a client of its own, synchronous, with steps of 0.05 s.
All vehicle blueprints take part, as in CARLA's own traffic generator; `--base-type car` takes cars alone, as its option
`--safe` does. A collision is counted for every car that took part in it; another one with the same partner counts after
three seconds without touch. A car stands if it has not moved for two minutes without being at a red light, or if the
Traffic Manager took it away as stuck. `--port` measures a CARLA that is already running instead. `--output FILE`
appends a JSON line for each drive, with what happened to whom; `--summary` prints the table of many such files.

CARLA's bus (vehicle.mitsubishi.fusorosa) is 3.94 m wide, wider than a lane of 3.5 m: where it turns beside another
vehicle that waits at a junction, the Traffic Manager lets neither go until it takes one away, and the queues behind
them stand too. `--without "*fusorosa"` leaves it out.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import carla
import numpy as np

from rllib_integration.traffic.manners import draw_manners
from rllib_integration.traffic.server_traffic import order_driving

_REPOSITORY = Path(__file__).resolve().parents[1]
_STEP = 0.05
_STANDING_SPEED, _STANDING_SECONDS = 0.1, 120.0
_NEW_TOUCH_SECONDS = 3.0
_TIMEOUT = 120.0
# In a command after `SpawnActor`: the actor that it has spawned.
_THE_SPAWNED: Any = carla.command.FutureActor
_STOP_LINE_AHEAD = 1.0  # of a stop waypoint [m]
_DISTANCE = 2.5  # to the vehicle ahead while standing, as in CARLA's traffic generator [m]
_SPEEDING = 1.1  # times the limit
_COLUMNS = (
    "town",
    "seeds",
    "cars",
    "car hours",
    "collisions/h",
    "red lights run",
    "standing %",
    "lost",
    "speeding %",
    "km/h",
    "gap m",
    "at lights %",
    "lane changes/h",
)
_GAP_TICKS, _LONGEST_GAP, _GAP_WIDTH, _MOVING = 10, 30.0, 1.5, 3.0


@dataclass
class Traffic:
    """What one drive showed.

    Attributes:
        town: Where.
        seed: Of the cars, their places and the Traffic Manager.
        cars: How many there were.
        car_hours: Time that they drove, all together.
        red_lights_run: How often one passed a red light.
        stood: Ids of those that stood for two minutes.
        lost: Ids of those that the Traffic Manager took away.
        speeding: Share of the time in which a car was too fast.
        speed: Mean, km/h.
        gap: Mean, m, of so many `gaps` that were looked at.
        at_lights: Share of the time in which a car stood at a light.
        lane_changes: How often a car came to another lane of its road.
        ticks_per_second: Of wall time.
        processor_seconds: Of this process and its server.
        events: Collisions, red lights and losses.
    """

    town: str
    seed: int
    cars: int = 0
    car_hours: float = 0.0
    red_lights_run: int = 0
    stood: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    speeding: float = 0.0
    speed: float = 0.0
    gap: float = 0.0
    gaps: int = 0
    at_lights: float = 0.0
    lane_changes: int = 0
    ticks_per_second: float = 0.0
    processor_seconds: float = 0.0
    events: list[dict] = field(default_factory=list)

    @property
    def collisions(self) -> int:
        """How often a car hit something or was hit."""
        return sum(event["what"] == "collision" for event in self.events)


def row(name: str, drives: Sequence[Traffic]) -> tuple[str, ...]:
    """A line of the table: several drives together, their rates weighted by the time that cars drove."""
    cars, hours = sum(drive.cars for drive in drives), sum(drive.car_hours for drive in drives)
    lost, stood = sum(len(drive.lost) for drive in drives), sum(len(drive.stood | drive.lost) for drive in drives)
    speeding, speed, at_lights = (
        sum(getattr(drive, figure) * drive.car_hours for drive in drives) / max(hours, 1e-9)
        for figure in ("speeding", "speed", "at_lights")
    )
    gap = sum(drive.gap * drive.gaps for drive in drives) / max(sum(drive.gaps for drive in drives), 1)
    return (
        name,
        f"{len(drives)}",
        f"{cars}",
        f"{hours:.2f}",
        f"{sum(drive.collisions for drive in drives) / max(hours, 1e-9):.2f}",
        f"{sum(drive.red_lights_run for drive in drives)}",
        f"{100.0 * stood / max(cars, 1):.1f}",
        f"{lost}",
        f"{100.0 * speeding:.2f}",
        f"{speed:.1f}",
        f"{gap:.1f}",
        f"{100.0 * at_lights:.1f}",
        f"{sum(drive.lane_changes for drive in drives) / max(hours, 1e-9):.1f}",
    )


class Touches:
    """Collisions of all cars, each counted once however long it lasts."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, int], float] = {}
        self.new: list[dict] = []

    def add(self, event: carla.CollisionEvent) -> None:
        """Take the message of a sensor."""
        pair = event.actor.id, event.other_actor.id
        last, self._last[pair] = self._last.get(pair, -1e9), event.timestamp
        if event.timestamp - last < _NEW_TOUCH_SECONDS:
            return
        impulse = event.normal_impulse
        self.new.append(
            {
                "what": "collision",
                "frame": event.frame,
                "car": event.actor.id,
                "type": event.actor.type_id,
                "other": event.other_actor.id,
                "other_type": event.other_actor.type_id,
                "impulse": round(impulse.length()),
                "place": [round(event.transform.location.x, 1), round(event.transform.location.y, 1)],
            }
        )


class State(NamedTuple):
    """All living cars in one tick: rows as in `ids`."""

    ids: list[int]
    front: np.ndarray  # (n, 3) middle of the front bumper
    ahead: np.ndarray  # (n, 2) unit vector
    speed: np.ndarray  # (n,) m/s
    length: np.ndarray  # (n,) m


class StopLines:
    """The stop lines of all traffic lights."""

    def __init__(self, world: carla.World) -> None:
        self._lights = cast("list[carla.TrafficLight]", list(world.get_actors().filter("traffic.traffic_light*")))
        lines = []
        for number, light in enumerate(self._lights):
            for waypoint in light.get_stop_waypoints():
                place, ahead = waypoint.transform.location, waypoint.transform.get_forward_vector()
                x, y = place.x + _STOP_LINE_AHEAD * ahead.x, place.y + _STOP_LINE_AHEAD * ahead.y
                lines.append((x, y, place.z, ahead.x, ahead.y, 0.5 * waypoint.lane_width, number))
        self._lines = np.array(lines).reshape(-1, 7)
        self._before: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._were_red = np.zeros(len(self._lights), bool)

    def crossed_at_red(self, state: State) -> list[int]:
        """Which cars have passed a line since the last tick although its light was red then already."""
        red = np.array([light.state == carla.TrafficLightState.Red for light in self._lights], bool)
        both, self._were_red = red & self._were_red, red
        x, y, z, ahead_x, ahead_y, half_width, light = self._lines.T
        passed = []
        before, self._before = self._before, {}
        for number, front, ahead in zip(state.ids, state.front, state.ahead):
            dx, dy = front[0] - x, front[1] - y
            along, across = dx * ahead_x + dy * ahead_y, dy * ahead_x - dx * ahead_y
            self._before[number] = along, front
            if number not in before:
                continue
            crossing = (before[number][0] < 0.0) & (along >= 0.0) & (np.abs(across) < half_width)
            crossing &= (np.abs(front[2] - z) < 3.0) & (ahead[0] * ahead_x + ahead[1] * ahead_y > 0.7)
            if np.hypot(*(front - before[number][1])[:2]) < 5.0 and both[light[crossing].astype(int)].any():
                passed.append(number)
        return passed


class Measurement:
    """Drives cars in one town and watches them."""

    def __init__(
        self,
        client: carla.Client,
        town: str,
        count: int,
        seed: int,
        only: str = "vehicle.*",
        without: str = "",
        base_type: str = "",
        driver: str = "manager",
    ) -> None:
        self.client = client
        self.traffic = Traffic(town, seed)
        self.world = client.load_world(town)
        settings = self.world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, _STEP
        settings.no_rendering_mode = True
        self.world.apply_settings(settings)
        self.manager: carla.TrafficManager | None = None
        if driver == "manager":
            self.manager = client.get_trafficmanager(_free_port())
            self.manager.set_synchronous_mode(True)
            self.manager.set_random_device_seed(seed)
            self.manager.set_global_distance_to_leading_vehicle(_DISTANCE)
        blueprints = [
            one
            for one in self.world.get_blueprint_library().filter(only)
            if not fnmatch(one.id, without) and base_type in ("", one.get_attribute("base_type").as_str())
        ]
        self.cars = {car.id: car for car in self._spawn(count, seed, sorted(blueprints, key=lambda one: one.id))}
        if self.manager is None:
            manners = draw_manners({"distance_to_leading_vehicle": _DISTANCE}, len(self.cars), seed)
            order_driving(client, dict(zip(self.cars, manners)), seed)
        self.traffic.cars = len(self.cars)
        self._boxes = {number: car.bounding_box for number, car in self.cars.items()}
        self._stood = dict.fromkeys(self.cars, 0.0)
        self._map = self.world.get_map()
        self._lanes: dict[int, tuple[int, int, int]] = {}
        self._before = State([], np.zeros((0, 3)), np.zeros((0, 2)), np.zeros(0), np.zeros(0))
        self._lines = StopLines(self.world)
        self._touches = Touches()
        self._sensors = self._watch_collisions()

    def _spawn(self, count: int, seed: int, blueprints: list[carla.ActorBlueprint]) -> list[carla.Vehicle]:
        rng = np.random.default_rng(seed)
        points = self.world.get_map().get_spawn_points()
        batch: list[Any] = [
            carla.command.SpawnActor(blueprints[rng.integers(len(blueprints))], points[place])
            for place in rng.permutation(len(points))[:count]
        ]
        if self.manager is not None:
            autopilot = carla.command.SetAutopilot(_THE_SPAWNED, True, self.manager.get_port())
            batch = [command.then(autopilot) for command in batch]
        made = self.client.apply_batch_sync(batch, True)
        return list(self.world.get_actors([answer.actor_id for answer in made if not answer.error]))

    def _watch_collisions(self) -> list[carla.Sensor]:
        blueprint = self.world.get_blueprint_library().find("sensor.other.collision")
        mount = carla.Transform()
        made = [self.world.spawn_actor(blueprint, mount, attach_to=car) for car in self.cars.values()]
        sensors = cast("list[carla.Sensor]", made)
        for sensor in sensors:
            sensor.listen(self._touches.add)
        return sensors

    def run(self, seconds: float) -> Traffic:
        """Drive and return what happened."""
        ticks = round(seconds / _STEP)
        began = time.perf_counter()
        for _ in range(ticks):
            self.world.tick()
            self._look(self.world.get_snapshot())
        traffic = self.traffic
        traffic.ticks_per_second = ticks / (time.perf_counter() - began)
        seen = max(traffic.car_hours * 3600.0 / _STEP, 1.0)
        traffic.speeding /= seen
        traffic.speed *= 3.6 / seen
        traffic.at_lights /= seen
        traffic.gap /= max(traffic.gaps, 1)
        return traffic

    def _look(self, snapshot: carla.WorldSnapshot) -> None:
        traffic = self.traffic
        state = self._state(snapshot)
        for number in self.cars.keys() - set(state.ids) - traffic.lost:
            traffic.lost.add(number)
            traffic.events.append(self._event("lost", snapshot.frame, number, self._before))
        self._before = state
        traffic.car_hours += len(state.ids) * _STEP / 3600.0
        traffic.speed += float(state.speed.sum())
        for number, speed in zip(state.ids, state.speed.tolist()):
            car = self.cars[number]
            traffic.speeding += speed > _SPEEDING * car.get_speed_limit() / 3.6
            waits = car.is_at_traffic_light() and car.get_traffic_light_state() != carla.TrafficLightState.Green
            traffic.at_lights += waits and speed < _STANDING_SPEED
            self._stood[number] = 0.0 if speed > _STANDING_SPEED or waits else self._stood[number] + _STEP
            if self._stood[number] > _STANDING_SECONDS:
                traffic.stood.add(number)
        if snapshot.frame % _GAP_TICKS == 0:
            gaps = _gaps(state)
            traffic.gap += sum(gaps)
            traffic.gaps += len(gaps)
            traffic.lane_changes += self._lane_changes(state)
        for number in self._lines.crossed_at_red(state):
            traffic.red_lights_run += 1
            traffic.events.append(self._event("red light", snapshot.frame, number, state))
        traffic.events += self._touches.new
        self._touches.new = []

    def _lane_changes(self, state: State) -> int:
        """How many cars are on another lane of the same stretch of road than when they were looked at last."""
        changes = 0
        for number, (x, y, z) in zip(state.ids, state.front.tolist()):
            place = self._map.get_waypoint(carla.Location(x, y, z))
            assert place is not None
            lane = place.road_id, place.section_id, place.lane_id
            before = self._lanes.get(number, lane)
            changes += not place.is_junction and before[:2] == lane[:2] and before[2] * lane[2] > 0 and before != lane
            self._lanes[number] = lane
        return changes

    def _event(self, what: str, frame: int, number: int, state: State) -> dict:
        place = state.front[state.ids.index(number)].round(1).tolist() if number in state.ids else None
        return {"what": what, "frame": frame, "car": number, "type": self.cars[number].type_id, "place": place}

    def _state(self, snapshot: carla.WorldSnapshot) -> State:
        ids, front, ahead, speed, length = [], [], [], [], []
        for number, box in self._boxes.items():
            actor = snapshot.find(number)
            if actor is None:
                continue
            pose, velocity = actor.get_transform(), actor.get_velocity()
            nose = pose.transform(carla.Location(box.location.x + box.extent.x, box.location.y, 0.0))
            forward = pose.get_forward_vector()
            ids.append(number)
            front.append((nose.x, nose.y, nose.z))
            ahead.append((forward.x, forward.y))
            speed.append(velocity.length())
            length.append(2.0 * box.extent.x)
        columns = (np.array(front).reshape(-1, 3), np.array(ahead).reshape(-1, 2), np.array(speed), np.array(length))
        return State(ids, *columns)

    def close(self) -> None:
        """Take everything away again."""
        for sensor in self._sensors:
            sensor.stop()
        ended = [*(sensor.id for sensor in self._sensors), *self.cars]
        # Not with a tick: the client would wait for it with the lock that the ends of its sensors need.
        self.client.apply_batch_sync([carla.command.DestroyActor(number) for number in ended], False)
        self.world.tick()
        if self.manager is not None:
            self.manager.shut_down()
        settings = self.world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds, settings.no_rendering_mode = False, None, False
        self.world.apply_settings(settings)


def _gaps(state: State) -> list[float]:
    """From each car that moves to the next one ahead [m]."""
    apart = state.front[None] - state.front[:, None]
    along = (apart[..., :2] * state.ahead[:, None]).sum(axis=2)
    across = apart[..., 1] * state.ahead[:, None, 0] - apart[..., 0] * state.ahead[:, None, 1]
    gaps = along - state.length[None]
    same = (state.ahead @ state.ahead.T > 0.9) & (np.abs(across) < _GAP_WIDTH) & (np.abs(apart[..., 2]) < 3.0)
    gaps = np.where(same & (along > 0.1) & (gaps < _LONGEST_GAP), np.maximum(gaps, 0.0), np.inf)
    nearest = gaps.min(axis=1, initial=np.inf)
    return nearest[(state.speed > _MOVING) & np.isfinite(nearest)].tolist()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start_server(town: str) -> tuple[subprocess.Popen[bytes], int]:
    command = [sys.executable, "-m", "minicarla", "-carla-rpc-port=0", f"--parent-pid={os.getpid()}"]
    options = ["--skip-overtaken-frames", "--town", town]
    process = subprocess.Popen([*command, *options], cwd=_REPOSITORY, stdout=subprocess.PIPE)
    assert process.stdout is not None
    line = next(line for line in process.stdout if b"listening" in line).decode()
    return process, int(line.split(":")[1].split()[0])


def measure(town: str, seed: int, options: argparse.Namespace) -> Traffic:
    """Traffic in one town, on a server of its own unless one is named."""
    process, port = (None, options.port) if options.port else _start_server(town)
    try:
        client = carla.Client(options.host, port)
        client.set_timeout(_TIMEOUT)
        chosen = options.filter, options.without, options.base_type, options.traffic
        measurement = Measurement(client, town, options.cars, seed, *chosen)
        traffic = measurement.run(60.0 * options.minutes)
        measurement.close()
    finally:
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait()
    traffic.processor_seconds = sum(os.times()[:4])
    return traffic


def _print(cells: tuple[str, ...]) -> None:
    print("  ".join(f"{cell:>{max(len(head), 7)}}" for cell, head in zip(cells, _COLUMNS)), flush=True)


def main() -> None:
    """Print the table, one line a drive, then one a town."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--towns", default="Town01,Town02,Town03,Town04,Town05")
    parser.add_argument("--cars", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10.0, help="simulated")
    parser.add_argument("--seeds", default="1", help="one or several, each of them in every town")
    parser.add_argument("--filter", default="vehicle.*", help="which blueprints drive")
    parser.add_argument("--without", default="", help="which of these do not")
    parser.add_argument("--base-type", default="", help="attribute that all of these have: car, truck, van, ...")
    parser.add_argument("--traffic", choices=("manager", "server"), default="manager", help="who drives")
    parser.add_argument("--processes", type=int, default=1, help="drives at the same time")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, help="of a CARLA that is running; default: embedded servers are started")
    parser.add_argument("--output", type=Path, help="file that a JSON line is appended to for each drive")
    parser.add_argument("--summary", type=Path, nargs="+", metavar="FILE", help="such files, to be shown together")
    options = parser.parse_args()
    if options.port and options.processes > 1:
        parser.error("--port names one server, which can show one town at a time: leave --processes out")
    if options.port and options.traffic == "server":
        parser.error("--traffic server is of embedded servers that are started here: leave --port out")
    if options.summary:
        _print(_COLUMNS)
        _summarise(read_drives(options.summary))
        return
    towns, seeds = options.towns.split(","), [int(seed) for seed in options.seeds.split(",")]
    _print(_COLUMNS)
    found = []
    # A process for each drive: a Traffic Manager lives and ends with its process.
    with ProcessPoolExecutor(options.processes, max_tasks_per_child=1) as pool:
        drives = [(town, seed) for town in towns for seed in seeds]
        for done in as_completed([pool.submit(measure, town, seed, options) for town, seed in drives]):
            traffic = done.result()
            found.append(traffic)
            _print(row(traffic.town, [traffic]))
            if options.output:
                with options.output.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(traffic), default=sorted) + "\n")
    if len(found) > 1:
        _summarise(found)


def _summarise(drives: Sequence[Traffic]) -> None:
    """Prints a line for each town and one for all."""
    towns = sorted({drive.town for drive in drives})
    for town in towns:
        _print(row(town, [drive for drive in drives if drive.town == town]))
    _print(row("all", drives))


def read_drives(files: Sequence[Path]) -> list[Traffic]:
    """What `--output` has written into files; of a town's drives with one seed, the last."""
    found: dict[tuple[str, int], Traffic] = {}
    for file in files:
        for text in file.read_text(encoding="utf-8").splitlines():
            values = json.loads(text)
            drive = Traffic(**{**values, "stood": set(values["stood"]), "lost": set(values["lost"])})
            found[drive.town, drive.seed] = drive
    return list(found.values())


if __name__ == "__main__":
    main()
