"""No client waits for a compiler: what is compiled ahead is all that anything calls, and an edit is noticed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import rllib_integration.embedded
from rllib_integration.embedded import warming
from rllib_integration.embedded.rpc.server import Server
from rllib_integration.embedded.world.clock import Clock
from rllib_integration.embedded.world.settings import EpisodeSettings
from rllib_integration.embedded.world.simulation import Simulation
from rllib_integration.embedded.world.spawning import spawn

_PACKAGE = Path(rllib_integration.embedded.__file__).parent

_USE_EVERYTHING = """
import json, sys
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher
from rllib_integration.embedded import warming
from rllib_integration.embedded.protocol.stream_framing import WORLD_STREAM_ID
from rllib_integration.embedded.rpc.server import Server
from rllib_integration.embedded.sensing import SENSORS
from rllib_integration.embedded.world.clock import Clock
from rllib_integration.embedded.world.settings import Weather
from rllib_integration.embedded.world.simulation import Simulation
from rllib_integration.embedded.world.spawning import SpawnError, spawn

def kernels():
    modules = [module for name, module in sys.modules.items() if name.startswith("rllib_integration.embedded")]
    found = {id(k): k for module in modules for k in vars(module).values() if isinstance(k, Dispatcher)}
    return {f"{k.__module__}.{k.__name__}": k for k in found.values()}

def variants():
    return {name: len(kernel.signatures) for name, kernel in kernels().items()}

def compiled_meanwhile(before):
    return [name for name, count in variants().items() if count != before.get(name, 0)]

warming.share([job for _, job in warming.jobs("Minitown", None)], 1)
simulation = Simulation()
server = Server(simulation, "127.0.0.1", 0, 0, Clock())
simulation.load("Minitown")
simulation.warm_up()
before = variants()
sent = set()
server.has_subscribers = lambda stream: True
server.send = lambda stream, kind, *rest: sent.add(kind)
library = simulation.library
x, y, z, yaw = (float(value) for value in simulation.episode.town.spawn_points[0][[0, 1, 2, 4]])
pose = ((x, y, z), (0.0, yaw, 0.0))
still = ((0.0, 0.0, 2.5), (0.0, 0.0, 0.0))
car = spawn(simulation, library.find("vehicle.tesla.model3"), {}, pose)
try:
    spawn(simulation, library.find("vehicle.tesla.model3"), {}, pose)
except SpawnError:
    pass
spawn(simulation, library.find("walker.pedestrian.0001"), {}, ((x + 10.0, y, z + 1.0), (0.0, 0.0, 0.0)))
spawn(simulation, library.find("static.prop.box01"), {}, ((x + 5.0, y, z + 1.0), (0.0, 0.0, 0.0)))
spawn(simulation, library.find("static.trigger.friction"), {"friction": "1.0"}, pose)

def use(sensors):
    for sensor in sensors:
        small = {"image_size_x": "16", "image_size_y": "16"} if "camera" in sensor else {}
        spawn(simulation, library.find(sensor), small, still, parent=car)
    for weather in (Weather(), Weather(precipitation=60.0, sun_altitude_angle=-20.0)):
        simulation.set_weather(weather)
        for _ in range(2):
            server.tick(0.05)

use(set(SENSORS) - warming.LATE_SENSORS)
missed = compiled_meanwhile(before)
warming.share([job for _, job in warming.late_jobs()], 1)
before = variants()
use(warming.LATE_SENSORS)
missed += compiled_meanwhile(before)
forgotten = [name for name, kernel in kernels().items() if isinstance(kernel._cache, NullCache)]
print(json.dumps({"known": len(before), "sent": len(sent), "missed": missed, "forgotten": forgotten}))
"""


def test_the_server_compiles_everything_before_it_is_asked_for():
    finished = subprocess.run(
        [sys.executable, "-c", _USE_EVERYTHING], capture_output=True, text=True, timeout=280
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout)
    assert result["known"] > 100
    assert result["sent"] > 10
    assert result["missed"] == []
    assert result["forgotten"] == []


def test_a_lidar_of_a_synchronous_world_waits_for_its_kernels_and_a_camera_does_not(tmp_path):
    def compile_late() -> None:
        os.read(told, 1)
        (tmp_path / "compiled").touch()

    told, tell = os.pipe()
    late = warming.Background(compile_late)

    def wait() -> None:
        os.write(tell, b"x")
        late.finish()
        assert (tmp_path / "compiled").exists()

    simulation = Simulation()
    server = Server(simulation, "127.0.0.1", 0, 0, Clock())
    server.has_subscribers = lambda stream: True
    simulation.load("Minitown")
    simulation.apply_settings(EpisodeSettings(synchronous_mode=True, fixed_delta_seconds=0.05))
    simulation.sensors.await_kernels = dict.fromkeys(warming.LATE_SENSORS, wait)
    pose = ((0.0, 0.0, 5.0), (0.0, 0.0, 0.0))
    spawn(simulation, simulation.library.find("sensor.camera.rgb"), {}, pose)
    server.tick_once()
    assert not (tmp_path / "compiled").exists()
    for _ in range(2):
        spawn(simulation, simulation.library.find("sensor.lidar.ray_cast"), {}, pose)
    server.tick_once()
    assert not Path(f"/proc/{late.process}").exists()
    os.close(told)
    os.close(tell)


def _folders(package: Path) -> dict[str, str]:
    """The folder of each file's kernels, as a copy of the package has it."""
    program = (
        "from rllib_integration.embedded import kernel_cache, warming\n"
        "for path, folder in kernel_cache._folders.items(): print(path.stem, folder.name)\n"
        "print('complete', kernel_cache._marker().name)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=package, capture_output=True, text=True, check=True, timeout=120
    )
    return dict(line.split() for line in finished.stdout.splitlines())


def test_an_edit_makes_the_kernels_stale_that_it_can_reach_and_no_others(tmp_path):
    shutil.copytree(_PACKAGE, tmp_path / "rllib_integration" / "embedded", ignore=shutil.ignore_patterns("__pycache__"))
    before = _folders(tmp_path)
    tyres = tmp_path / "rllib_integration" / "embedded" / "physics" / "tyres.py"
    tyres.write_text(tyres.read_text().replace("RELAXATION_LENGTH = ", "RELAXATION_LENGTH = 2 * "))
    after = _folders(tmp_path)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"tyres", "vehicle", "step", "complete"}


def test_jobs_are_shared_and_each_is_done_once(tmp_path):
    def note(number: int) -> None:
        with (tmp_path / str(number)).open("a") as file:
            file.write(f"{os.getpid()}\n")

    assert warming.share([lambda number=number: note(number) for number in range(40)], 3)
    lines = [(tmp_path / str(number)).read_text().splitlines() for number in range(40)]
    assert [len(line) for line in lines] == [1] * 40


@pytest.mark.parametrize("fault", ["raises", "is killed"])
def test_a_job_that_fails_costs_only_itself(tmp_path, fault):
    here = os.getpid()

    def fail() -> None:
        if fault == "raises":
            raise ZeroDivisionError
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)

    jobs = [fail, *(lambda number=number: (tmp_path / str(number)).touch() for number in range(5))]
    done = warming.share(jobs, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == list("01234")
    assert not done or fault == "is killed"
