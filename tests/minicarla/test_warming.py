"""No client waits for a compiler: what is compiled ahead is all that anything calls, and an edit is noticed."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import carla
import psutil
import pytest

import minicarla
from minicarla import warming
from minicarla.kernels import cache as kernel_cache
from tests.conftest import EmbeddedServer
from tests.patience import PATIENCE

_PACKAGE = Path(minicarla.__file__).parent

_USE_EVERYTHING = """
import json, sys
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher
from minicarla import warming
from minicarla.protocol.stream_framing import WORLD_STREAM_ID
from minicarla.protocol.connection import bind_port, open_port
from minicarla.rpc.server import Server
from minicarla.sensing import SENSORS
from minicarla.world.clock import Clock
from minicarla.world.settings import Weather
from minicarla.world.simulation import Simulation
from minicarla.world.spawning import SpawnError, spawn

def kernels():
    modules = [module for name, module in sys.modules.items() if name.startswith("minicarla")]
    found = {id(k): k for module in modules for k in vars(module).values() if isinstance(k, Dispatcher)}
    return {f"{k.__module__}.{k.__name__}": k for k in found.values()}

def variants():
    return {name: len(kernel.signatures) for name, kernel in kernels().items()}

def compiled_meanwhile(before):
    return [name for name, count in variants().items() if count != before.get(name, 0)]

warming.share([job for _, job in warming.jobs("Minitown", None)], 1)
simulation = Simulation()
server = Server(simulation, open_port(bind_port("127.0.0.1", 0)), open_port(bind_port("127.0.0.1", 0)), Clock())
simulation.load("Minitown")
server.warm_up()
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

use(set(SENSORS) - set(warming.LATE_SENSORS))
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
        [sys.executable, "-c", _USE_EVERYTHING], capture_output=True, text=True, timeout=600
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout)
    assert result["known"] > 100
    assert result["sent"] > 10
    assert result["missed"] == []
    assert result["forgotten"] == []


@pytest.fixture
def compiling(tmp_path):
    """A server whose late jobs wait until the test lets them go on, and what lets one, by its name."""
    pipes = {}
    for name, _ in warming.late_jobs():
        os.mkfifo(tmp_path / name)
        pipes[name] = os.open(tmp_path / name, os.O_RDWR)
    server = EmbeddedServer(tmp_path / "server.log", program=("tests.minicarla.compiling_server", str(tmp_path)))
    yield server, lambda name: os.write(pipes[name], b"x")
    server.stop()
    for pipe in pipes.values():
        os.close(pipe)


_SPAWN = """
import sys
import carla
client = carla.Client(sys.argv[1], int(sys.argv[2]))
client.set_timeout(60.0)
world = client.get_world()
blueprint = world.get_blueprint_library().find(sys.argv[3])
print("asks", flush=True)
place = carla.Transform(carla.Location(z=5.0))
if sys.argv[4] == "batch":
    spawned = not client.apply_batch_sync([carla.command.SpawnActor(blueprint, place)], False)[0].error
else:
    spawned = world.spawn_actor(blueprint, place).type_id == blueprint.id
print(spawned, flush=True)
"""


def _make_synchronous(world: carla.World) -> None:
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)


def _ask_for(sensor: str, how: str, server: EmbeddedServer) -> subprocess.Popen[str]:
    """A client that has begun to spawn a sensor; while it waits it would stop all threads of this process."""
    command = [sys.executable, "-c", _SPAWN, server.host, str(server.port), sensor, how]
    asking = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert asking.stdout is not None
    assert asking.stdout.readline() == "asks\n"
    return asking


def test_a_sensor_waits_for_its_own_kernels_while_others_drive_on(compiling):
    server, go_on = compiling
    client = carla.Client(*server.address)
    client.set_timeout(PATIENCE)
    world = client.get_world()
    _make_synchronous(world)
    camera = _ask_for("sensor.camera.rgb", "alone", server)
    lidar = _ask_for("sensor.lidar.ray_cast", "batch", server)
    world.spawn_actor(world.get_blueprint_library().find("sensor.other.imu"), carla.Transform())
    for _ in range(10):
        world.tick()
    go_on("shading")
    world.tick()
    assert camera.poll() is None  # it needs shapes and outlines, too
    go_on("shapes")
    go_on("outlines")
    assert camera.communicate(timeout=PATIENCE)[0] == "True\n"
    assert lidar.poll() is None
    go_on("rays")
    assert lidar.communicate(timeout=PATIENCE)[0] == "True\n"


def test_ticks_wait_for_a_sensor_that_was_spawned_before_its_kernels_were_there_and_not_for_ever(compiling):
    server, _ = compiling
    client = carla.Client(*server.address)
    client.set_timeout(PATIENCE)
    world = client.get_world()
    blueprint = world.get_blueprint_library().find("sensor.lidar.ray_cast")
    lidar = world.spawn_actor(blueprint, carla.Transform(carla.Location(z=5.0)))
    frames: queue.SimpleQueue[int] = queue.SimpleQueue()
    lidar.listen(lambda scan: frames.put(scan.frame))
    world.wait_for_tick(PATIENCE)  # an asynchronous world goes on
    client.set_timeout(1.0)
    with pytest.raises(RuntimeError, match="time-out"):
        _make_synchronous(world)  # which ticks
    assert frames.empty()
    for process in psutil.Process(server.process.pid).children():
        process.kill()
    assert frames.get(timeout=PATIENCE) > 0
    lidar.destroy()


def _folders(package: Path) -> dict[str, str]:
    """The folder of each file's kernels, as a copy of the package has it."""
    program = (
        "from minicarla import warming\nfrom minicarla.kernels import cache as kernel_cache\n"
        "for path, folder in kernel_cache._folders.items(): print(path.stem, folder.name)\n"
        "print('complete', kernel_cache._marker().name)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=package, capture_output=True, text=True, check=True, timeout=120
    )
    return dict(line.split() for line in finished.stdout.splitlines())


def test_an_edit_makes_the_kernels_stale_that_it_can_reach_and_no_others(tmp_path):
    shutil.copytree(_PACKAGE, tmp_path / "minicarla", ignore=shutil.ignore_patterns("__pycache__"))
    before = _folders(tmp_path)
    tyres = tmp_path / "minicarla" / "physics" / "tyres.py"
    tyres.write_text(tyres.read_text().replace("RELAXATION_LENGTH = ", "RELAXATION_LENGTH = 2 * "))
    after = _folders(tmp_path)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"tyres", "vehicle", "step", "complete"}


_DAY = 24 * 3600.0


def test_kernels_that_nobody_uses_any_more_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kernel_cache, "_folders", {Path("step.py"): Path("step-new"), Path("prop.py"): Path("prop-1")})

    def add_version(marker: str, package: Path, days: float, *folders: str) -> None:
        for name in folders:
            (tmp_path / name).mkdir(exist_ok=True)
        path = tmp_path / marker
        path.write_text("\n".join([str(package), *folders]))
        os.utime(path, (0.0, time.time() - days * _DAY))

    (tmp_path / "step-new").mkdir()
    assert not kernel_cache.is_complete()
    own = kernel_cache._marker().name
    add_version(f"{own[:-12]}of2daysago", _PACKAGE, 2.0, "step-old", "prop-1")
    add_version(f"{own[:-12]}ofthishour", _PACKAGE, 0.02, "step-recent")
    add_version("complete-other000-checkout", tmp_path, 20.0, "step-other", "prop-other")
    add_version("complete-unused00-checkout", tmp_path, 40.0, "step-unused", "prop-other")
    add_version("complete-gone0000-checkout", tmp_path / "gone", 2.0, "step-gone")
    (tmp_path / "step-unknown").mkdir()
    (tmp_path / "of-another-program").mkdir()
    for name, days in (("step-unknown", 40.0), ("of-another-program", 40.0), ("prop-other", 40.0)):
        os.utime(tmp_path / name, (0.0, time.time() - days * _DAY))
    kernel_cache.note_complete()
    left = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert left == {"step-new", "prop-1", "step-recent", "step-other", "prop-other", "of-another-program"}
    markers = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert markers == {own, f"{own[:-12]}ofthishour", "complete-other000-checkout"}
    os.utime(tmp_path / own, (0.0, 0.0))
    assert kernel_cache.is_complete()
    assert (tmp_path / own).stat().st_mtime > time.time() - _DAY


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
