"""Sees when the env runners of a run deliver nothing: whether they work, are stuck, or have ended for good."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rllib_integration.errors import IntegrationError
from rllib_integration.telemetry.announcement import LIVE_FOLDER
from rllib_integration.training.lost_runners import LostRunners
from rllib_integration.training.progress import steps_sampled
from rllib_integration.user_code import calls_so_far, stuck_calls

if TYPE_CHECKING:
    from ray.actor import ActorHandle
    from ray.rllib.algorithms.algorithm import Algorithm

SILENT_ROUNDS = 6
"""How often `sample_timeout_s` may pass without any sample, and without any work, before a run ends."""

_PING_SECONDS = 5.0


class SamplingError(IntegrationError, RuntimeError):
    """No env runner samples any more; the message is a sentence for the user."""


class SamplingWatch:
    """Looks after each training step whether samples come; time counts only while the env runners do nothing.

    RLlib drops samples that come later than `sample_timeout_s`. So where the env runners work, but too slowly for it,
    the time-out is doubled: otherwise no sample would ever come.

    Args:
        algorithm: As it is before its first training step; with remote env runners.
        folder: The run's folder.
        lost: Tells of env runners that have ended; None where that can't be known.
    """

    def __init__(self, algorithm: Algorithm, folder: Path, lost: LostRunners | None) -> None:
        self._algorithm = algorithm
        self._group = algorithm.env_runner_group
        self._live = folder / LIVE_FOLDER
        self._lost = lost
        self._steps = steps_sampled(algorithm)
        self._calls: frozenset[tuple[str, bytes]] | None = None  # as they were at the last look at a silence
        self._quiet_since = time.monotonic()
        self._told: set[str] = set()

    def watch(self, step: Callable[[], object]) -> None:
        """Make a training step, and look what came of it.

        Raises:
            UserCodeFailure: An env runner has told of a mistake in the user's code.
            SamplingError: No samples are to be expected any more.
        """
        import ray

        try:
            step()
        except SamplingError as error:
            raise SamplingError(next(stuck_calls(self._live), str(error))) from error
        except ray.exceptions.RayActorError as error:
            if self._algorithm.config.restart_failed_env_runners:
                raise
            tell_losses(self._lost)
            raise SamplingError(why_no_restart(self._algorithm)) from error
        if self._group.num_healthy_remote_workers() < self._group.num_remote_workers():
            self._examine_losses()
        steps, now = steps_sampled(self._algorithm), time.monotonic()
        seconds = self._algorithm.config.sample_timeout_s
        if steps != self._steps:
            self._steps, self._calls, self._quiet_since = steps, None, now
        elif now - self._quiet_since > seconds:
            self._judge_silence(now, seconds)

    def _judge_silence(self, now: float, seconds: float) -> None:
        """Wait longer for env runners that work; end the run if none has worked for long."""
        for sentence in set(stuck_calls(self._live)) - self._told:
            self._told.add(sentence)
            print(sentence, flush=True)
        before, self._calls = self._calls, calls_so_far(self._live)
        if before is None:
            return
        if self._calls != before:
            self._quiet_since = now
            self._double_the_timeout(seconds)
        elif now - self._quiet_since > SILENT_ROUNDS * seconds:
            end_env_runners(self._algorithm)
            raise SamplingError(next(stuck_calls(self._live), None) or why_no_steps(self._algorithm))

    def _examine_losses(self) -> None:
        from rllib_integration.training.runner_failures import raise_what_was_told

        raise_what_was_told()
        tell_losses(self._lost)
        if self._lost is not None and self._lost.comes_again():
            raise SamplingError(
                "The experiment's own code has ended three env runners; the lines above name the method. "
                "Repair it, and start again."
            )
        if not self._group.num_healthy_remote_workers() and all(
            _has_ended(runner) for runner in self._group._worker_manager.actors().values()
        ):
            tell_losses(self._lost)
            raise SamplingError(why_no_restart(self._algorithm))

    def _double_the_timeout(self, seconds: float) -> None:
        config = self._algorithm.config.copy(copy_frozen=False)
        config.sample_timeout_s = 2 * seconds
        config.freeze()
        self._algorithm.config = config
        print(
            f"The env runners work, but deliver nothing within env_runners.sample_timeout_s, {seconds:g} s: "
            f"from here on it is {2 * seconds:g} s.",
            flush=True,
        )


def why_no_steps(algorithm: Algorithm) -> str:
    """Sentences about training steps without a sample: what the env runners do, and what to change."""
    group, seconds = algorithm.env_runner_group, algorithm.config.sample_timeout_s
    runners = group.num_remote_workers() if group is not None else 0
    lost = runners - group.num_healthy_remote_workers() if group is not None else 0
    if lost:
        return f"No steps: {lost} of {runners} env runners were lost; what they said last is in the run's folder."
    return (
        f"No steps: no env runner delivered its samples within env_runners.sample_timeout_s, {seconds:g} s. "
        "Raise that, or lower env_runners.rollout_fragment_length or the number of environments."
    )


def why_no_restart(algorithm: Algorithm) -> str:
    """Sentences about env runners that are lost and not started again."""
    config = algorithm.config
    reason = f"after {config.max_num_env_runner_restarts} restarts (fault_tolerance.max_num_env_runner_restarts)"
    if not config.restart_failed_env_runners:
        reason = "because fault_tolerance.restart_failed_env_runners is false"
    return f"An env runner was lost and is not started again, {reason}. What it said last is in the run's folder."


def end_env_runners(algorithm: Algorithm) -> None:
    """End the env runners' processes, whatever they do: RLlib would wait for them before it stops."""
    import ray

    for group in (algorithm.env_runner_group, algorithm.eval_env_runner_group):
        for runner in group._worker_manager.actors().values() if group is not None else ():
            ray.kill(runner)


def tell_losses(lost: LostRunners | None) -> None:
    """Say which env runners have ended, and why."""
    for runner in lost.new() if lost is not None else ():
        print(runner, flush=True)


def _has_ended(runner: ActorHandle) -> bool:
    """Whether an env runner's process is gone and Ray starts it no more."""
    import ray

    try:
        ray.get(runner.ping.remote(), timeout=_PING_SECONDS)
    except ray.exceptions.ActorDiedError:
        return True
    except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):  # it is started again, or has much to do
        return False
    return False
