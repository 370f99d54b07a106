"""A CARLA installation of this machine: 0.9.x with `CarlaUE4.sh`, or the UE5 releases with `CarlaUnreal.sh`."""

from __future__ import annotations

import os
from pathlib import Path

from rllib_integration.config.server import ServerSettings
from rllib_integration.servers.errors import ServerSettingsError
from rllib_integration.servers.ports import PortLease
from rllib_integration.servers.started_server import Command, StartedServer

LAUNCHERS = ("CarlaUE4.sh", "CarlaUnreal.sh")
_INSTEAD = "or set env_config.carla.server to 'embedded' to train without an installation"


class PackagedServer(StartedServer):
    """The launcher script of `carla_root`, else of the folder that the variable `CARLA_ROOT` names."""

    kind = "packaged"

    def check(self) -> None:
        find_launcher(self.settings.carla_root)

    def command(self, ports: PortLease) -> Command:
        launcher = find_launcher(self.settings.carla_root)
        program = [str(launcher)] if os.access(launcher, os.X_OK) else ["/bin/sh", str(launcher)]
        adapter = [] if self.gpu is None else [f"-graphicsadapter={self.gpu.index}"]
        arguments = [*program, *carla_arguments(self.settings, ports), *adapter, *self.settings.extra_arguments]
        return Command(arguments, folder=launcher.parent)


def carla_arguments(settings: ServerSettings, ports: PortLease) -> list[str]:
    """What CARLA is told however it runs: its ports, quality, and a window or none."""
    rpc, streaming, secondary = ports.ports
    arguments = [
        f"-carla-rpc-port={rpc}",
        f"-carla-streaming-port={streaming}",
        f"-carla-secondary-port={secondary}",
        f"-quality-level={settings.quality_level}",
        "-nosound",
    ]
    if settings.show_display:
        return [*arguments, "-windowed", f"-ResX={settings.resolution_x}", f"-ResY={settings.resolution_y}"]
    return [*arguments, "-RenderOffScreen"]


def find_launcher(carla_root: str | None) -> Path:
    """The launcher script of an installation.

    Args:
        carla_root: its folder; None takes the variable `CARLA_ROOT`.

    Raises:
        ServerSettingsError: no folder is named, or it is not a CARLA installation.
    """
    if carla_root is not None:
        source, given = "env_config.carla.server.carla_root", carla_root
    elif "CARLA_ROOT" in os.environ:
        source, given = "The environment variable CARLA_ROOT", os.environ["CARLA_ROOT"]
    else:
        raise ServerSettingsError(
            "A packaged CARLA server was asked for, but the environment variable CARLA_ROOT is not set. "
            f"Set it to the folder that holds {LAUNCHERS[0]}, {_INSTEAD}."
        )
    if not given.strip():
        raise ServerSettingsError(
            f"{source} is empty. Set it to the folder that holds {LAUNCHERS[0]}, or unset it, {_INSTEAD}."
        )
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise ServerSettingsError(
            f"{source} is {given!r}, which is not a folder. Set it to the folder that holds {LAUNCHERS[0]}, {_INSTEAD}."
        )
    for name in LAUNCHERS:
        if (folder / name).is_file():
            return (folder / name).resolve()
    raise ServerSettingsError(
        f"{source} is {given!r}, but that folder holds neither {' nor '.join(LAUNCHERS)}. "
        f"Set it to the folder of an unpacked CARLA release, {_INSTEAD}."
    )
