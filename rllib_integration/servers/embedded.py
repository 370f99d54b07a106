"""The embedded server: CARLA's protocol without Unreal Engine, started as a program."""

from __future__ import annotations

import functools
import subprocess
import sys

from rllib_integration.processes.helper_process import package_environment
from rllib_integration.servers.carla_server import LOOPBACK
from rllib_integration.servers.errors import ServerSettingsError
from rllib_integration.servers.ports import PortLease
from rllib_integration.servers.probe import client_version
from rllib_integration.servers.started_server import Command, StartedServer

_PROGRAM = (sys.executable, "-m", "minicarla")
_ERROR = "error: "  # how the program's last words begin
_STARTING = "starting: "  # how it says what keeps it from listening


class EmbeddedServer(StartedServer):
    """`python -m minicarla`, with the interpreter of this process."""

    kind = "embedded"
    renders = False
    single_core = True
    light = True
    queues_ticks = True

    def command(self, ports: PortLease) -> Command:
        arguments = [
            *_PROGRAM,
            f"-carla-rpc-port={ports.first}",
            f"-carla-streaming-port={ports.first + 1}",
            f"-carla-host={LOOPBACK}",
            f"--carla-version={client_version()}",
            "--skip-overtaken-frames",
            *self.settings.extra_arguments,
        ]
        return Command(arguments, environment=package_environment())

    def doing_at_start(self) -> str:
        said = [line for line in self.log_tail().splitlines() if line.startswith(_STARTING)]
        return said[-1].removeprefix(_STARTING) if said else ""

    def prepare_town(self, town: str) -> None:
        """Fetch the town here if it has to be: what the server says of it stands in its log alone.

        Raises:
            ServerSettingsError: it could not be fetched.
        """
        _fetch_town(town, tuple(self.settings.extra_arguments))


@functools.cache
def _fetch_town(town: str, options: tuple[str, ...]) -> None:
    command = [*_PROGRAM, f"--fetch-town={town}", *options]
    refusal = ""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=package_environment()
    ) as fetching:
        assert fetching.stderr is not None
        for line in fetching.stderr:
            if line.startswith(_ERROR):
                refusal = line.removeprefix(_ERROR).strip()
            else:
                print(line, end="", file=sys.stderr, flush=True)
    if fetching.returncode:
        raise ServerSettingsError(refusal or f"{town} could not be fetched: {' '.join(command)} failed.")
