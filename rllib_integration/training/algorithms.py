"""The classes that a configuration asks for: algorithm, network and callbacks.

algorithm: DQN                                  # or my_package.my_trainer:MyDQN
model: {module_class: my_package.my_net:MyNet}  # without it, the library's network for the algorithm
callbacks: my_package.my_callbacks:MyCallbacks
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.tune.registry import get_trainable_cls

from rllib_integration.annotations import Settings
from rllib_integration.config.merging import ConfigError, load_class, nearest
from rllib_integration.training.callbacks import EpisodeCallbacks
from rllib_integration.training.dqn.trainer import DQNTrainer
from rllib_integration.training.policy_gradient.a2c import A2C
from rllib_integration.training.policy_gradient.acktr import ACKTR
from rllib_integration.training.policy_gradient.hindsight import HindsightPPO
from rllib_integration.training.progress import Figure
from rllib_integration.training.rl_modules import PICTURE_MODULES

DEFAULT_ALGORITHM = "DQN"
_TRAINERS: dict[str, type[Algorithm]] = {  # beside RLlib's own, or instead of them
    "DQN": DQNTrainer,
    "A2C": A2C,
    "ACKTR": ACKTR,
    "HindsightPPO": HindsightPPO,
}
ALGORITHMS = tuple(dict.fromkeys([*PICTURE_MODULES, *_TRAINERS]))


@dataclass(frozen=True)
class AlgorithmClasses:
    """What a configuration asks RLlib to build.

    Attributes:
        algorithm: Trains.
        module: The network.
        callbacks: Called at each episode's start, steps and end.
        extra_model_keys: Keys under `model` that the network knows beside RLlib's own; None if it takes any.
    """

    algorithm: type[Algorithm]
    module: type[RLModule]
    callbacks: tuple[type[RLlibCallback], ...]
    extra_model_keys: tuple[str, ...] | None

    @property
    def progress_figures(self) -> tuple[Figure, ...]:
        """What the callbacks show in the line of each iteration."""
        named = (getattr(callbacks, "PROGRESS", None) for callbacks in reversed(self.callbacks))
        return next((tuple(figures) for figures in named if figures is not None), ())


def find_classes(document: Settings) -> AlgorithmClasses:
    """Import the classes that a configuration names.

    Args:
        document: A configuration; `algorithm`, `callbacks` and `model.module_class` are read.

    Raises:
        ConfigError: There is no such algorithm; or a class can't be imported, or is of another kind than it has to be.
    """
    algorithm = _find_algorithm(document.get("algorithm", DEFAULT_ALGORITHM))
    model = document.get("model")
    reference = model.get("module_class") if isinstance(model, Mapping) else None
    extra: tuple[str, ...] | None
    if reference is not None:
        module = load_class(reference, RLModule, "model.module_class")
        extra = getattr(module, "EXTRA_MODEL_KEYS", None)
    else:
        module = _network_for(algorithm)
        extra = getattr(module, "EXTRA_MODEL_KEYS", ())
    return AlgorithmClasses(algorithm, module, _find_callbacks(document.get("callbacks")), extra)


def _find_algorithm(reference: object) -> type[Algorithm]:
    if isinstance(reference, type) or (isinstance(reference, str) and ":" in reference):
        return load_class(reference, Algorithm, "algorithm")
    if reference not in ALGORITHMS:
        near = nearest(str(reference), ALGORITHMS)
        hint = f" Did you mean {near}?" if near else ""
        raise ConfigError(
            f"algorithm is {reference!r}, but it has to be one of {', '.join(ALGORITHMS)}, or a class of your own, "
            f"written as 'package.module:Class'.{hint}"
        )
    return _TRAINERS.get(reference) or get_trainable_cls(reference)


def _network_for(algorithm: type[Algorithm]) -> type[RLModule]:
    """The library's network for an algorithm or one derived from it, or else RLlib's own."""
    for ancestor in algorithm.__mro__:
        if ancestor.__name__ in PICTURE_MODULES:
            return PICTURE_MODULES[ancestor.__name__]
    default = algorithm.get_default_config().get_default_rl_module_spec()
    module: type[RLModule] = default.module_class
    return module


def _find_callbacks(reference: object) -> tuple[type[RLlibCallback], ...]:
    """The library's callbacks, and those of the user's unless they are derived from the library's."""
    if reference is None:
        return (EpisodeCallbacks,)
    found = load_class(reference, RLlibCallback, "callbacks")
    return (found,) if issubclass(found, EpisodeCallbacks) else (EpisodeCallbacks, found)
