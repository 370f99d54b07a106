"""Stand-in CARLA installations: folders whose launcher script behaves in one of the ways CARLA does."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import psutil

from rllib_integration.servers import CarlaServer
from rllib_integration.servers.started_server import StartedServer
from tests.known import present

ANSWERING_SERVER = Path(__file__).with_name("answering_server.py")
EMBEDDED = ["env", f"PYTHONPATH={Path(__file__).parents[2]}", sys.executable, "-m", "minicarla"]
ANSWERING = [sys.executable, str(ANSWERING_SERVER)]

_SCRIPTS = {
    # As CARLA's own launcher: the shell stays and waits for the server.
    "works": '{server} "$@"\n',
    "forks": 'setsid {server} "$@" &\nexit 0\n',
    "crashes": 'echo "LowLevelFatalError: no Vulkan device"\nkill -SEGV $$\n',
    "talks_nonsense": "head -c 100000 /dev/urandom\nexit 7\n",
    "never_answers": "sleep 1000 &\nsleep 1000\n",
    "takes_its_time": 'sleep 1\n{server} "$@"\n',
}


def make_install(folder: Path, behaviour: str, server: list[str] = ANSWERING, name: str = "CarlaUE4.sh") -> Path:
    """Write a launcher script into a folder and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    launcher = folder / name
    launcher.write_text("#!/bin/bash\n" + _SCRIPTS[behaviour].format(server=shlex.join(server)))
    launcher.chmod(0o755)
    return folder


def supervisor_of(server: CarlaServer | None) -> int:
    """Process id of what watches over a server of this machine."""
    assert isinstance(server, StartedServer)
    return present(server.supervisor_pid)


def below(pid: int) -> list[psutil.Process]:
    """Everything below a process, with it."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]
