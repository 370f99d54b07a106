"""The configurations and policies that are shipped with the examples, found by short names."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from rllib_integration.config.merging import ConfigError, nearest

EXAMPLES = ("dqn_example", "ppo_example", "rl_example")
"""The packages that they are part of. They are found as any module is, a copy in the current folder first."""

_PREFIX = "dqn_"
_SECTION = "env_config:"  # what tells a configuration from a cluster's file


def shipped_configurations() -> dict[str, Path]:
    """Short name -> YAML file, such as `quickstart` for `dqn_quickstart.yaml`."""
    files = [file for folder in _folders() for file in sorted([*folder.glob("*.yaml"), *folder.glob("configs/*.yaml")])]
    return {file.stem.removeprefix(_PREFIX): file for file in files if _SECTION in file.read_text(encoding="utf-8")}


def shipped_policies() -> dict[str, Path]:
    """Name of a configuration -> folder of a policy that was trained with it."""
    folders = [policy for folder in _folders() for policy in sorted(folder.glob("policies/*")) if policy.is_dir()]
    return {folder.name: folder for folder in folders}


def policy_path(text: str) -> Path:
    """Where a policy lies that a user means: at a path, or shipped under a name."""
    given = Path(text).expanduser()
    return given if given.exists() else shipped_policies().get(text, given)


def _folders() -> list[Path]:
    specs = [spec for name in EXAMPLES if (spec := importlib.util.find_spec(name)) is not None]
    return [Path(folder) for spec in specs for folder in spec.submodule_search_locations or ()]


def find_configuration(text: str) -> Path:
    """The YAML file that a user means: a path, a run's folder, or a shipped configuration's name.

    Raises:
        ConfigError: There is no configuration of the name; the message has the nearest one.
    """
    given = Path(text).expanduser()
    if given.is_file():
        return given
    if (given / "config.yaml").is_file():
        return given / "config.yaml"
    shipped = shipped_configurations()
    name = given.stem if given.suffix == ".yaml" else text
    if name.removeprefix(_PREFIX) in shipped and given.parent.parts[:1] in ((), *((example,) for example in EXAMPLES)):
        return shipped[name.removeprefix(_PREFIX)]
    if given.suffix or len(given.parts) > 1 or given.exists():
        return given  # what is wrong with the file is told where it is read
    near = nearest(text, [*shipped, *(file.stem for file in shipped.values())])
    hint = f" Did you mean {near}?" if near else ""
    raise ConfigError(
        f"There is no configuration '{text}', neither a YAML file nor one of {', '.join(shipped) or 'none'}.{hint}"
    )


def find_space(text: str) -> Path:
    """The YAML file of a search's space that a user means: a path, or a shipped one by its name or path."""
    given = Path(text).expanduser()
    if given.is_file() or given.parent.parts[:1] not in ((), *((example,) for example in EXAMPLES)):
        return given
    shipped = (file for folder in _folders() for file in folder.glob("spaces/*.yaml") if file.stem == given.stem)
    return next(shipped, given)


def name_of(configuration: Path) -> str:
    """The name of a configuration, which its runs have by default: `quickstart` of `dqn_quickstart.yaml`."""
    if configuration.name == "config.yaml":  # of a run
        return configuration.resolve().parent.name
    return configuration.stem.removeprefix(_PREFIX)
