"""The settings under `env_config.carla.server`, checked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rllib_integration.servers.errors import ServerSettingsError

KINDS = ("auto", "embedded", "packaged", "docker", "external")


@dataclass(frozen=True)
class ServerSettings:
    """How a server is to be had. The last five come from `env_config.carla` itself.

    Attributes:
        kind: `auto` (packaged if `CARLA_ROOT` is set, else embedded), `embedded`, `packaged`, `docker`, `external`.
        host: external: where the server runs; the others listen on loopback.
        port: external: its RPC port.
        carla_root: packaged: the CARLA installation; None takes the variable `CARLA_ROOT`.
        image: docker: the image.
        gpu: index of the GPU that renders, `auto` for the least loaded of several, None to leave it to CARLA.
        extra_arguments: appended to the server's command line.
        start_timeout: seconds from the start to the first answer.
        hang_after: seconds of silence after which a server on this machine is given up, long before `timeout`, if its
            processes neither work nor answer.
        spare: keep a second server ready that takes over at once; `auto`: after the first loss, if it is embedded.
        log_folder: where log files go; None means the user's cache folder.
        ignore_version: use a server whose version differs from the client's.
        pin_to_core: run the server and its client on one core; `auto` where every worker can have its own.
        restart_every_episodes: replace the server after so many episodes, 0 for never.
        restart_above_gb: replace it at an episode's end when it holds more memory [GB], 0 for never.
        max_failures: after so many failures in a row, give up.
        quality_level: Low, Medium, High or Epic.
        show_display: open a window instead of rendering off screen.
        resolution_x: width of that window [px].
        resolution_y: height of that window [px].
        timeout: seconds that a running server may take to answer.
    """

    kind: str = "auto"
    host: str = "127.0.0.1"
    port: int = 2000
    carla_root: str | None = None
    image: str = "carlasim/carla:0.9.16"
    gpu: int | str | None = "auto"
    extra_arguments: tuple[str, ...] = ()
    start_timeout: float = 120.0
    hang_after: float = 2.0
    spare: bool | str = "auto"
    log_folder: Path | None = None
    ignore_version: bool = False
    pin_to_core: bool | str = "auto"
    restart_every_episodes: int = 0
    restart_above_gb: float = 0.0
    max_failures: int = 5
    quality_level: str = "Low"
    show_display: bool = False
    resolution_x: int = 600
    resolution_y: int = 600
    timeout: float = 10.0

    @classmethod
    def from_core_config(cls, core_config: Mapping[str, Any]) -> ServerSettings:
        """Read `server` and its neighbours out of `env_config.carla`.

        Args:
            core_config: the `carla` section; `server` may be absent, a kind's name, or a mapping of the
                attributes above.

        Raises:
            ServerSettingsError: an unknown key, or a value that can't be used.
        """
        section = core_config.get("server", "auto")
        if section is None or isinstance(section, str):
            section = {"kind": section or "auto"}
        if not isinstance(section, Mapping):
            raise ServerSettingsError(
                f"env_config.carla.server is {section!r}; it must be one of {', '.join(KINDS)}, or a mapping "
                "with the key 'kind'."
            )
        values: dict[str, Any] = {key: core_config[key] for key in _FROM_CORE if key in core_config}
        for key, value in section.items():
            if key not in _NAMES:
                raise ServerSettingsError(_unknown("key", key, _NAMES))
            values[key] = value
        if "kind" not in section and "port" in section:
            values["kind"] = "external"
        if "host" not in section and values.get("kind") == "external" and "host" in core_config:
            values["host"] = core_config["host"]
        settings = cls(**{key: _converted(key, value) for key, value in values.items()})
        settings._check()
        return settings

    def _check(self) -> None:
        if self.kind not in KINDS:
            raise ServerSettingsError(_unknown("kind", self.kind, KINDS))
        if not self.host or any(character in self.host for character in ":/ "):
            raise ServerSettingsError(
                f"env_config.carla.server.host is {self.host!r}; it must be a host's name or IPv4 address, and the RPC "
                "port goes under env_config.carla.server.port."
            )
        if not 0 < self.port < 65536:
            raise ServerSettingsError(f"env_config.carla.server.port is {self.port}; allowed are 1 to 65535.")
        for key in ("start_timeout", "hang_after", "timeout", "max_failures"):
            if getattr(self, key) <= 0:
                raise ServerSettingsError(f"{_path(key)} is {getattr(self, key)}; it must be above 0.")
        for key in ("restart_every_episodes", "restart_above_gb"):
            if getattr(self, key) < 0:
                raise ServerSettingsError(f"{_path(key)} is {getattr(self, key)}; it must be 0 (never) or more.")
        if isinstance(self.gpu, str) and self.gpu != "auto":
            raise ServerSettingsError(
                f"env_config.carla.server.gpu is {self.gpu!r}; allowed are an index, 'auto' or null."
            )
        for key in ("pin_to_core", "spare"):
            value = getattr(self, key)
            if isinstance(value, str) and value != "auto":
                raise ServerSettingsError(f"{_path(key)} is {value!r}; allowed are true, false or 'auto'.")
        if self.spare is True and self.kind == "external":
            raise ServerSettingsError(
                "env_config.carla.server.spare is true, but a server of kind 'external' is never started here. "
                "Leave it out, or choose a kind that is started: embedded, packaged or docker."
            )


_FROM_CORE = ("quality_level", "show_display", "resolution_x", "resolution_y", "timeout")
_NAMES = tuple(field.name for field in fields(ServerSettings) if field.name not in _FROM_CORE)
_TYPES: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "host": (str,),
    "port": (int,),
    "carla_root": (str, type(None)),
    "image": (str,),
    "gpu": (int, str, type(None)),
    "start_timeout": (int, float),
    "hang_after": (int, float),
    "spare": (bool, str),
    "ignore_version": (bool,),
    "pin_to_core": (bool, str),
    "restart_every_episodes": (int,),
    "restart_above_gb": (int, float),
    "max_failures": (int,),
    "quality_level": (str,),
    "show_display": (bool,),
    "resolution_x": (int,),
    "resolution_y": (int,),
    "timeout": (int, float),
}


def _path(key: str) -> str:
    return f"env_config.carla.{key}" if key in _FROM_CORE else f"env_config.carla.server.{key}"


def _unknown(what: str, given: Any, allowed: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(given), allowed, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    where = "env_config.carla.server" if what == "key" else f"env_config.carla.server.{what}"
    return f"{where} has the unknown {what} {given!r}; allowed are {', '.join(allowed)}.{hint}"


def _converted(key: str, value: Any) -> Any:
    if key == "extra_arguments":
        if isinstance(value, str) or not all(isinstance(item, (str, int, float)) for item in value or ()):
            raise ServerSettingsError(f"{_path(key)} is {value!r}; it must be a list of words.")
        return tuple(str(item) for item in value or ())
    if key == "log_folder":
        return None if value is None else Path(value).expanduser()
    types = _TYPES[key]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        names = " or ".join("null" if kind is type(None) else kind.__name__ for kind in types)
        raise ServerSettingsError(f"{_path(key)} is {value!r}, of type {type(value).__name__}; it must be {names}.")
    return value
