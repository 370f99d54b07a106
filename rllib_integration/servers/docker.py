"""CARLA in a container, which is ended by its name since it is no child of the `docker` command."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess

import psutil

from rllib_integration.servers.carla_server import LOOPBACK
from rllib_integration.servers.errors import ServerSettingsError
from rllib_integration.servers.packaged import LAUNCHERS, carla_arguments
from rllib_integration.servers.ports import PortLease
from rllib_integration.servers.probe import client_version, release
from rllib_integration.servers.started_server import Command, StartedServer

_DOCKER_SECONDS = 3.0
# The image's working folder holds the launcher of its release; `exec` makes it the container's own process.
_LAUNCH = (
    "for launcher in " + " ".join(LAUNCHERS) + '; do [ -f "$launcher" ] && exec /bin/bash "./$launcher" "$@"; done; '
    'echo "The image holds none of ' + ", ".join(LAUNCHERS) + ' in $PWD." >&2; exit 1'
)


class DockerServer(StartedServer):
    """`docker run` of `image`, with its ports published on loopback only."""

    kind = "docker"
    container: str = ""

    def check(self) -> None:
        if shutil.which("docker") is None:
            raise ServerSettingsError(
                "env_config.carla.server.kind is 'docker', but there is no docker command in PATH. "
                "Install Docker, or choose the kind 'packaged' or 'embedded'."
            )
        if self.settings.show_display:
            raise ServerSettingsError(
                "env_config.carla.show_display is true, but a container has no display. "
                "Set it to false, or choose the kind 'packaged'."
            )

    def command(self, ports: PortLease) -> Command:
        self.check()
        docker = shutil.which("docker") or "docker"
        self.container = f"rllib-integration-{os.getpid()}-{ports.first}-{secrets.token_hex(4)}"
        run = [docker, "run", "--rm", "--init", "--name", self.container]
        run += ["--label", f"rllib_integration.owner={os.getpid()}"]
        run += ["--gpus", "all" if self.gpu is None else f"device={self.gpu.index}"]
        run += ["--publish", f"{LOOPBACK}:{ports.first}-{ports.ports[-1]}:{ports.first}-{ports.ports[-1]}"]
        # No -graphicsadapter: the container sees no other GPU than the one it got.
        arguments = [*carla_arguments(self.settings, ports), *self.settings.extra_arguments]
        image = self.settings.image or f"carlasim/carla:{release(client_version())}"
        return Command(
            [*run, image, "/bin/sh", "-c", _LAUNCH, "carla", *arguments],
            cleanup=[docker, "rm", "--force", self.container],
        )

    def processes(self) -> list[psutil.Process]:
        """The container's processes; none if Docker does not say which, or runs elsewhere."""
        inspect = ["docker", "inspect", "--format", "{{.State.Pid}}", self.container]
        try:
            answer = subprocess.run(inspect, capture_output=True, text=True, timeout=_DOCKER_SECONDS, check=True)
            init = psutil.Process(int(answer.stdout))
            return [init, *init.children(recursive=True)]
        except (OSError, ValueError, subprocess.SubprocessError, psutil.Error):
            return []
