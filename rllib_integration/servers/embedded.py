"""The embedded server: CARLA's protocol without Unreal Engine, started as a program."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rllib_integration.embedded.town.sources import ensure_town
from rllib_integration.servers.base import LOOPBACK, Command, StartedServer
from rllib_integration.servers.ports import PortLease

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


class EmbeddedServer(StartedServer):
    """`python -m rllib_integration.embedded`, with the interpreter of this process."""

    kind = "embedded"
    renders = False
    single_core = True
    light = True
    queues_ticks = True

    def command(self, ports: PortLease) -> Command:
        arguments = [
            sys.executable,
            "-m",
            "rllib_integration.embedded",
            f"-carla-rpc-port={ports.first}",
            f"-carla-streaming-port={ports.first + 1}",
            f"-carla-host={LOOPBACK}",
            *self.settings.extra_arguments,
        ]
        search_path = [str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return Command(arguments, environment={"PYTHONPATH": os.pathsep.join(search_path)})

    def prepare_town(self, town: str) -> None:
        """Fetch the town here if it has to be: what the server says of it stands in its log, where nobody looks.

        Raises:
            TownError: it could not be fetched.
        """
        if not any(argument.startswith("--town-folder") for argument in self.settings.extra_arguments):
            ensure_town(town)
