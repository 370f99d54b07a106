"""The space of a search: a YAML file of setting paths, each with its distribution.

training.lr: {loguniform: [0.0001, 0.01]}
training.entropy_coeff: {uniform: [0.0, 0.02]}
training.train_batch_size_per_learner: {choice: [80, 160, 320]}
model.fcnet_hiddens: {choice: [[64, 64], [128, 128]]}
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError, copy_settings, nearest_sentence, read_yaml

KINDS: dict[str, int | None] = {"uniform": 2, "loguniform": 2, "quniform": 3, "randint": 2, "choice": None}
"""Kind of distribution -> number of its arguments; None = one or more."""

Space = dict[str, tuple[str, list[bool | float | str]]]
"""Path of a setting -> kind and arguments of its distribution."""


def read_space(path: str | os.PathLike[str]) -> Space:
    """Read the space of a search.

    Raises:
        ConfigError: The file can't be read, or an entry is not a distribution of `KINDS`.
    """
    found: Space = {}
    for name, entry in read_yaml(path).items():
        if not isinstance(entry, Mapping) or len(entry) != 1 or next(iter(entry)) not in KINDS:
            given = next(iter(entry)) if isinstance(entry, Mapping) and entry else entry
            raise ConfigError(
                f"{name} is {entry!r}, but it has to be one distribution, such as {{loguniform: [0.0001, 0.01]}}. "
                + nearest_sentence(str(given), KINDS)
            )
        ((kind, numbers),) = entry.items()
        found[str(name)] = (kind, _checked(str(name), kind, numbers))
    if not found:
        raise ConfigError(f"{path} names no setting to search over.")
    return found


def _checked(name: str, kind: str, numbers: object) -> list[bool | float | str]:
    wanted = KINDS[kind]
    if not isinstance(numbers, list) or not numbers or (wanted is not None and len(numbers) != wanted):
        count = "one or more values" if wanted is None else f"{wanted} numbers"
        raise ConfigError(f"{name}: {kind} takes a list of {count}, but {numbers!r} was given.")
    if wanted is not None:
        if not all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers):
            raise ConfigError(f"{name}: {kind} takes numbers, but {numbers!r} was given.")
        if not numbers[0] < numbers[1] or (kind == "loguniform" and numbers[0] <= 0):
            raise ConfigError(f"{name}: {kind} goes from a smaller to a larger number, but {numbers!r} was given.")
    return numbers


def to_tune(space: Space) -> Record:
    """The space in Ray Tune's form."""
    from ray import tune

    kinds: dict[str, Callable[..., object]] = {
        "uniform": tune.uniform,
        "loguniform": tune.loguniform,
        "quniform": tune.quniform,
        "randint": tune.randint,
    }
    return {
        name: tune.choice(numbers) if kind == "choice" else kinds[kind](*numbers)
        for name, (kind, numbers) in space.items()
    }


def with_values(document: Settings, values: Settings) -> Record:
    """A copy of a configuration with other values at some paths."""
    changed = copy_settings(document)
    for path, value in values.items():
        *above, last = path.split(".")
        section = changed
        for key in above:
            section = section.setdefault(key, {})
        section[last] = copy_settings(value)
    return changed
