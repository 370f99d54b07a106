"""Writes the state log from the env runners, wherever they run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from rllib_integration.annotations import Record, Settings
from rllib_integration.state_log.files import StateLogWriter

MOST_VALUES = 64  # of a list in a line; longer ones, such as a whole track's waypoints, are left out
_DIGITS = 5
_ITERATION, _WRITER = "state_log_iteration", "state_log_writer"  # attributes of the env runners
_FLUSHED_WITHIN = 10.0  # [s]
_FROM_INFO = ("town", "control", "end", "server_restarted")


class StateLogCallbacks(RLlibCallback):
    """Writes a line for each step: iteration, episode, action, reward, end and state.

    The state is what the experiment gives as `info["state"]`; without it, the numbers in `info`.

    Args:
        folder: Of the log.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._writer: StateLogWriter | None = None

    # In the process that learns

    def on_algorithm_init(self, *, algorithm: Algorithm, **kwargs: object) -> None:
        """Tell the env runners the first iteration's number."""
        _tell_iteration(algorithm)

    def on_checkpoint_loaded(self, *, algorithm: Algorithm, **kwargs: object) -> None:
        """Tell the env runners the iteration that follows a checkpoint."""
        _tell_iteration(algorithm)

    def on_train_result(self, *, algorithm: Algorithm, **kwargs: object) -> None:
        """Tell the env runners the next iteration's number."""
        _tell_iteration(algorithm)

    # In the env runners

    def on_episode_step(self, *, episode: SingleAgentEpisode, env_runner: EnvRunner, **kwargs: object) -> None:
        """Note a step."""
        if self._writer is None:
            kind = "eval" if env_runner.config.in_evaluation else "train"
            self._writer = StateLogWriter(self._folder, kind, env_runner.worker_index or 0)
            setattr(env_runner, _WRITER, self._writer)
        info = episode.get_infos(-1)
        line = {
            "iteration": getattr(env_runner, _ITERATION, None),
            "episode": episode.id_,
            "time": round(time.time(), 3),
            "action": episode.get_actions(-1),
            "reward": round(float(episode.get_rewards(-1)), _DIGITS),
            "terminated": episode.is_terminated,
            "truncated": episode.is_truncated,
        }
        self._writer.add(line | state_line(info))

    def on_sample_end(self, **kwargs: object) -> None:
        """Write what has waited."""
        if self._writer is not None:
            self._writer.flush_old()


def state_line(info: Settings) -> Record:
    """What a step's `info` adds to its line."""
    line = {name: short(info[name]) for name in _FROM_INFO if info.get(name) is not None}
    if info.get("reward_parts"):
        line["reward_parts"] = {name: short(value) for name, value in info["reward_parts"].items()}
    state = info.get("state")
    if not isinstance(state, Mapping):
        state = {name: value for name, value in info.items() if isinstance(value, (bool, int, float))}
    return line | {
        name: short(value)
        for name, value in state.items()
        if not (isinstance(value, (list, tuple)) and len(value) > MOST_VALUES)
    }


def short(value: object) -> object:
    """A value with fewer digits."""
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, (list, tuple)):
        return [short(part) for part in value]
    return value


def flush_state_log(algorithm: Algorithm) -> None:
    """Let all env runners write what waits, before they end."""
    _each_runner(algorithm, _flush, _FLUSHED_WITHIN)


def _flush(runner: EnvRunner) -> None:
    writer = getattr(runner, _WRITER, None)
    if writer is not None:
        writer.flush()


def _tell_iteration(algorithm: Algorithm) -> None:
    following = algorithm.iteration + 1
    _each_runner(algorithm, lambda runner: setattr(runner, _ITERATION, following), 0.0)  # without waiting for answers


def _each_runner(algorithm: Algorithm, tell: Callable[[EnvRunner], None], seconds: float) -> None:
    for group in (algorithm.env_runner_group, algorithm.eval_env_runner_group):
        if group is not None:
            group.foreach_env_runner(tell, timeout_seconds=seconds)
