"""Several CARLA environments, each in a process of its own: their clients work side by side as their simulators do."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from multiprocessing.connection import wait
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv
from gymnasium.vector.async_vector_env import AsyncState

from rllib_integration.carla_env import CarlaEnv


class CarlaProcessVectorEnv(AsyncVectorEnv):
    """Environments in processes of their own, which take 0.2 GB and, while they work, a processor each.

    What `step` and `reset` return is what `CarlaVectorEnv` returns. The processes are started afresh, not forked: a
    copy of this one would hold its connections and threads. They end with this one, whatever ends it.

    Args:
        configs: For each environment what `CarlaEnv` takes; it has to survive pickling.

    Raises:
        ConfigError: A configuration can't be used.
    """

    def __init__(self, configs: Sequence[Mapping[str, Any]]) -> None:
        super().__init__([partial(_make_env, config) for config in configs], context="spawn")

    def step_each(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[int, dict[str, Any]]]:
        """`step`, but with the information of each environment as it gave it, by its number."""
        self.step_async(actions)
        outcomes, successes = zip(*[pipe.recv() for pipe in self.parent_pipes])
        self._raise_if_errors(successes)
        self._state = AsyncState.DEFAULT
        _, rewards, terminations, truncations, infos = zip(*outcomes)
        return (
            deepcopy(self.observations),
            np.array(rewards, np.float64),
            np.array(terminations, np.bool_),
            np.array(truncations, np.bool_),
            dict(enumerate(infos)),
        )


def _make_env(config: Mapping[str, Any]) -> CarlaEnv:
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A Ctrl-C in the terminal is its parent's business. A handler, as what is ignored would be by servers, too.
        signal.signal(signal.SIGINT, lambda number, frame: None)
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    return CarlaEnv(config)


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
