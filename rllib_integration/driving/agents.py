"""Drives several agents of one world with their trained policies."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Action, Observation, Record, Settings
from rllib_integration.driving.inference import DrivenEpisode
from rllib_integration.driving.policies import load_policy
from rllib_integration.driving.policy_files import DESCRIPTION_FILE
from rllib_integration.driving.trials import Rollout, Task, run_tasks
from rllib_integration.multi_agent.settings import name_of_life

if TYPE_CHECKING:
    from rllib_integration.multi_agent.shared_world import SharedWorld

_TILE = 240  # [px] of an agent's picture in a film
_GAP = 4  # [px] between two of them


class Acts(Protocol):
    """A policy of an agent."""

    def act(self, observation: Observation) -> tuple[Action, float]:
        """The action for an observation, and the return that is expected of it."""


PolicyOf = Callable[[str], str]
"""Name of the policy that drives an agent."""


class Life(Rollout):
    """What has become of an agent.

    Args:
        agent: Its id.
    """

    def __init__(self, agent: str) -> None:
        super().__init__()
        self.agent = agent


def drive_lives(
    world: SharedWorld,
    policies: Mapping[str, Acts],
    policy_of: PolicyOf,
    *,
    seed: int | None = None,
    options: Settings | None = None,
    steps: int | None = None,
    look: Callable[[], None] | None = None,
) -> Iterator[Life]:
    """Drive one episode of a world, and yield each agent when its life has ended.

    Args:
        world: The world.
        policies: Policies by name.
        policy_of: Says who drives whom.
        seed: Of this episode, and by it of all later ones.
        options: As for `SharedWorld.reset`.
        steps: Number of decisions; None sets no bound. Who is left then is yielded, too.
        look: Called after every decision.
    """
    observations, _ = world.reset(seed, options)
    lives = {agent: Life(agent) for agent in observations}
    made = 0
    while world.heroes and (steps is None or made < steps):
        actions: Record = {}
        for agent, observation in observations.items():
            if agent in world.heroes:
                actions[agent], value = policies[policy_of(agent)].act(observation)
                lives[agent].expected.append(value)
        world.begin_step(actions)
        step = world.finish_step()
        made += 1
        if look is not None:
            look()
        observations = step.observations
        for agent, reward in step.rewards.items():
            life = lives[agent]
            life.note(reward, step.terminated[agent], step.truncated[agent], step.infos[agent])
            if life.ended:
                yield lives.pop(agent)
        lives |= {agent: Life(agent) for agent in observations.keys() - step.rewards.keys()}
    yield from lives.values()


def drive_agents(
    world: SharedWorld,
    policies: Mapping[str, Acts],
    policy_of: PolicyOf,
    *,
    episodes: int | None = None,
    steps: int | None = None,
    seed: int | None = None,
    look: Callable[[], None] | None = None,
    recorded: int = 0,
    replays: Path | None = None,
) -> Iterator[DrivenEpisode]:
    """Drive episode after episode and yield each agent's part of it when that has ended.

    Args:
        world: The world.
        policies: Policies by name.
        policy_of: Says who drives whom.
        episodes: Number of episodes of the world; None drives on.
        steps: Number of decisions of all episodes together; None sets no bound.
        seed: Of the first episode, and by it of all later ones.
        look: Called after every decision.
        recorded: How many of the first episodes are recorded.
        replays: Folder that they are recorded in.
    """
    number = made = 0

    def count() -> None:
        nonlocal made
        made += 1
        if look is not None:
            look()

    while (episodes is None or number < episodes) and (steps is None or made < steps):
        number += 1
        left = None if steps is None else steps - made
        first = seed if number == 1 else None
        if replays is not None and number <= recorded:
            world.record_next_episode(replays, f"Episode {number}")
        for life in drive_lives(world, policies, policy_of, seed=first, steps=left, look=count):
            distance, speed = life.metrics.get("distance"), life.metrics.get("mean_speed")
            yield DrivenEpisode(
                number,
                len(life.rewards),
                math.fsum(life.rewards),
                distance,
                None if speed is None else 3.6 * speed,
                life.end,
                world.core.town,
                life.agent,
            )


class AgentsPicture:
    """A picture of all agents of a world, each from above in a tile of its own.

    Args:
        world: The world; it has to have begun its first episode.
    """

    def __init__(self, world: SharedWorld) -> None:
        self._world = world
        self._names = list(dict.fromkeys(map(name_of_life, world.possible_agents)))
        self._columns = math.ceil(math.sqrt(len(self._names)))

    def draw(self) -> NDArray[np.uint8]:
        """`uint8 (height, width, 3)`, RGB; the tile of an agent that drives no longer is dark."""
        import cv2

        rows = math.ceil(len(self._names) / self._columns)
        side = _TILE + _GAP
        picture = np.full((rows * side - _GAP, self._columns * side - _GAP, 3), 32, np.uint8)
        driving = {name_of_life(agent): view for agent, view in self._world.heroes.items()}
        for number, name in enumerate(self._names):
            row, column = divmod(number, self._columns)
            tile = picture[row * side : row * side + _TILE, column * side : column * side + _TILE]
            if name in driving:
                tile[:] = driving[name].bird_view(_TILE)
            cv2.putText(tile, name, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        return picture


def load_agents(path: Path, names: Sequence[str], device: str | None = "cpu") -> dict[str, Acts]:
    """The policies of a checkpoint, by name.

    Args:
        path: A checkpoint of several agents, or one that holds a single policy, which drives all of them.
        names: Of the policies.
        device: For torch, where RLlib's own network is not needed.

    Raises:
        ConfigError: The checkpoint has no such policy, or is none.
    """
    import torch

    from rllib_integration.driving.rllib_policy import AgentPolicy, policies_of

    torch.set_num_threads(1)  # one picture at a time: more threads only wait for each other
    known = policies_of(path) if path.is_dir() else []
    if not known or known == ["default_policy"] or (path / DESCRIPTION_FILE).is_file():
        single = load_policy(path, device)
        return dict.fromkeys(names, single)
    return {name: AgentPolicy(path, name) for name in names}


# A driving test


def drive_agent_tasks(
    env_config: Settings,
    policies: Mapping[str, str],
    policy_of: PolicyOf,
    names: Sequence[str],
    tasks: Sequence[Task],
    *,
    workers: int,
    gamma: float,
) -> Iterator[Record]:
    """Drive episodes of a world on several processes, and yield the record of each agent, in any order.

    Args:
        env_config: Of the world.
        policies: Name -> checkpoint.
        policy_of: Says which of a checkpoint's policies drives an agent; the workers get it by pickling.
        names: Of those.
        tasks: What to drive.
        workers: Number of processes, each with a server of its own.
        gamma: Discount of one decision, for the realised returns.

    Raises:
        TrialError: A worker failed; the message is its own.
        UserCodeFailure: The user's own code failed in a worker.
    """
    yield from run_tasks(_drive_tasks, tasks, workers, dict(env_config), dict(policies), policy_of, tuple(names), gamma)


def _drive_tasks(
    tasks: Sequence[Task],
    env_config: Record,
    policies: Mapping[str, str],
    policy_of: PolicyOf,
    names: Sequence[str],
    gamma: float,
) -> Iterator[Record]:
    from rllib_integration.multi_agent.shared_world import SharedWorld

    loaded: dict[str, dict[str, Acts]] = {}
    world = SharedWorld({**env_config, "experiment": {**env_config["experiment"], "town": tasks[0].town}})
    try:
        for task in tasks:
            if task.policy not in loaded:
                loaded[task.policy] = load_agents(Path(policies[task.policy]), names)
            driving = loaded[task.policy]
            task.record(world)
            for life in drive_lives(world, driving, policy_of, seed=task.seed, options={"town": task.town}):
                yield life.record(task, gamma) | {"agent": life.agent, "driver": policy_of(life.agent)}
    finally:
        world.close()
