"""A YAML document becomes an RLlib `AlgorithmConfig`.

The document's sections are named after the methods of `AlgorithmConfig` and hold their arguments:

    algorithm: DQN
    callbacks: my_package.my_callbacks:MyCallbacks
    env_runners: {num_env_runners: 1, rollout_fragment_length: 16}
    training: {lr: 0.0003, train_batch_size: 64}
    model: {conv_filters: [[16, [8, 8], 4, "valid"]], head_fcnet_hiddens: [256]}
    env_config: {carla: {...}, experiment: {...}}

RLlib itself takes any misspelt key without a word; here a key must be an argument of the method, and its
value must have the annotated type. The flat names of RLlib 1.x are translated, see `rllib_names`.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError, nearest
from rllib_integration.training.agent_policies import add_policies, callbacks_for, check_policies, is_multi_agent
from rllib_integration.training.algorithms import find_classes
from rllib_integration.training.rllib_names import DROPPED, MOVED, OldNameError, put, translate_old_names

SECTIONS = (
    "environment",
    "framework",
    "env_runners",
    "learners",
    "training",
    "evaluation",
    "reporting",
    "fault_tolerance",
    "debugging",
    "resources",
    "checkpointing",
)
_BESIDE_SECTIONS = ("algorithm", "callbacks", "model", "policies", "policy_mapping")
_PROBE_SECONDS = 0.1
"""How long each round waits for an answer of env runners that were lost and that Ray starts again [s].

With RLlib's 30 s, the env runners that are left do nothing meanwhile, round after round.
"""
# Arguments that RLlib still accepts and ignores or refuses much later, with what to write instead.
_DEAD = {
    "training.hiddens": "model.head_fcnet_hiddens",
    "training.noisy": "training.epsilon",
    "training.sigma0": "training.epsilon",
    "training.adam_epsilon": "training.lr",
    "training.before_learn_on_batch": "a learner connector",
    "training.lr_schedule": "training.lr: [[0, first], [steps, last]]",
    "training.entropy_coeff_schedule": "training.entropy_coeff: [[0, first], [steps, last]]",
    "training.model": "model",
    "training.vf_share_layers": "model.vf_share_layers",
    "training.q_model_config": "model",
    "training.policy_model_config": "model",
    "env_runners.exploration_config": "training.epsilon or model.softq_temperature",
    "env_runners.observation_filter": "the experiment's get_observation",
    "resources.num_gpus": "learners.num_gpus_per_learner",
    "environment.env": "env_config.experiment.type",
    "environment.render_env": "env_config.carla.show_display",
    "environment.disable_env_checking": "nothing; it belonged to the old API stack",
}
_CHOICES = {
    "env_runners.gym_env_vectorize_mode": ("sync", "async", "vector_entry_point"),
    "framework.framework": ("torch",),
}
_AUTO_ALLOWED = {"learners.num_gpus_per_learner"}


class RLlibConfigError(ConfigError):
    """Something in the RLlib part of a configuration is wrong; the message is a sentence for the user."""


def read_document(document: Settings) -> tuple[Record, list[str]]:
    """Translate old names, sort flat settings into their sections and check every key and type.

    Args:
        document: A configuration, in sections, in old flat names, or mixed.

    Returns:
        The document in sections, and one line for each setting that was translated.

    Raises:
        RLlibConfigError: An unknown key (with the nearest right one), or a value of a wrong type.
        ConfigError: A class that the document names can't be used.
    """
    try:
        sections, notes = translate_old_names(dict(document))
    except OldNameError as error:
        raise RLlibConfigError(str(error)) from None
    classes = find_classes(sections)
    config = classes.algorithm.get_default_config()
    arguments = {section: _arguments(config, section) for section in SECTIONS}
    if isinstance(sections.get("framework"), str):
        sections["framework"] = {"framework": sections["framework"]}
    notes += _sort_flat_settings(sections, arguments)
    for section in SECTIONS:
        _check_section(section, sections.get(section), arguments[section])
    model_hints = {field.name: field.type for field in dataclasses.fields(DefaultModelConfig)}
    _check_model(sections.get("model"), model_hints, classes.extra_model_keys)
    check_policies(sections, classes.algorithm)
    return sections, notes


def build_algorithm_config(document: Settings, env: str | type) -> AlgorithmConfig:
    """Build and validate the configuration of an algorithm.

    Args:
        document: A configuration as `read_document` takes it.
        env: An environment class, or the name it was registered under with `tune.register_env`.

    Raises:
        RLlibConfigError: A key, a type, or a value is wrong.
        ConfigError: A class that the document names can't be used.
    """
    sections, _ = read_document(document)
    classes = find_classes(sections)
    config = classes.algorithm.get_default_config()
    config.fault_tolerance(env_runner_health_probe_timeout_s=_PROBE_SECONDS)
    if (sections.get("learners") or {}).get("num_gpus_per_learner") == "auto":
        put(sections, "learners.num_gpus_per_learner", 0)
    for section in SECTIONS:
        if sections.get(section):
            getattr(config, section)(**sections[section])
    config.environment(env=env)
    model = {key: value for key, value in (sections.get("model") or {}).items() if key != "module_class"}
    known = {field.name for field in dataclasses.fields(DefaultModelConfig)}
    extras = {key: model.pop(key) for key in list(model) if key not in known}
    model_config = dataclasses.asdict(DefaultModelConfig(**model)) | extras
    network = RLModuleSpec(module_class=classes.module, model_config=model_config)
    if is_multi_agent(sections):
        add_policies(config, sections, network)
    else:
        config.rl_module(rl_module_spec=network)
    config.callbacks([*classes.callbacks, *callbacks_for(sections)])
    try:
        config.validate()
    except (ValueError, TypeError, KeyError, AssertionError) as error:
        reason = " ".join(str(error).split()).partition(" To suppress all validation errors")[0]
        raise RLlibConfigError(f"RLlib refuses this configuration: {reason}") from error
    return config


def _arguments(config: AlgorithmConfig, section: str) -> Record:
    """Names and type hints of what the section's method takes, in this class and those it inherits from."""
    found: Record = {}
    for cls in type(config).__mro__:
        method = cls.__dict__.get(section)
        if method is None:
            continue
        for parameter in inspect.signature(method).parameters.values():
            usable = parameter.kind is inspect.Parameter.KEYWORD_ONLY or parameter.name == "framework"
            if usable and not _is_deprecated(parameter.default):
                found.setdefault(parameter.name, parameter.annotation)
    return found


def _is_deprecated(default: object) -> bool:
    return isinstance(default, int) and default == -1  # RLlib's DEPRECATED_VALUE


def _sort_flat_settings(sections: Record, arguments: dict[str, Record]) -> list[str]:
    """Put each setting at the top level into the one section that has an argument of this name."""
    notes = []
    for key in [key for key in sections if key not in (*SECTIONS, *_BESIDE_SECTIONS)]:
        homes = [section for section in SECTIONS if key in arguments[section]]
        if not homes:
            raise RLlibConfigError(_unknown(key, [*SECTIONS, *_BESIDE_SECTIONS, "env_config"], arguments))
        value = sections.pop(key)
        put(sections, f"{homes[0]}.{key}", value)
        notes.append(f"{key} is now {homes[0]}.{key}.")
    return notes


def _unknown(key: str, top_level: list[str], arguments: dict[str, Record]) -> str:
    """A sentence with the nearest right key, wherever it lives."""
    places: dict[str, str] = {name: name for name in top_level}
    for section, names in arguments.items():
        for name in names:
            places.setdefault(name, f"{section}.{name}")
    for old, new in MOVED.items():
        places.setdefault(old, new)
    near = nearest(key, places)
    hint = f"; did you mean {places[near]}?" if near else f"; sections are {', '.join(SECTIONS)}."
    return f"Unknown setting {key!r}{hint}"


def _check_section(section: str, value: object, hints: Record) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise RLlibConfigError(f"{section} is {value!r}, but a mapping of settings was expected.")
    for key, setting in value.items():
        path = f"{section}.{key}"
        if path in _DEAD:
            raise RLlibConfigError(f"{path} has no effect on RLlib's new API stack; use {_DEAD[path]}.")
        if key not in hints:
            raise RLlibConfigError(_unknown_in_section(section, str(key), hints))
        if path in _AUTO_ALLOWED and setting == "auto":
            continue
        if path in _CHOICES and setting not in _CHOICES[path]:
            raise RLlibConfigError(f"{path} is {_show(setting)}, but one of {', '.join(_CHOICES[path])} was expected.")
        if not _matches(setting, hints[key]):
            raise RLlibConfigError(f"{path} is {_show(setting)}, but {_describe(hints[key])} was expected.")


def _unknown_in_section(section: str, key: str, hints: Settings) -> str:
    if key in MOVED:
        return f"{section}.{key} is now {MOVED[key]}."
    if key in DROPPED:
        return f"{section}.{key} can go: {DROPPED[key]}."
    near = nearest(key, hints)
    hint = f"did you mean {section}.{near}?" if near else f"{section} takes {', '.join(sorted(hints))}."
    return f"Unknown setting {section}.{key}; {hint}"


def _check_model(model: object, hints: Record, extra: Sequence[str] | None) -> None:
    if model is None:
        return
    if not isinstance(model, Mapping):
        raise RLlibConfigError(f"model is {model!r}, but a mapping of settings was expected.")
    resolved = typing.get_type_hints(DefaultModelConfig)
    for key, value in model.items():
        if key == "module_class":
            continue
        if key not in hints and extra is None:  # the user's own network knows what it takes
            continue
        if key in (extra or ()):
            if not _is_number(value) and value is not None:
                raise RLlibConfigError(f"model.{key} is {_show(value)}, but a number was expected.")
        elif key not in hints:
            known = {**hints, **dict.fromkeys(extra or ()), "module_class": None}
            raise RLlibConfigError(_unknown_in_section("model", str(key), known))
        elif not _matches(value, resolved.get(key, Any)):
            raise RLlibConfigError(f"model.{key} is {_show(value)}, but {_describe(resolved[key])} was expected.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _matches(value: object, hint: object) -> bool:
    """Whether a value from YAML can be meant by a type hint; hints that YAML can't express match all."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or hint is inspect.Parameter.empty or isinstance(hint, (str, typing.TypeVar)):
        return True
    if isinstance(hint, typing.ForwardRef):  # a class of RLlib's that YAML can't name
        return False
    if origin in (typing.Union, types.UnionType):
        return any(_matches(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if hint is type(None):
        return value is None
    if hint in (int, float):  # RLlib annotates several real numbers as int
        return _is_number(value)
    if hint in (bool, str):
        return isinstance(value, hint)
    if (origin or hint) in (list, tuple):
        if not isinstance(value, (list, tuple)):
            return False
        inner = [argument for argument in arguments if argument is not Ellipsis]
        return len(inner) != 1 or all(_matches(item, inner[0]) for item in value)
    if (origin or hint) is dict:
        return isinstance(value, Mapping)
    return not isinstance(value, (bool, int, float, str)) if inspect.isclass(hint) else True


def _show(value: object) -> str:
    if isinstance(value, str):
        try:
            return f"the text {value!r} (as a number, write it {float(value)!r})"
        except ValueError:
            return f"the text {value!r}"
    return repr(value)


def _describe(hint: Any) -> str:
    """A type hint in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        words = [_describe(argument) for argument in arguments if argument is not type(None)]
        return " or ".join(dict.fromkeys(words))
    if origin is typing.Literal:
        return "one of " + ", ".join(map(repr, arguments))
    names = {int: "a number", float: "a number", bool: "true or false", str: "a text"}
    if hint in names:
        return names[hint]
    kinds = {list: "a list", tuple: "a list", dict: "a mapping"}
    return kinds.get(origin or hint, str(getattr(hint, "__name__", hint)))
