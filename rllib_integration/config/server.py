"""The settings under `env_config.carla.server`, checked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, get_type_hints

from rllib_integration.annotations import Settings
from rllib_integration.config.merging import ConfigError, Rule, merge, one_of, positive

_ADDRESS = re.compile(r"[^:/\s]+:[1-9]\d{0,4}")
KINDS = ("auto", "embedded", "packaged", "docker", "external")


class ServerSettingsError(ConfigError, RuntimeError):
    """A value under `env_config.carla.server` (or `CARLA_ROOT`) can't be used."""


Switch = Annotated[
    bool | str, Rule(bool, str, accepts=lambda value: value in (True, False, "auto"), expected="true, false or 'auto'")
]
Seconds = Annotated[float, positive("a number of seconds above 0", float)]
Pixels = Annotated[
    int, Rule(int, accepts=lambda value: 0 < value <= 8192, expected="a whole number of pixels above 0, up to 8192")
]
Kind = Annotated[str, one_of(*KINDS)]
Host = Annotated[
    str,
    Rule(
        str,
        accepts=lambda host: bool(host) and not any(character in host for character in ":/ "),
        expected="a host's name or IPv4 address; the RPC port goes under env_config.carla.server.port",
    ),
]
Port = Annotated[int, Rule(int, accepts=lambda port: 0 < port < 65536, expected="a port, 1 to 65535")]
Addresses = Annotated[
    tuple[str, ...],
    Rule(
        list,
        accepts=lambda names: all(isinstance(name, str) and _ADDRESS.fullmatch(name) for name in names),
        expected="a list of hosts with their RPC ports, such as [carla-1:2000, carla-2:2000]",
    ),
]
Gpu = Annotated[
    int | str | None,
    Rule(
        int,
        str,
        type(None),
        accepts=lambda gpu: not isinstance(gpu, str) or gpu == "auto",
        expected="an index, 'auto' or null",
    ),
]
Installation = Annotated[
    str | None, Rule(str, type(None), expected="a folder, or null for the one that CARLA_ROOT names")
]
Image = Annotated[
    str | None, Rule(str, type(None), expected="an image, or null for carlasim/carla of the client's release")
]
Words = Annotated[
    tuple[str, ...],
    Rule(
        list,
        accepts=lambda words: all(isinstance(word, (str, int, float)) for word in words),
        expected="a list of words",
    ),
]
StartSeconds = Annotated[
    float | None,
    Rule(
        float,
        type(None),
        accepts=lambda seconds: seconds is None or seconds > 0,
        expected="a number of seconds above 0, or null",
    ),
]
LogFolder = Annotated[
    Path | None, Rule(str, Path, type(None), expected="a folder, or null for the user's cache folder")
]
Episodes = Annotated[int, Rule(int, accepts=lambda count: count >= 0, expected="0 (never) or more episodes")]
Gigabytes = Annotated[float, Rule(float, accepts=lambda size: size >= 0.0, expected="0 (never) or more GB")]
Count = Annotated[int, positive("a whole number above 0", int)]
Attempts = Annotated[int, positive("a whole number, 1 or more", int)]
Quality = Annotated[str, one_of("Low", "Medium", "High", "Epic")]


@dataclass(frozen=True)
class ServerSettings:
    """How to obtain a CARLA server, and how long to wait for it.

    All defaults and what else is allowed stand here. The last seven are settings of `env_config.carla` itself, the
    others of its section `server`.

    Attributes:
        kind: `auto` (packaged if `CARLA_ROOT` is set, else embedded), `embedded`, `packaged`, `docker`, `external`.
        host: external: where the server runs; the others listen on loopback.
        port: external: its RPC port.
        addresses: external: instead of these two, servers such as `carla-1:2000`. Each environment takes one that no
            other on its machine has. A name that stands for several machines is that many servers.
        carla_root: packaged: the CARLA installation; None takes the variable `CARLA_ROOT`.
        image: docker: the image; None means `carlasim/carla` of the installed client's release.
        gpu: index of the GPU that renders, `auto` for the least loaded of several, None to leave it to CARLA.
        extra_arguments: appended to the server's command line.
        start_timeout: seconds from the start to the first answer; None means 120, but `timeout` for a port of kind
            external at which nothing listens, and never did.
        hang_after: seconds of silence after which a server on this machine is given up, long before `timeout`, if its
            processes neither work nor answer.
        spare: keep a second server ready that takes over at once; `auto`: after the first loss, if it is embedded.
        log_folder: where log files go; None means the user's cache folder.
        ignore_version: use a server whose version differs from the client's, although that can end this process.
        pin_to_core: run the server and its client on one core; `auto` where every worker can have its own.
        restart_every_episodes: replace the server after so many episodes, 0 for never.
        restart_above_gb: replace it at an episode's end when it holds more memory [GB], 0 for never.
        max_failures: after so many failures in a row, give up.
        quality_level: Low, Medium, High or Epic.
        show_display: open a window instead of rendering off screen.
        resolution_x: width of that window [px].
        resolution_y: height of that window [px].
        timeout: seconds that a running server may take to answer.
        load_timeout: seconds that it may take to load a town.
        retries_on_error: attempts to connect to a server that runs.
    """

    kind: Kind = "auto"
    host: Host = "127.0.0.1"
    port: Port = 2000
    addresses: Addresses = ()
    carla_root: Installation = None
    image: Image = None
    gpu: Gpu = "auto"
    extra_arguments: Words = ()
    start_timeout: StartSeconds = None
    hang_after: Seconds = 2.0
    spare: Switch = "auto"
    log_folder: LogFolder = None
    ignore_version: bool = False
    pin_to_core: Switch = "auto"
    restart_every_episodes: Episodes = 0
    restart_above_gb: Gigabytes = 0.0
    max_failures: Count = 5
    quality_level: Quality = "Low"
    show_display: bool = False
    resolution_x: Pixels = 600
    resolution_y: Pixels = 600
    timeout: Seconds = 10.0
    load_timeout: Seconds = 120.0
    retries_on_error: Attempts = 10

    @classmethod
    def from_core_config(cls, core_config: Settings) -> ServerSettings:
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
        section = dict(section)
        if "port" in section or "addresses" in section:
            section.setdefault("kind", "external")
        if section.get("addresses") and ("port" in section or "host" in section):
            raise ServerSettingsError(
                "env_config.carla.server has addresses as well as host or port. Name the one server by host and port, "
                "or all of them in addresses."
            )
        if section.get("kind") == "external" and "host" in core_config:
            section.setdefault("host", core_config["host"])
        try:
            values = merge(_DEFAULTS, section, "env_config.carla.server", rules=_RULES)
        except ConfigError as error:
            raise ServerSettingsError(str(error)) from None
        values["addresses"] = tuple(values["addresses"])
        values["extra_arguments"] = tuple(str(word) for word in values["extra_arguments"])
        if values["log_folder"] is not None:
            values["log_folder"] = Path(values["log_folder"]).expanduser()
        if values["spare"] is True and values["kind"] == "external":
            raise ServerSettingsError(
                "env_config.carla.server.spare is true, but a server of kind 'external' is never started here. "
                "Leave it out, or choose a kind that is started: embedded, packaged or docker."
            )
        return cls(**values, **{key: core_config[key] for key in BESIDE_SERVER if key in core_config})

    @property
    def chosen_kind(self) -> str:
        """The kind that they lead to: with `auto`, packaged where CARLA is installed, else embedded."""
        if self.kind != "auto":
            return self.kind
        return "packaged" if self.carla_root or "CARLA_ROOT" in os.environ else "embedded"

    @property
    def falls_back_to_embedded(self) -> bool:
        """Whether no kind is configured, and the embedded server is taken for want of an installation."""
        return self.kind == "auto" and self.chosen_kind == "embedded"


RULES: dict[str, Rule] = {
    name: rule
    for name, hint in get_type_hints(ServerSettings, include_extras=True).items()
    for rule in getattr(hint, "__metadata__", ())
}
"""What each setting may be, where its default does not say it."""

BESIDE_SERVER = (
    *("quality_level", "show_display", "resolution_x", "resolution_y"),
    *("timeout", "load_timeout", "retries_on_error"),
)
"""Settings of `env_config.carla` itself."""

_DEFAULTS = {field.name: field.default for field in fields(ServerSettings) if field.name not in BESIDE_SERVER}
_RULES = {name: rule for name, rule in RULES.items() if name in _DEFAULTS}
