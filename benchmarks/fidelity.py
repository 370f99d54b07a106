"""How near the embedded server comes to real CARLA: real figure, embedded one, and their ratio.

    python benchmarks/fidelity.py [--logs FOLDER] [--host HOST --port PORT]

Every figure is driven anew through the real client, on a straight road that is made for it, with steps of 0.05 s unless
its line says otherwise. The real ones and their sources are in `carla_figures.json`. With `--logs` two recorder logs
are replayed, too: FOLDER holds `mkz_2017_straight.csv` and `mkz_2017_slalom.csv`, a line for each frame, with the
columns t, dt, throttle, brake, handbrake, steer, x, y, yaw, v_long and wz. `--port` measures a CARLA that runs already,
to check the figures themselves.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import carla
import msgpack
import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Record

FIGURES: Record = json.loads(Path(__file__).with_name("carla_figures.json").read_text(encoding="utf-8"))
"""What is known of real CARLA: see `about` and `sources` in it."""

_REPOSITORY = Path(__file__).resolve().parents[1]
_TIMEOUT = 120.0
_STEP, _LOG_STEP = 0.05, 0.045
_LENGTH, _LANES, _LANE_WIDTH = 5000, 4, 4.0
_SUBSTEPS = 16
"""CARLA's highest number: frames of the logs are up to 0.13 s long."""
_FIXED_DELTA = 2
"""Place of `fixed_delta_seconds` in the settings on the wire."""

Control = Callable[[float, float], tuple[float, float, float]]
"""Throttle, brake and steering, by the time and the speed."""


def straight_road() -> str:
    """OpenDRIVE text of a level straight road along x with `_LANES` lanes each way."""

    def lanes(numbers: range) -> str:
        return "".join(
            f'<lane id="{number}" type="driving" level="false">'
            f'<width sOffset="0" a="{_LANE_WIDTH}" b="0" c="0" d="0"/></lane>'
            for number in numbers
        )

    return (
        '<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4" name="" version="1"/>'
        f'<road name="" length="{_LENGTH}" id="1" junction="-1"><planView>'
        f'<geometry s="0" x="0" y="0" hdg="0" length="{_LENGTH}"><line/></geometry></planView>'
        '<elevationProfile><elevation s="0" a="0" b="0" c="0" d="0"/></elevationProfile><lanes><laneSection s="0">'
        f"<left>{lanes(range(_LANES, 0, -1))}</left>"
        '<center><lane id="0" type="none" level="false"/></center>'
        f"<right>{lanes(range(-1, -1 - _LANES, -1))}</right></laneSection></lanes></road></OpenDRIVE>"
    )


class Changes(NamedTuple):
    """Changes of gear.

    Attributes:
        speeds: In their first frames, m/s.
        begins: The times of these, s.
        took: Seconds each.
    """

    speeds: list[float]
    begins: list[float]
    took: list[float]


class Trace:
    """A drive, frame by frame: arrays float64 (frames,).

    Attributes:
        t: Seconds since the first control.
        speed: Forward, m/s.
        gear: As the client tells it; 0 while gears change.
        yaw, yaw_rate: Degrees, degrees/s.
        pitch, roll: Degrees.
        way: Metres from the place of the first control.
    """

    def __init__(self, rows: list[tuple[float, ...]]) -> None:
        columns = np.array(rows).reshape(-1, 8).T
        self.t, self.speed, self.gear, self.yaw, self.yaw_rate, self.pitch, self.roll, self.way = columns

    def acceleration_at(self, speed: float) -> float:
        """While the car slows down through a speed, m/s^2: over 0.1 s, which hides single frames."""
        fastest = int(np.argmax(self.speed))
        at = fastest + int(np.argmax(self.speed[fastest:] <= speed))
        near = np.abs(self.t - self.t[at]) <= 0.05 + 1e-6
        return float(np.polyfit(self.t[near], self.speed[near], 1)[0])

    def speed_at(self, seconds: float) -> float:
        """Speed so long after the first control, m/s."""
        return float(np.interp(seconds, self.t, self.speed))

    def from_to(self, fast: float, slow: float) -> tuple[float, float]:
        """Seconds and metres from the last frame at least this fast to the first one that is this slow."""
        begin = int(np.flatnonzero(self.speed >= fast)[-1])
        end = begin + int(np.argmax(self.speed[begin:] <= slow))
        return float(self.t[end] - self.t[begin]), float(self.way[end] - self.way[begin])

    @property
    def moved_after(self) -> float:
        """Seconds until the first motion."""
        return float(self.t[np.argmax(self.speed > 0.02)])

    @property
    def lateral(self) -> NDArray[np.float64]:
        """Acceleration to the side, m/s^2."""
        return np.radians(np.abs(self.yaw_rate)) * self.speed

    def changes(self) -> Changes:
        """The changes of gear."""
        begins = np.flatnonzero((self.gear[1:] == 0) & (self.gear[:-1] > 0)) + 1
        ends = [int(begin + np.argmax(self.gear[begin:] > 0)) for begin in begins]
        took = [float(self.t[end] - self.t[begin]) for begin, end in zip(begins, ends)]
        return Changes(self.speed[begins].tolist(), self.t[begins].tolist(), took)


class Road:
    """The straight road of a server, and the drives on it.

    Args:
        host, port: Of the server, whose world is replaced.
    """

    def __init__(self, host: str, port: int) -> None:
        client = carla.Client(host, port)
        client.set_timeout(_TIMEOUT)
        self._address = host, port
        parameters = carla.OpendriveGenerationParameters(wall_height=0.0)
        self.world = client.generate_opendrive_world(straight_road(), parameters)
        self._step = _STEP
        self._set_step(_STEP)

    def _set_step(self, seconds: float) -> None:
        settings = self.world.get_settings()
        settings.synchronous_mode, settings.no_rendering_mode = True, True
        settings.fixed_delta_seconds, settings.max_substeps = seconds, _SUBSTEPS
        self.world.apply_settings(settings)
        self._step = seconds

    @contextmanager
    def stepping(self, seconds: float) -> Iterator[None]:
        """Ticks of another length."""
        self._set_step(seconds)
        yield
        self._set_step(_STEP)

    @contextmanager
    def single_steps(self) -> Iterator[Callable[[float], None]]:
        """A function that sets the length of the next tick alone: the client's own makes ticks, too."""
        with socket.create_connection(self._address, _TIMEOUT) as connection:
            unpacker = msgpack.Unpacker()

            def call(method: str, *arguments: object) -> Any:
                connection.sendall(msgpack.packb([0, 1, method, [[False], *arguments]]))
                while True:
                    for _, _, _, (succeeded, answer) in (
                        (kind, number, error, result[0]) for kind, number, error, result in unpacker
                    ):
                        if not succeeded:
                            raise RuntimeError(f"the server refused {method}: {answer}")
                        return answer
                    unpacker.feed(connection.recv(1 << 16))

            def step(seconds: float) -> None:
                settings = call("get_episode_settings")
                settings[_FIXED_DELTA] = [True, seconds]
                call("set_episode_settings", settings)

            yield step
        self._set_step(_STEP)

    @contextmanager
    def car(self, blueprint: str, settled: bool = True) -> Iterator[carla.Vehicle]:
        """A car at the beginning of the road, dropped as from a spawn point, which is taken away afterwards."""
        place = carla.Transform(carla.Location(20.0, 0.5 * _LANE_WIDTH, 0.6))
        car = self.world.spawn_actor(self.world.get_blueprint_library().find(blueprint), place)
        try:
            for _ in range(round(2.0 / self._step) if settled else 1):
                self.world.tick()
            yield car
        finally:
            car.destroy()
            self.world.tick()

    def drive(self, car: carla.Vehicle, control: Control, seconds: float, gear: int = 0) -> Trace:
        """Drives for so long, in a gear or with the automatic box."""
        rows: list[tuple[float, ...]] = []
        speed, start = float(car.get_velocity().length()), car.get_location()
        for frame in range(round(seconds / self._step)):
            throttle, brake, steer = control(frame * self._step, speed)
            wanted = carla.VehicleControl(throttle=throttle, brake=brake, steer=steer)
            wanted.manual_gear_shift, wanted.gear = gear > 0, gear
            car.apply_control(wanted)
            self.world.tick()
            rows.append(((frame + 1) * self._step, *_state(car, start)))
            speed = rows[-1][1]
        return Trace(rows)

    def accelerate(self, car: carla.Vehicle, speed: float) -> None:
        """Full throttle until a speed is reached, m/s."""
        car.apply_control(carla.VehicleControl(throttle=1.0))
        while car.get_velocity().length() < speed:
            self.world.tick()


def _state(car: carla.Vehicle, start: carla.Location) -> tuple[float, ...]:
    pose, velocity = car.get_transform(), car.get_velocity()
    turned = pose.rotation
    return (
        velocity.dot(pose.get_forward_vector()),
        car.get_control().gear,
        turned.yaw,
        car.get_angular_velocity().z,
        turned.pitch,
        turned.roll,
        pose.location.distance(start),
    )


def held(throttle: float) -> Control:
    """The throttle at the same position all the time."""
    return lambda t, speed: (throttle, 0.0, 0.0)


class Replay:
    """A recorder log driven again, with its pedals, its steering and the lengths of its frames.

    Args:
        road: Where.
        log: CSV file, one line a frame, of a drive on level ground.
        vehicle: Blueprint id.

    Attributes:
        speed_error, yaw_error, yaw_rate_error: In the mean square, m/s, degrees, degrees/s.
        ways: Metres driven here and in the log.
    """

    def __init__(self, road: Road, log: Path, vehicle: str) -> None:
        with log.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        column = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
        driven: list[tuple[float, ...]] = []
        with road.car(vehicle, settled=False) as car, road.single_steps() as set_step:
            start = car.get_location()
            for t, dt, throttle, brake, hand_brake, steer in zip(
                *(column[name].tolist() for name in ("t", "dt", "throttle", "brake", "handbrake", "steer"))
            ):
                set_step(dt)
                car.apply_control(carla.VehicleControl(throttle, steer, brake, hand_brake=hand_brake > 0.0))
                road.world.tick()
                driven.append((t + dt, *_state(car, start)))
        self._begins = column["t"]
        self._trace = trace = Trace(driven)
        turned = column["yaw"] - column["yaw"][0]
        self.speed_error = _root_mean_square(trace.speed - column["v_long"])
        self.yaw_error = _root_mean_square((trace.yaw - turned + 180.0) % 360.0 - 180.0)
        self.yaw_rate_error = _root_mean_square(trace.yaw_rate - column["wz"])
        real_way = math.hypot(column["x"][-1] - column["x"][0], column["y"][-1] - column["y"][0])
        self.ways = float(trace.way[-1]), real_way

    def at(self, seconds: float, what: str) -> float:
        """An attribute of `Trace` in the frame of the log that has this time."""
        return float(getattr(self._trace, what)[np.argmin(np.abs(self._begins - seconds))])


def _root_mean_square(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


class Table:
    """Lines of real, embedded, ratio."""

    def head(self, title: str) -> None:
        """Begins a part."""
        print(f"\n{title:78s} {'real':>9s} {'here':>9s} {'ratio':>6s}  source", flush=True)

    def add(self, what: str, expected: float, found: float, source: str = "log") -> None:
        """Prints a line."""
        ratio = f"{found / expected:6.2f}" if expected else " " * 6
        print(f"  {what:76s} {expected:9.3g} {found:9.3g} {ratio}  {source}", flush=True)


def speeds(road: Road, table: Table) -> None:
    """What a throttle leads to."""
    table.head("Speed")
    for vehicle, throttle, seconds, speed, source in FIGURES["held_speeds"]["rows"]:
        found = held_speed(road, vehicle, throttle, seconds)
        table.add(f"{_name(vehicle)}, throttle {throttle}: speed after {seconds} s, m/s", speed, found, source)
    known = FIGURES["holding_throttle"]
    found = holding_throttle(road, known["vehicle"], known["speed"])
    table.add(f"{_name(known['vehicle'])}, throttle that holds {known['speed']} m/s", known["throttle"], found)
    for (vehicle, throttle), points in groupby(FIGURES["after_motion"]["rows"], key=lambda row: row[:2]):
        with road.car(vehicle) as car:
            trace = road.drive(car, held(throttle), 15.0)
        for _, _, seconds, speed, source in points:
            what = f"{_name(vehicle)}, throttle {throttle}: {seconds} s after it moves, m/s"
            table.add(what, speed, trace.speed_at(trace.moved_after + seconds), source)
    known = FIGURES["seconds_to_100_kmh"]
    with road.car(known["vehicle"]) as car:
        trace = road.drive(car, held(1.0), 12.0)
    found = float(np.interp(100 / 3.6, trace.speed, trace.t))
    table.add(f"{_name(known['vehicle'])}, 0 to 100 km/h, s", known["seconds"], found, known["source"])


def held_speed(road: Road, vehicle: str, throttle: float, seconds: float) -> float:
    """Speed that a throttle held from rest leads to, m/s."""
    with road.car(vehicle) as car:
        return float(road.drive(car, held(throttle), seconds).speed[-1])


def holding_throttle(road: Road, vehicle: str, speed: float) -> float:
    """Throttle with which a car keeps a speed: the mean of a controller's."""
    given: list[float] = []

    def control(t: float, now: float) -> tuple[float, float, float]:
        given.append(min(max(0.4 + 0.3 * (speed - now), 0.0), 1.0))
        return given[-1], 0.0, 0.0

    with road.car(vehicle) as car:
        road.drive(car, control, 40.0)
    return float(np.mean(given[-200:]))


def starts(road: Road, table: Table) -> None:
    """How long it takes until a car moves."""
    table.head("Starts (steps of 0.01 s)")
    for vehicle, throttle, seconds, source in FIGURES["dead_times"]["rows"]:
        found = dead_time(road, vehicle, throttle)
        table.add(f"{_name(vehicle)}, throttle {throttle}: moves after, s", seconds, found, source)
    known = FIGURES["dead_time_after_a_stop"]
    found = dead_time_after_a_stop(road, known["vehicle"])
    table.add(
        f"{_name(known['vehicle'])}, full throttle after a stop: moves after, s (at most)", known["at most"], found
    )


def dead_time(road: Road, vehicle: str, throttle: float) -> float:
    """Seconds from the throttle to the first motion of a car that has just been spawned."""
    with road.stepping(0.01), road.car(vehicle) as car:
        return road.drive(car, held(throttle), 3.0).moved_after


def dead_time_after_a_stop(road: Road, vehicle: str) -> float:
    """The same of one that has stopped in first gear."""
    with road.stepping(0.01), road.car(vehicle) as car:
        road.drive(car, held(1.0), 1.5)
        road.drive(car, lambda t, speed: (0.0, float(t < 2.0), 0.0), 2.5)
        return road.drive(car, held(1.0), 1.0).moved_after


def gears(road: Road, table: Table) -> None:
    """When and how gears change."""
    known = FIGURES["gears"]
    up, down = gear_changes(road, known["vehicle"])
    table.head(f"Gears of the {_name(known['vehicle'])} (steps of 0.025 s)")
    for gear, (expected, found) in enumerate(zip(known["changes_up_full_throttle"], up.speeds), 1):
        table.add(f"full throttle, {gear} to {gear + 1}, m/s", expected, found)
    for gear, expected, found in zip((4, 3, 2), known["changes_down_no_throttle"], down.speeds[-3:]):
        table.add(f"no throttle, {gear} to {gear - 1}, m/s", expected, found)
    table.add("a change takes, s", known["change_takes"], float(np.mean(up.took)))
    table.add("least time between two, s", known["least_spacing"], float(np.min(np.diff(up.begins))))


def gear_changes(road: Road, vehicle: str) -> tuple[Changes, Changes]:
    """Automatic changes up with full throttle, then down without."""
    with road.stepping(0.025), road.car(vehicle) as car:
        up = road.drive(car, held(1.0), 8.0)
        return up.changes(), road.drive(car, held(0.0), 12.0).changes()


def coasting(road: Road, table: Table) -> None:
    """What a car loses without throttle."""
    table.head("Coasting, m/s^2 (steps of 0.025 s)")
    for vehicle, gear, speed, expected, source in FIGURES["coasting"]["rows"]:
        found = coast(road, vehicle, speed, gear)
        table.add(f"{_name(vehicle)} at {speed} m/s in gear {gear}", expected, found, source)


def coast(road: Road, vehicle: str, speed: float, gear: int) -> float:
    """Acceleration of a car without throttle that has been slowing down in a gear for half a second, m/s^2."""
    with road.stepping(0.025), road.car(vehicle) as car:
        road.accelerate(car, speed + 2.0)
        return road.drive(car, held(0.0), 2.5, gear).acceleration_at(speed)


def braking(road: Road, table: Table) -> None:
    """What a brake does, in gear."""
    table.head("Brakes")
    for vehicle, brake, speed, expected, source in FIGURES["braking"]["rows"]:
        what = f"{_name(vehicle)}, brake {brake} at {speed} m/s, m/s^2"
        table.add(what, expected, stop(road, vehicle, speed + 2.5, brake).acceleration_at(speed), source)
    known = FIGURES["braking_from_80_kmh"]
    seconds, metres = stop(road, known["vehicle"], 80 / 3.6, 1.0).from_to(80 / 3.6, 0.1)
    table.add(f"{_name(known['vehicle'])}, 80 to 0 km/h, s", known["seconds"], seconds, known["source"])
    table.add("the same, m", known["metres"], metres, known["source"])
    known = FIGURES["hard_stop"]
    with road.stepping(0.025):
        seconds, metres = stop(road, known["vehicle"], 10.0, 1.0).from_to(known["from speed"], 0.1)
    what = f"{_name(known['vehicle'])}, full brake, {known['from speed']} m/s to rest, s (steps of 0.025 s)"
    table.add(what, known["seconds"], seconds)
    table.add("the same, m", known["metres"], metres)


def stop(road: Road, vehicle: str, speed: float, brake: float) -> Trace:
    """A car that brakes from a speed until it stands."""
    with road.car(vehicle) as car:
        road.accelerate(car, speed)
        return road.drive(car, lambda t, now: (0.0, brake, 0.0), 12.0)


def steering(road: Road, table: Table) -> None:
    """How a car turns."""
    known = FIGURES["steering"]
    table.head(f"Steering of the {_name(known['vehicle'])}")
    for speed, steer, seconds, expected in known["curvature_after_a_step"]:
        what = f"curvature for each unit of steering at {speed} m/s, {seconds} s after a step, 1/m"
        table.add(what, expected, curvature(road, known["vehicle"], speed, steer, seconds))
    jump = known["yaw_rates_after_a_step"]
    with road.stepping(_LOG_STEP):
        trace = turn(road, known["vehicle"], jump["speed"], jump["steer"], jump["rows"][-1][0] + _LOG_STEP)
    for seconds, expected in jump["rows"]:
        what = f"yaw rate {seconds} s after steering {jump['steer']} at {jump['speed']} m/s, degrees/s"
        table.add(what, expected, float(np.interp(seconds, trace.t, trace.yaw_rate)))
    lateral = float(turn(road, known["vehicle"], 20.0, 0.5, 1.0).lateral.max())
    seen = known["lateral_acceleration_seen_without_a_slide"]
    table.add("most lateral acceleration, m/s^2 (real: at least)", seen, lateral)


def curvature(road: Road, vehicle: str, speed: float, steer: float, seconds: float) -> float:
    """Of the way for each unit of steering, so long after a step of it, 1/m."""
    with road.stepping(_LOG_STEP):
        trace = turn(road, vehicle, speed, steer, seconds + _LOG_STEP)
    return math.radians(float(np.interp(seconds, trace.t, trace.yaw_rate / trace.speed))) / steer


def turn(road: Road, vehicle: str, speed: float, steer: float, seconds: float) -> Trace:
    """What follows on a step of the steering at a speed."""
    with road.car(vehicle) as car:
        road.accelerate(car, speed)
        return road.drive(car, lambda t, now: (0.0, 0.0, steer), seconds)


def bodies(road: Road, table: Table) -> None:
    """Sizes and places."""
    table.head("Body, m and degrees")
    for vehicle, known in FIGURES["bodies"].items():
        with road.car(vehicle) as car:
            box, control, pose = car.bounding_box, car.get_physics_control(), car.get_transform()
        for axis, centre, extent in zip("xyz", known["centre"], known["extent"]):
            table.add(f"{_name(vehicle)}, box, centre {axis}", centre, getattr(box.location, axis))
            table.add(f"{_name(vehicle)}, box, half size {axis}", extent, getattr(box.extent, axis))
        wheels = np.array([(wheel.position.x, wheel.position.y) for wheel in control.wheels]) / 100.0
        table.add(f"{_name(vehicle)}, wheelbase", known["wheelbase"], wheels[0, 0] - wheels[2, 0])
        table.add(f"{_name(vehicle)}, track", known["track"], wheels[1, 1] - wheels[0, 1])
        for wheel, expected in zip((0, 2), known.get("axles", ())):
            table.add(f"{_name(vehicle)}, axle", expected, wheels[wheel, 0] - pose.location.x)
        if "height_at_rest" in known:
            table.add(f"{_name(vehicle)}, height of the origin at rest", known["height_at_rest"], pose.location.z)


def replays(road: Road, table: Table, folder: Path) -> None:
    """The logs, driven again."""
    table.head("Logs driven again (steps of the log; real: the most that a test allows)")
    for name, vehicle, most_speed, most_yaw in FIGURES["replays"]["rows"]:
        replay = Replay(road, folder / name, vehicle)
        table.add(f"{name}: error of the speed, m/s", most_speed, replay.speed_error)
        table.add(f"{name}: error of the yaw, degrees", most_yaw, replay.yaw_error)
        table.add(f"{name}: way, m (real: of the log)", replay.ways[1], replay.ways[0])
        for seconds, what, expected in frames(name):
            table.add(f"{name}: {what} at {seconds} s, degrees(/s)", expected, replay.at(seconds, what))


def frames(log: str) -> list[tuple[float, str, float]]:
    """What was recorded in single frames of a log on even ground: seconds, attribute of `Trace`, value."""
    return [
        (seconds, what, value) for name, seconds, what, value in FIGURES["replays"]["frames"]["rows"] if name == log
    ]


def _name(vehicle: str) -> str:
    return vehicle.rsplit(".", 1)[1]


@contextmanager
def _server() -> Iterator[int]:
    """An embedded server's port."""
    command = [sys.executable, "-m", "minicarla", "-carla-rpc-port=0", f"--parent-pid={os.getpid()}"]
    process = subprocess.Popen(command, cwd=_REPOSITORY, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if b"listening" in line).decode()
        yield int(line.split(":")[1].split()[0])
    finally:
        process.terminate()
        process.wait()


def measure(host: str, port: int, logs: Path | None) -> None:
    """Prints all tables of one server."""
    road, table = Road(host, port), Table()
    for part in (speeds, starts, gears, coasting, braking, steering, bodies):
        part(road, table)
    if logs is not None:
        replays(road, table, logs)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--logs", type=Path, help="folder of the recorder logs as CSV files")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, help="of a CARLA that is running; default: an embedded server is started")
    options = parser.parse_args()
    names = [row[0] for row in FIGURES["replays"]["rows"]]
    missing = [name for name in names if options.logs and not (options.logs / name).is_file()]
    if missing:
        parser.error(f"{options.logs} holds no {' and no '.join(missing)}: name the logs' folder, or leave --logs out")
    if options.port:
        measure(options.host, options.port, options.logs)
        return
    with _server() as port:
        measure("127.0.0.1", port, options.logs)


if __name__ == "__main__":
    main()
