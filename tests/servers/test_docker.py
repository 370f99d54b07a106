"""CARLA in a container, with a `docker` command whose containers are not the command's children."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import carla
import psutil
import pytest

from rllib_integration.servers import ServerSettingsError, ServerStartError, create_server, placement
from rllib_integration.servers.cleanup import await_ends
from tests.known import present
from tests.patience import PATIENCE
from tests.servers.conftest import ServerFactory
from tests.servers.stand_ins import make_install

STAND_IN = Path(__file__).with_name("docker_stand_in.py")
_WORKER = """
import sys
from rllib_integration.servers import create_server
server = create_server({"server": {"kind": "docker", "image": "carla:1", "log_folder": sys.argv[1]}})
server.start()
print(server.container, flush=True)
sys.stdin.read()
"""

# As a training command runs, with its server in a process further below.
_GUARDED = f"""
import os
from rllib_integration.processes.guard import run_guarded

def work():
    if os.fork() == 0:
        exec({_WORKER!r})
    os.wait()
    return 0

run_guarded(work)
"""


class Docker:
    """The stand-in's daemon and what was asked of it."""

    def __init__(self, folder: Path, daemon: subprocess.Popen[str]) -> None:
        self.images = folder / "images"
        self._calls = folder / "calls"
        self._daemon = daemon

    def calls(self, verb: str) -> list[list[str]]:
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [call for call in map(json.loads, lines) if call[0] == verb]

    def processes(self) -> list[psutil.Process]:
        """Everything that runs in containers."""
        return psutil.Process(self._daemon.pid).children(recursive=True)

    def left(self) -> list[psutil.Process]:
        """Those that do not end, although their containers have been removed."""
        return await_ends(self.processes(), PATIENCE)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Docker]:
    path = tmp_path / "docker.sock"
    commands = tmp_path / "bin"
    commands.mkdir()
    script = commands / "docker"
    script.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(STAND_IN), str(path)])} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    images = tmp_path / "images"
    make_install(images / "carla_1", "works")
    make_install(images / "carla_2", "works", name="CarlaUnreal.sh")
    make_install(images / "broken_1", "crashes")
    (images / "other_1").mkdir()
    daemon = subprocess.Popen(
        [sys.executable, str(STAND_IN), "daemon", str(path), str(images)], stdout=subprocess.PIPE, text=True
    )
    assert present(daemon.stdout).readline() == "ready\n"
    docker = Docker(tmp_path, daemon)
    yield docker
    leftover = docker.left()
    for process in leftover:
        process.kill()
    daemon.kill()
    daemon.communicate()
    assert leftover == []


@pytest.mark.parametrize("image", ["carla:1", "carla:2"])
def test_a_container_answers_on_a_loopback_port_and_is_removed_by_name(
    image: str, docker: Docker, new_server: ServerFactory
) -> None:
    server = new_server(kind="docker", image=image)
    server.start()
    client = carla.Client(server.host, server.port)
    client.set_timeout(PATIENCE)
    assert client.get_server_version() == "0.9.16"
    run = docker.calls("run")[0]
    published = f"{server.port}-{server.port + 2}"
    assert run[run.index("--publish") + 1] == f"127.0.0.1:{published}:{published}"
    assert "-RenderOffScreen" in run
    assert server.memory() > 1e6
    server.stop()
    assert docker.left() == []
    name = run[run.index("--name") + 1]
    assert docker.calls("rm") == [["rm", "--force", name]]


def test_a_container_gets_the_gpu_asked_for(docker: Docker, new_server: ServerFactory, monkeypatch) -> None:
    monkeypatch.setattr(placement, "gpu_memory_in_use", lambda: {0: 10, 1: 20})
    new_server(kind="docker", image="carla:1", gpu=1).start()
    new_server(kind="docker", image="carla:1", gpu=None).start()
    gpus = [run[run.index("--gpus") + 1] for run in docker.calls("run")]
    assert gpus == ["device=1", "all"]


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ("missing:1", "Unable to find image 'missing:1'"),
        ("broken:1", "no Vulkan device"),
        ("other:1", "holds none of CarlaUE4.sh, CarlaUnreal.sh"),
    ],
)
def test_a_container_that_does_not_come_up_tells_why(
    image: str, sentence: str, docker: Docker, new_server: ServerFactory
) -> None:
    with pytest.raises(ServerStartError, match=sentence):
        new_server(kind="docker", image=image).start()


@pytest.mark.parametrize("program", [_WORKER, _GUARDED], ids=["alone", "under guard"])
def test_a_killed_workers_container_is_removed(docker: Docker, tmp_path: Path, program: str) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert present(worker.stdout).readline().startswith("rllib-integration-")
        inside = docker.processes()
        assert len(inside) >= 2
        worker.send_signal(signal.SIGKILL)
        assert await_ends(inside, PATIENCE) == []
    finally:
        worker.kill()
        worker.communicate()


def test_no_docker_command_gets_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServerSettingsError, match="no docker command in PATH"):
        create_server({"server": "docker"}).start()


def test_a_window_in_a_container_gets_a_sentence(docker: Docker) -> None:
    with pytest.raises(ServerSettingsError, match="a container has no display"):
        create_server({"show_display": True, "server": "docker"}).start()
