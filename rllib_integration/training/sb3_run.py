"""Training runs with Stable-Baselines3: the same run folders, stop rules, restore and evaluation as with RLlib."""

from __future__ import annotations

import contextlib
import json
import statistics
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import overlay
from rllib_integration.driving.sb3_policy import MODEL_FILE
from rllib_integration.sb3 import make_vec_env
from rllib_integration.telemetry.announcement import LIVE_FOLDER
from rllib_integration.training.episode_sums import EpisodeSums
from rllib_integration.training.interruption import Interruption
from rllib_integration.training.lost_runners import LostRunners
from rllib_integration.training.progress import Figure
from rllib_integration.training.run import TrainingError, TrainingRun
from rllib_integration.training.sb3_config import build_sb3, find_sb3_class, read_sb3_document

TRAINER_FILE = "trainer.json"
_NEVER = 10**9  # episodes or rounds after which the logger would be emptied
SMOOTHING = 100  # episodes that a mean is taken over
FIRST_EVALUATION_SEED = 500_000  # far from the seeds of training


class SB3Run(TrainingRun):
    """A run whose algorithm is one of Stable-Baselines3, without Ray."""

    def _read(self, document: Settings) -> tuple[Record, list[str]]:
        if self.options.state_log:
            raise TrainingError("--state-log is written by RLlib's env runners, which Stable-Baselines3 does not have.")
        return read_sb3_document(document), []

    def _start(self, stack: contextlib.ExitStack, interruption: Interruption) -> tuple[SB3Trainer, LostRunners | None]:
        self._share_processors(self.document["n_envs"])
        watched = {"environment": {"env_config": {"carla": {"live_folder": str(self.folder / LIVE_FOLDER)}}}}
        trainer = SB3Trainer(overlay(self.document, watched))
        stack.callback(trainer.stop)
        return trainer, None

    def _write(self, algorithm: Any, folder: str) -> None:
        algorithm.save(folder)

    def _figures(self) -> tuple[Figure, ...]:
        return (Figure("success", "end_goal", "%", scale=100.0, digits=0), Figure("distance", "distance", "m"))


class SB3Trainer:
    """An algorithm of Stable-Baselines3 with what a run needs of RLlib's `Algorithm`.

    Args:
        document: A configuration as `read_sb3_document` returns it.

    Attributes:
        iteration: Iterations trained, those before a restore included.
        training_step: Called before each round of samples; may raise to end the iteration there.
    """

    def __init__(self, document: Settings) -> None:
        self._document = document
        env_config = document["environment"]["env_config"]
        seed = document["debugging"]["seed"]
        self._environments = make_vec_env(env_config, document["n_envs"], seed=seed)
        self._judges: Any = None
        self.model = build_sb3(document, self._environments)
        self.model.set_logger(Logger(folder=None, output_formats=[]))
        self.iteration = 0
        self.metrics = self
        self.training_step: Callable[[], None] = lambda: None
        self._notes = _NoteEpisodes(lambda: self.training_step())
        self._newest: deque[Record] = deque(maxlen=SMOOTHING)

    def peek(self, key: object, default: int = 0) -> int:
        """Environment steps of the run: all that a run looks up in the metrics."""
        return int(self.model.num_timesteps)

    def train(self) -> Record:
        """Train for an iteration; returns its result, in the form of RLlib's."""
        steps = self._document["reporting"]["min_sample_timesteps_per_iteration"]
        self.model.learn(steps, callback=self._notes, log_interval=_NEVER, reset_num_timesteps=False)
        self.iteration += 1
        ended, self._notes.ended = self._notes.ended, []
        self._newest.extend(ended)
        result: Record = {
            "training_iteration": self.iteration,
            "num_env_steps_sampled_lifetime": self.model.num_timesteps,
            "env_runners": {**_means(list(self._newest)), "episodes": [json.dumps(one) for one in ended]},
            "learners": {"default_policy": dict(self.model.logger.name_to_value)},
        }
        interval = (self._document.get("evaluation") or {}).get("evaluation_interval")
        if interval and self.iteration % interval == 0:
            episodes = self._evaluate()
            result["evaluation"] = {
                "env_runners": {**_means(episodes), "episodes": [json.dumps(one) for one in episodes]}
            }
        return result

    def _evaluate(self) -> list[Record]:
        """Drive greedily, from the same starts each time."""
        settings = self._document["evaluation"]
        if self._judges is None:
            self._judges = make_vec_env(settings["evaluation_config"]["env_config"])
        self._judges.seed(FIRST_EVALUATION_SEED)
        self._judges.unwrapped.environments.envs[0].begin_evaluation()
        observation = self._judges.reset()
        episodes: list[Record] = []
        sums = EpisodeSums()
        while len(episodes) < settings["evaluation_duration"]:
            action, _ = self.model.predict(observation, deterministic=True)
            observation, rewards, ended, infos = self._judges.step(action)
            sums.add(_own(infos[0]), float(rewards[0]))
            if ended[0]:
                episodes.append(sums.record(infos[0], not infos[0]["TimeLimit.truncated"]))
                sums = EpisodeSums()
        return episodes

    def save(self, folder: str) -> None:
        """Write the model, and how far it was trained."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        self.model.save(path / MODEL_FILE)
        (path / TRAINER_FILE).write_text(json.dumps({"iteration": self.iteration}), encoding="utf-8")

    def restore(self, folder: str) -> None:
        """Continue from a checkpoint; the replay buffer is filled anew before learning goes on.

        Raises:
            FileNotFoundError, KeyError, ValueError: It is none of this algorithm.
        """
        path = Path(folder)
        self.iteration = int(json.loads((path / TRAINER_FILE).read_text(encoding="utf-8"))["iteration"])
        kind = find_sb3_class(self._document["algorithm"])
        logger = self.model.logger
        self.model = kind.load(path / MODEL_FILE, env=self._environments)
        self.model.set_logger(logger)
        if isinstance(self.model, OffPolicyAlgorithm):
            self.model.learning_starts += self.model.num_timesteps

    def stop(self) -> None:
        """End all simulators. Twice is fine."""
        for environments in (self._environments, self._judges):
            if environments is not None:
                environments.close()


class _NoteEpisodes(BaseCallback):
    """Follows all episodes, and lets a run end between two rounds of samples."""

    def __init__(self, before_round: Callable[[], None]) -> None:
        super().__init__()
        self.ended: list[Record] = []
        self._before_round = before_round
        self._sums: dict[int, EpisodeSums] = {}

    def _on_rollout_start(self) -> None:
        self._before_round()

    def _on_step(self) -> bool:
        for number, info in enumerate(self.locals["infos"]):
            sums = self._sums.setdefault(number, EpisodeSums())
            sums.add(_own(info), float(self.locals["rewards"][number]))
            if self.locals["dones"][number]:
                self.ended.append(sums.record(info, not info["TimeLimit.truncated"]))
                del self._sums[number]
        return True


def _own(info: Settings) -> Record:
    """What the experiment told, without what Stable-Baselines3 adds."""
    return {name: value for name, value in info.items() if name not in ("TimeLimit.truncated", "episode")}


def _means(episodes: list[Record]) -> dict[str, float]:
    """The figures of several episodes, under the names of RLlib's callbacks."""
    if not episodes:
        return {}
    found = {
        "episode_return_mean": statistics.fmean(one["return"] for one in episodes),
        "episode_len_mean": statistics.fmean(one["length"] for one in episodes),
    }
    names = {name for one in episodes for name, value in one.items() if isinstance(value, float)} - {"return"}
    for name in sorted(names):
        found[name] = statistics.fmean(float(one[name]) for one in episodes if name in one)
    for end in {one["end"] for one in episodes} | {"goal"}:
        found[f"end_{end}"] = statistics.fmean(one["end"] == end for one in episodes)
    return found
