"""No client waits for a compiler: what is compiled ahead is all that anything calls, and an edit is noticed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

import minicarla
from minicarla import warming
from minicarla.kernels import cache as kernel_cache
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
from minicarla.world.autopilot import Manners
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
simulation.publisher.has_subscribers = lambda stream: True
simulation.publisher.send = lambda stream, kind, *rest: sent.add(kind)
library = simulation.library
x, y, z, yaw = (float(value) for value in simulation.episode.town.spawn_points[0][[0, 1, 2, 4]])
pose = ((x, y, z), (0.0, yaw, 0.0))
still = ((0.0, 0.0, 2.5), (0.0, 0.0, 0.0))
car = spawn(simulation, library.find("vehicle.tesla.model3"), {}, pose)
try:
    spawn(simulation, library.find("vehicle.tesla.model3"), {}, pose)
except SpawnError:
    pass
walker = spawn(simulation, library.find("walker.pedestrian.0001"), {}, ((x + 10.0, y, z + 1.0), (0.0, 0.0, 0.0)))
spawn(simulation, library.find("static.prop.box01"), {}, ((x + 5.0, y, z + 1.0), (0.0, 0.0, 0.0)))
spawn(simulation, library.find("static.trigger.friction"), {"friction": "1.0"}, pose)
server.autopilot.take([car], seed=1, manners=[Manners()])
server.pedestrians.take([(walker, 1.4)], seed=1, crossing_share=0.1)

def use(sensors):
    for sensor in sensors:
        small = {"image_size_x": "16", "image_size_y": "16"} if "camera" in sensor else {}
        spawn(simulation, library.find(sensor), small, still, parent=car)
    for weather in (Weather(), Weather(precipitation=60.0, sun_altitude_angle=-20.0)):
        simulation.set_weather(weather)
        for _ in range(2):
            server.ticking.tick(0.05)

use(SENSORS)
missed = compiled_meanwhile(before)
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


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_server_that_compiles_ends_at_once_when_it_is_told_to(tmp_path, name):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}  # where no kernel has been compiled yet
    command = [sys.executable, "-m", "minicarla", "-carla-rpc-port=0"]
    server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        assert "it compiles its kernels" in server.stderr.readline()
        compilers = _compilers(server)
        server.send_signal(signal.Signals[name])
        assert server.wait(PATIENCE) == -signal.Signals[name]
        assert psutil.wait_procs(compilers, PATIENCE)[1] == []
        assert "Traceback" not in server.stderr.read()
    finally:
        server.kill()
        server.communicate()


def _compilers(server: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that compile for a server, once there are any."""
    own, end = psutil.Process(server.pid), time.monotonic() + PATIENCE
    while not (found := own.children()) and len(os.sched_getaffinity(0)) > 1:
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


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

    assert warming.share([partial(note, number) for number in range(40)], 3)
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
