"""The settings of server and world, under `env_config.carla`."""

from __future__ import annotations

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import Rule, merge
from rllib_integration.config.server import BESIDE_SERVER, RULES, ServerSettings

BASE_CORE_CONFIG: Record = {
    "host": "localhost",  # of a server of kind "external"; all others listen on this machine's loopback
    "timeout": ServerSettings.timeout,  # [s] that a running server may take to answer
    "load_timeout": ServerSettings.load_timeout,  # [s] that it may take to load a town
    "timestep": 0.05,  # [s] simulated in one tick
    "ticks_per_step": 1,  # ticks for which an action holds; a callback of `world.on_tick` may hear of the last only
    "retries_on_error": ServerSettings.retries_on_error,  # attempts to connect to a server that runs
    "resolution_x": ServerSettings.resolution_x,  # [px] of the spectator's window and of rendered pictures
    "resolution_y": ServerSettings.resolution_y,  # [px] of the same
    "quality_level": ServerSettings.quality_level,  # Low, Medium, High or Epic
    "enable_map_assets": False,  # all layers of the town, or none but the road; towns named _Opt only
    "enable_rendering": "auto",  # true; false: cameras see nothing; auto: where a sensor of the hero is a camera
    "show_display": ServerSettings.show_display,  # the server's own window
    "seed": None,  # of the first episode, where reset() is given none
    "live_folder": None,  # folder in which viewers find it; None: where `carla-rllib view` looks by itself
    "record_episodes": 0,  # how many episodes of each evaluation of a training are saved, for the viewer to play
    "server": "auto",  # auto, embedded, packaged, docker, external; or a mapping with `kind` and its settings
}

_CORE_RULES = {
    **{name: RULES[name] for name in BESIDE_SERVER if name in RULES},
    "timestep": Rule(float, accepts=lambda value: 0 < value <= 1, expected="a number of seconds above 0, up to 1"),
    "ticks_per_step": Rule(
        int, accepts=lambda ticks: 0 < ticks <= 10_000, expected="a whole number, 1 or more, up to 10000"
    ),
    "enable_rendering": Rule(
        bool, str, accepts=lambda value: value in (True, False, "auto"), expected="true, false or 'auto'"
    ),
    "seed": Rule(
        int, type(None), accepts=lambda seed: seed is None or seed >= 0, expected="a whole number, 0 or more, or null"
    ),
    "record_episodes": Rule(int, accepts=lambda number: number >= 0, expected="a whole number, 0 or more"),
    "live_folder": Rule(str, type(None), expected="a folder's path, or null"),
    "server": Rule(
        str,
        dict,
        type(None),
        expected="auto, embedded, packaged, docker or external, or a mapping with the key 'kind'",
    ),
}


def resolve_core_config(config: Settings | None) -> Record:
    """Lay settings over `BASE_CORE_CONFIG`.

    Raises:
        ConfigError: A key is unknown or a value can't be used.
        ServerSettingsError: The same, inside `server`.
    """
    server_keys = {name: f"env_config.carla.server.{name}" for name in ServerSettings.__dataclass_fields__}
    elsewhere = {name: path for name, path in server_keys.items() if name not in BASE_CORE_CONFIG}
    resolved = merge(BASE_CORE_CONFIG, config, "env_config.carla", rules=_CORE_RULES, elsewhere=elsewhere)
    ServerSettings.from_core_config(resolved)
    return resolved
