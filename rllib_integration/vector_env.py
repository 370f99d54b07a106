"""Several CARLA environments that step together: while one is waited for, the others' simulators work too.

`CarlaVectorEnv` keeps them in this process, `CarlaProcessVectorEnv` gives each a process of its own.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.vector.async_vector_env import AsyncState
from gymnasium.vector.utils import concatenate, create_empty_array, iterate
from gymnasium.wrappers.vector import DictInfoToList
from numpy.typing import NDArray

from rllib_integration.annotations import Action, Observation, Record, Settings
from rllib_integration.carla_env import CarlaEnv, seeded_apart
from rllib_integration.config.merging import ConfigError
from rllib_integration.processes.workers import end_with_parent
from rllib_integration.user_code import running_call

logger = logging.getLogger(__name__)

Flags = NDArray[np.bool_]
_STUCK_SECONDS = 5.0  # after which a closing vector no longer waits for a call of the user's code


class CarlaVectorEnv(SyncVectorEnv):
    """Environments of one process, each with a simulator of its own.

    `SyncVectorEnv` steps one environment after the other, so that all simulators but one stand idle. Here each is
    set to work before the first is waited for, servers start side by side, and so do episodes. What `step` and
    `reset` return is the same, also that an ended episode is followed by a reset in the next step.

    Args:
        num_envs: How many.
        config: As for `CarlaEnv`.
        render_mode: As for `CarlaEnv`.
        make: Makes the environment of a number; `CarlaEnv(config, render_mode)` if left out, but for the seed.

    Attributes:
        envs: The environments.

    Raises:
        ConfigError: The configuration can't be used.
    """

    envs: list[CarlaEnv]  # type: ignore[assignment]

    def __init__(
        self,
        num_envs: int = 1,
        config: Settings | None = None,
        render_mode: str | None = None,
        make: Callable[[int], CarlaEnv] | None = None,
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs is {num_envs}, but it has to be 1 or more.")

        def make_default(number: int) -> CarlaEnv:
            sections = dict(config or {})
            carla = seeded_apart(sections.get("carla") or {}, number=number)
            return CarlaEnv({**sections, "carla": carla}, render_mode)

        self._resets: list[threading.Thread] = []
        super().__init__([partial(make or make_default, number) for number in range(num_envs)])

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Record | None = None
    ) -> tuple[Observation, Record]:
        """Begin an episode in every environment, or in those that `options["reset_mask"]` (bool) chooses.

        Args:
            seed: One for each environment, or the first one's; the others' count on from it.
            options: As for `CarlaEnv.reset`.

        Returns:
            The batched observations, and further information in Gymnasium's vector form.
        """
        seeds = [seed + number for number in range(self.num_envs)] if isinstance(seed, int) else seed
        if seeds is not None and len(seeds) != self.num_envs:
            raise ValueError(f"There are {len(seeds)} seeds for {self.num_envs} environments.")
        for_each = dict(options or {})
        chosen = np.asarray(for_each.pop("reset_mask", np.ones(self.num_envs, bool)), bool)
        if chosen.shape != (self.num_envs,):
            raise ValueError(f"reset_mask has the shape {chosen.shape}, but it has to be ({self.num_envs},).")
        found = self._reset_chosen(chosen, seeds, for_each or None)
        infos: Record = {}
        for number, info in found.items():
            infos = self._add_info(infos, info, number)
        self._terminations[chosen] = self._truncations[chosen] = self._autoreset_envs[chosen] = False
        return self._batch(), infos

    def step(self, actions: object) -> tuple[Observation, NDArray[np.float64], Flags, Flags, Record]:  # type: ignore[override]
        """Act in every environment; where an episode has ended, begin the next one instead.

        Args:
            actions: One for each environment, batched.

        Returns:
            Observations, rewards (float64), terminations and truncations (bool), all batched, and further information
            in Gymnasium's vector form.
        """
        *outcome, found = self.step_each(actions)
        infos: Record = {}
        for number, info in found.items():
            infos = self._add_info(infos, info, number)
        return (*outcome, infos)  # type: ignore[return-value]

    def step_each(self, actions: object) -> tuple[Observation, NDArray[np.float64], Flags, Flags, dict[int, Record]]:
        """`step`, but with the information of each environment as it gave it, by its number."""
        ended = self._autoreset_envs
        for env, action, has_ended in zip(self.envs, iterate(self.action_space, actions), ended):
            if not has_ended:
                env.begin_step(action)
        found: dict[int, Record] = {}
        for number in np.flatnonzero(~ended).tolist():
            result = self.envs[number].finish_step()
            self._env_obs[number], self._rewards[number] = result[:2]
            self._terminations[number], self._truncations[number], found[number] = result[2:]
        if ended.any():
            found |= self._reset_chosen(ended)
            self._rewards[ended] = 0.0
            self._terminations[ended] = self._truncations[ended] = False
        self._autoreset_envs = self._terminations | self._truncations
        return self._batch(), self._rewards.copy(), self._terminations.copy(), self._truncations.copy(), found

    def _reset_chosen(
        self, chosen: Flags, seeds: Sequence[int | None] | None = None, options: Record | None = None
    ) -> dict[int, Record]:
        """Begin episodes side by side; return what further information each gives."""

        def begin(number: int) -> Record:
            seed = seeds[number] if seeds is not None else None
            self._env_obs[number], info = self.envs[number].reset(seed=seed, options=options)
            return info

        for thread in self._resets:  # of a reset that Ctrl-C has left
            thread.join()
        numbers = np.flatnonzero(chosen).tolist()
        # A window belongs to the thread that opened it.
        is_single = len(numbers) == 1 or self.render_mode == "human"
        infos = list(map(begin, numbers)) if is_single else self._side_by_side(begin, numbers)
        return dict(zip(numbers, infos))

    def _side_by_side(self, begin: Callable[[int], Record], numbers: Sequence[int]) -> list[Record]:
        """Call `begin` with each number in a thread of its own; return what each call returns.

        The threads are daemons: a program may end while an experiment's method in one of them never returns.
        """
        outcomes: list[Future[Record]] = [Future() for _ in numbers]
        self._resets = [
            threading.Thread(target=_settle, args=(outcome, begin, number), name="carla-reset", daemon=True)
            for outcome, number in zip(outcomes, numbers)
        ]
        for thread in self._resets:
            thread.start()
        wait(outcomes)
        return [outcome.result() for outcome in outcomes]

    def _batch(self) -> Observation:
        space = self.single_observation_space
        return concatenate(space, self._env_obs, create_empty_array(space, self.num_envs, np.empty))

    def close_extras(self, **kwargs: object) -> None:
        """Close every environment."""
        _await_ends(self._resets)
        super().close_extras(**kwargs)

    def __del__(self) -> None:
        """End the servers of one that is forgotten, as Gymnasium before 1.4 does by itself."""
        if not getattr(self, "closed", True):
            self.close()


def _settle(outcome: Future[Record], begin: Callable[[int], Record], number: int) -> None:
    try:
        outcome.set_result(begin(number))
    except BaseException as error:
        outcome.set_exception(error)


def _await_ends(threads: Sequence[threading.Thread]) -> None:
    """Wait for threads, but not for those in which a call of the user's code does not return."""
    while threads := [thread for thread in threads if thread.is_alive()]:
        calls = [running_call(thread.ident) for thread in threads]
        until = time.monotonic() + _STUCK_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        stuck = [call is not None and call.goes_on() and call.describe(_STUCK_SECONDS) for call in calls]
        for sentence in filter(None, stuck):
            logger.warning("%s", sentence)
        threads = [thread for thread, sentence in zip(threads, stuck) if not sentence]


class CarlaProcessVectorEnv(AsyncVectorEnv):
    """Environments in processes of their own, which take 0.2 GB and, while they work, a processor each.

    What `step` and `reset` return is what `CarlaVectorEnv` returns. The processes are started afresh, not forked: a
    copy of this one would hold its connections and threads. They end with this one, whatever ends it.

    Args:
        configs: For each environment what `CarlaEnv` takes; it has to survive pickling.

    Raises:
        ConfigError: A configuration can't be used.
    """

    def __init__(self, configs: Sequence[Settings]) -> None:
        super().__init__([partial(_make_env, config) for config in configs], context="spawn")

    def step_each(self, actions: Action) -> tuple[Observation, NDArray[np.float64], Flags, Flags, dict[int, Record]]:
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


def _make_env(config: Settings) -> CarlaEnv:
    if multiprocessing.parent_process() is not None:
        # A Ctrl-C in the terminal is its parent's business. A handler, as what is ignored would be by servers, too.
        signal.signal(signal.SIGINT, lambda number, frame: None)
        end_with_parent()
    return CarlaEnv(config)


class ListedInfos(DictInfoToList):
    """Gives the information of each environment as it is, in a list, without the way through Gymnasium's vector form.

    Args:
        replaced: What it is used in place of, around environments that have `step_each`.
    """

    env: Any

    def __init__(self, replaced: DictInfoToList) -> None:
        super().__init__(replaced.env)
        self._replaced = replaced  # when it is forgotten, it closes the environments

    def step(self, actions: object) -> tuple[Observation, NDArray[np.float64], Flags, Flags, list[Record]]:  # type: ignore[override]
        """`step` with a list of infos."""
        *outcome, found = self.env.step_each(actions)
        return (*outcome, [found.get(number, {}) for number in range(self.num_envs)])
