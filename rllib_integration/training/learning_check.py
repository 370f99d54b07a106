"""Checks what a configuration says about learning, without RLlib, whose import alone takes seconds.

RLlib checks some of it itself, when Ray and the simulators run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium
from gymnasium import spaces

from rllib_integration.annotations import Settings
from rllib_integration.config.merging import ConfigError, nearest
from rllib_integration.training.rllib_names import OldNameError, translate_old_names

_ABOVE_0 = {
    "training": (
        *("train_batch_size", "train_batch_size_per_learner", "minibatch_size", "num_epochs", "n_step"),
        *("grad_clip", "clip_param", "training_intensity", "lr"),
    ),
    "env_runners": ("num_envs_per_env_runner", "rollout_fragment_length", "sample_timeout_s"),
}
_FROM_0 = {
    "training": (
        *("num_steps_sampled_before_learning_starts", "target_network_update_freq"),
        *("entropy_coeff", "vf_loss_coeff", "kl_coeff"),
    ),
    "env_runners": ("num_env_runners", "num_cpus_per_env_runner", "num_gpus_per_env_runner"),
    "learners": ("num_learners", "num_gpus_per_learner", "num_cpus_per_learner"),
    "reporting": ("min_sample_timesteps_per_iteration", "min_time_s_per_iteration"),
    "evaluation": ("evaluation_interval", "evaluation_num_env_runners"),
}
_FROM_0_TO_1 = {"training": ("gamma", "lambda_", "tau", "epsilon")}
_SCHEDULES = ("training.lr", "training.epsilon", "training.entropy_coeff")
_BUFFER = "training.replay_buffer_config"
_BUFFER_KEYS = ("type", "capacity", "alpha", "beta", "device")
_BUFFERS = ("EpisodeReplayBuffer", "PrioritizedEpisodeReplayBuffer", "MultiAgentEpisodeReplayBuffer")
_FILTER = "[channels, [height, width], stride], with 'same' or 'valid' behind them if wanted"


class LearningError(ConfigError):
    """A setting of the learner can't be used; the message is a sentence for the user."""


def check_learning(document: Settings, observed: Mapping[str, gymnasium.Space]) -> None:
    """Refuse sizes and rates that can't be, a replay buffer that can't be, and filters larger than their pictures.

    What is of an unexpected type is left to the check against RLlib's own annotations.

    Args:
        document: A configuration for RLlib, with old names or today's, in sections or not.
        observed: Space of the observations by agent; a single hero has the name "".

    Raises:
        LearningError: A setting can't be used.
    """
    try:
        sections, _ = translate_old_names(dict(document))
    except OldNameError as error:
        raise LearningError(str(error)) from None
    for names, least, most, expected in (
        (_ABOVE_0, math.ulp(0.0), math.inf, "above 0"),
        (_FROM_0, 0.0, math.inf, "0 or more"),
        (_FROM_0_TO_1, 0.0, 1.0, "between 0 and 1"),
    ):
        for path, value in _values(sections, names):
            for number in _numbers(value, path in _SCHEDULES):
                if not least <= number <= most or math.isinf(number):
                    raise LearningError(f"{path} is {value!r}, but it has to be {expected}.")
    _check_buffer(_section(sections, "training").get("replay_buffer_config"))
    model = _section(sections, "model")
    for key in ("fcnet_hiddens", "head_fcnet_hiddens"):
        for width in _numbers(model.get(key)):
            if width < 1:
                raise LearningError(f"model.{key} is {model[key]!r}, but each layer has to have 1 or more neurons.")
    if model.get("conv_filters") and "module_class" not in model:
        for agent, space in observed.items():
            for name, shape in _pictures(space):
                _check_filters(model["conv_filters"], f"{name} of {agent}" if agent else name, shape)


def _section(sections: Settings, name: str) -> Settings:
    found = sections.get(name)
    return found if isinstance(found, Mapping) else {}


def _values(sections: Settings, names: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Any]]:
    """Path and value of each setting that is given, in its section or, as RLlib 1.x had it, at the top level."""
    for section, keys in names.items():
        for key in keys:
            if key in _section(sections, section):
                yield f"{section}.{key}", sections[section][key]
            elif key in sections:
                yield key, sections[key]


def _numbers(value: Any, is_schedule: bool = False) -> Iterator[float]:
    """A number, each of several, or those of a schedule, whose steps are left out."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield float(value)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for entry in value:
            if is_schedule and isinstance(entry, Sequence) and not isinstance(entry, str) and len(entry) == 2:
                yield from _numbers(entry[1])
            else:
                yield from _numbers(entry)


def _check_buffer(config: object) -> None:
    if not isinstance(config, Mapping):
        return
    kind = config.get("type", _BUFFERS[0])
    if isinstance(kind, str) and "." not in kind and ":" not in kind and kind not in _BUFFERS:
        near = nearest(kind, _BUFFERS)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(_BUFFERS)}, or a class as 'package.Class'."
        raise LearningError(f"{_BUFFER}.type: RLlib has no replay buffer {kind!r}; {hint}")
    for key in config:
        near = nearest(str(key), _BUFFER_KEYS) if key not in _BUFFER_KEYS else None
        if near:
            raise LearningError(f"Unknown setting {_BUFFER}.{key}; did you mean {_BUFFER}.{near}?")
    capacity = config.get("capacity")
    if capacity is not None and (type(capacity) is not int or capacity < 2):
        raise LearningError(f"{_BUFFER}.capacity is {capacity!r}, but it has to be a whole number of steps, 2 or more.")
    for key in ("alpha", "beta"):
        if any(not 0.0 <= number < math.inf for number in _numbers(config.get(key))):
            raise LearningError(f"{_BUFFER}.{key} is {config[key]!r}, but it has to be 0 or more.")


def _pictures(space: gymnasium.Space) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of what filters are laid over."""
    parts = space.spaces if isinstance(space, spaces.Dict) else {"": space}
    for name, part in parts.items():
        if isinstance(part, spaces.Box) and len(part.shape) == 3:
            yield f"observation[{name!r}]" if name else "observation", part.shape


def _check_filters(filters: object, name: str, shape: tuple[int, ...]) -> None:
    if not isinstance(filters, Sequence) or isinstance(filters, str):
        raise LearningError(f"model.conv_filters is {filters!r}, but it has to be a list of filters, each {_FILTER}.")
    size = shape[:2]
    for number, entry in enumerate(filters, 1):
        kernel, stride, padding = _read_filter(entry, number)
        if padding == "valid":
            reached = tuple((have - wide) // step + 1 for have, wide, step in zip(size, kernel, stride))
            if min(reached) < 1:
                raise LearningError(
                    f"model.conv_filters: filter {number}, {entry!r}, needs {kernel[0]} x {kernel[1]} values, but "
                    f"{size[0]} x {size[1]} are left there of the {name}, which has the shape {shape}."
                )
            size = reached
        else:
            size = tuple(-(-have // step) for have, step in zip(size, stride))


def _read_filter(entry: object, number: int) -> tuple[tuple[int, int], tuple[int, int], str]:
    """Kernel, stride and padding of a filter."""
    words = list(entry) if isinstance(entry, Sequence) and not isinstance(entry, str) else []
    if len(words) in (3, 4):
        padding = str(words[3]) if len(words) == 4 else "same"
        kernel, stride = _pair(words[1]), _pair(words[2])
        if _is_count(words[0]) and kernel and stride and padding in ("same", "valid"):
            return kernel, stride, padding
    raise LearningError(f"model.conv_filters: filter {number} is {entry!r}, but it has to be {_FILTER}.")


def _pair(value: Any) -> tuple[int, int] | None:
    if _is_count(value):
        return value, value
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2 and all(map(_is_count, value)):
        return value[0], value[1]
    return None


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1
