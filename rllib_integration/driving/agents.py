"""Drives several agents of one world with their trained policies."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Action, Observation, Record, Settings
from rllib_integration.config.merging import ConfigError
from rllib_integration.driving.inference import DrivenEpisode
from rllib_integration.driving.policies import load_policy
from rllib_integration.driving.trials import TRACK_EVERY, Task, expected_and_realised, run_tasks
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


@dataclass
class Life:
    """What became of an agent.

    Attributes:
        agent: Its id.
        rewards: Of its decisions.
        expected: The returns that its policy has expected of them.
        speeds: After them, where the experiment tells them [km/h].
        off_lane: Decisions outside of the lanes of its direction.
        off_road: Decisions off every lane.
        track: Places on the way, x and y [m].
        info: What was told last.
        terminated: Whether it has ended in a state without future.
        ended: Whether it has ended.
    """

    agent: str
    rewards: list[float] = field(default_factory=list)
    expected: list[float] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)
    off_lane: int = 0
    off_road: int = 0
    track: list[tuple[int, int]] = field(default_factory=list)
    info: Record = field(default_factory=dict)
    terminated: bool = False
    ended: bool = False

    def note(self, reward: float, info: Record) -> None:
        """Take in what a decision has led to."""
        self.rewards.append(reward)
        self.info = info
        if "speed" in info:
            self.speeds.append(float(info["speed"]))
        self.off_lane += not info.get("in_lane", True)
        self.off_road += bool(info.get("off_road", False))
        if (len(self.rewards) - 1) % TRACK_EVERY == 0 and "position" in info:
            self.track.append((round(info["position"][0]), round(info["position"][1])))

    @property
    def metrics(self) -> Record:
        """The library's figures of it; none before its end."""
        return self.info.get("episode_metrics") or {}

    @property
    def end(self) -> str:
        """Why it has ended."""
        if not self.ended:
            return "the steps asked for are done"
        return str(self.info.get("end") or ("terminated" if self.terminated else "truncated"))


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
            life.note(reward, step.infos[agent])
            if step.terminated[agent] or step.truncated[agent]:
                life.terminated, life.ended = step.terminated[agent], True
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
        path: A checkpoint of several agents, or one of a single hero, whose policy drives all of them.
        names: Of the policies.
        device: For torch, where RLlib's own network is not needed.

    Raises:
        ConfigError: The checkpoint has no such policy, or is none.
    """
    import torch

    from rllib_integration.driving.rllib_policy import AgentPolicy, policies_of

    torch.set_num_threads(1)  # one picture at a time: more threads only wait for each other
    known = policies_of(path) if path.is_dir() else []
    if not known or known == ["default_policy"]:
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
    if any(task.replays is not None for task in tasks):
        raise ConfigError("Episodes of several agents can't be recorded; film them with drive --video.")
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
            for life in drive_lives(world, driving, policy_of, seed=task.seed, options={"town": task.town}):
                yield _record(life, task, policy_of(life.agent), gamma)
    finally:
        world.close()


def _record(life: Life, task: Task, driver: str, gamma: float) -> Record:
    """An agent's part of an episode, as `trials.drive_episode` tells an episode, with `agent` and `driver`."""
    info, decisions = life.info, max(len(life.rewards), 1)
    return {
        "policy": task.policy,
        "town": task.town,
        "seed": task.seed,
        "agent": life.agent,
        "driver": driver,
        "distance": float(info.get("distance") or life.metrics.get("distance") or 0.0),
        "speed": float(np.mean(life.speeds)) if life.speeds else 3.6 * float(life.metrics.get("mean_speed", 0.0)),
        "steps": len(life.rewards),
        "return": math.fsum(life.rewards),
        "off_lane": life.off_lane / decisions,
        "off_road": life.off_road / decisions,
        "end": life.end,
        "track": life.track,
        "position": [round(number, 1) for number in info.get("position", ())],
        "values": expected_and_realised(life.expected, life.rewards, gamma, life.terminated),
        "metrics": life.metrics,
    }
