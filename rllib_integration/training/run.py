"""Training runs: from a configuration to checkpoints, with a line for every iteration.

RLlib's `Algorithm` is driven directly, in this process: it can then be stopped between two rounds of
sampling, so that Ctrl-C saves a checkpoint at once, and no further process stands between the learner and
its GPU. The run's folder is described in `run_log`.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import overlay, save_config
from rllib_integration.errors import IntegrationError
from rllib_integration.processes.cpus import available_cpus
from rllib_integration.processes.ray_setup import quiet_ray
from rllib_integration.servers import ServerSettings, count_servers
from rllib_integration.state_log.files import FOLDER as STATE_LOG
from rllib_integration.telemetry.announcement import LIVE_FOLDER
from rllib_integration.tracking.run_tracking import RunTracking, make_trackers
from rllib_integration.training.checkpoints import (
    CheckpointKeeper,
    get_checkpoint,
    set_later_ones_aside,
    whole_checkpoint,
)
from rllib_integration.training.env_creator import make_env
from rllib_integration.training.interruption import EndedInside, Interruption
from rllib_integration.training.lost_runners import LostRunners
from rllib_integration.training.machine import Machine, fit_resources
from rllib_integration.training.options import TrainingOptions
from rllib_integration.training.progress import Figure, Meter, mean_return, progress_line, steps_sampled
from rllib_integration.training.ray_session import log_folder_elsewhere, native_output_in, ray_session
from rllib_integration.training.run_storage import RunStorage, StorageError
from rllib_integration.training.sampling_watch import SamplingWatch, end_env_runners, tell_losses, why_no_steps
from rllib_integration.training.stop_rules import StopRules
from rllib_integration.training.tensorboard import TensorBoard, TensorBoardError, launch_tensorboard
from rllib_integration.user_code import remove_stale_calls

if TYPE_CHECKING:
    from ray.rllib.algorithms.algorithm import Algorithm

NATIVE_LOG = "native.log"
RESTORE_ERRORS = (
    *(KeyError, ValueError, TypeError, RuntimeError, EOFError, OSError, pickle.UnpicklingError),
    *(ImportError, AttributeError),  # a class that made the checkpoint is gone
)


class TrainingError(IntegrationError, RuntimeError):
    """A run can't go on; the message is a sentence for the user."""


class CutShort(Exception):
    """Ends an iteration between two training steps, for a reason that can't wait for its end."""


class TrainingRun:
    """One start of a run: building it, going through its iterations, ending it.

    Args:
        document: The configuration, its `env_config` complete.
        options: The command line.
        storage: Where the run is kept.

    Raises:
        RLlibConfigError: The configuration has an unknown key, or a value that can't be used.
    """

    def __init__(self, document: Settings, options: TrainingOptions, storage: RunStorage) -> None:
        self.options = options
        self.storage = storage
        self.folder = storage.folder
        self.document, self.notes = self._read(document)
        self._add_evaluation()
        self.newest_checkpoint: Path | None = None
        self.steps_saved = 0

    def _read(self, document: Settings) -> tuple[Record, list[str]]:
        """The configuration in sections, checked, and lines about what was translated."""
        from rllib_integration.training.rllib_config import read_document

        return read_document(document)

    def _add_evaluation(self) -> None:
        """Complete the evaluation's settings: RLlib would replace the environment's configuration by them."""
        evaluation = dict(self.document.get("evaluation") or {})
        if self.options.evaluation_interval is not None:
            evaluation["evaluation_interval"] = self.options.evaluation_interval
        if not evaluation.get("evaluation_interval"):
            self.document.pop("evaluation", None)  # RLlib would start evaluation's env runners all the same
        else:
            settings = dict(evaluation.get("evaluation_config") or {})
            training_env = self.document.get("environment", {}).get("env_config") or {}
            settings["env_config"] = overlay(training_env, settings.get("env_config") or {})
            if self.options.record_episodes:
                recorded = {"carla": {"record_episodes": self.options.record_episodes}}
                settings["env_config"] = overlay(settings["env_config"], recorded)
            settings.setdefault("explore", False)
            evaluation["evaluation_config"] = settings
            self.document["evaluation"] = evaluation

    def go(self) -> int:
        """Train.

        Returns:
            The exit status.
        """
        options = self.options
        self.trackers = make_trackers(options.mlflow_uri, options.wandb)
        newest = get_checkpoint(options.name, self.storage.directory, options.restore, options.overwrite)
        checkpoint = whole_checkpoint(newest, options.checkpoint) if newest is not None else None
        if options.overwrite:
            self.storage.clear()
        self.folder.mkdir(parents=True, exist_ok=True)
        save_config(as_written(self.document), self.folder / "config.yaml")  # marks the folder as a run's at once
        remove_stale_calls(self.folder / LIVE_FOLDER)
        self.checkpoints = CheckpointKeeper(self.folder, options.keep_checkpoints)
        with contextlib.ExitStack() as stack:
            stack.enter_context(native_output_in(self.folder / NATIVE_LOG))
            interruption = stack.enter_context(Interruption())
            algorithm, lost = self._start(stack, interruption)
            try:
                interruption.take_signals()
                if checkpoint is not None:
                    self._restore(algorithm, checkpoint)
                return self._iterate(algorithm, interruption, lost)
            except KeyboardInterrupt:
                end_env_runners(algorithm)
                raise
            finally:
                interruption.patient = False
                self._end_state_log(algorithm)
                algorithm.stop()

    def _start(self, stack: contextlib.ExitStack, interruption: Interruption) -> tuple[Any, LostRunners | None]:
        """Bring up Ray, for as long as `stack` is open; returns the algorithm, and what tells of lost env runners."""
        trial = stack.enter_context(_beside(self._try_environment))
        machine = stack.enter_context(ray_session(self.options.auto))
        interruption.take_signals()
        self._fit(machine)
        trial.result()
        lost = LostRunners(machine.ray_logs, self.folder) if machine.ray_logs else None
        return self._build(), lost

    def _fit(self, machine: Machine) -> None:
        if not self.options.auto:  # else each of the cluster's machines may have servers of its own
            core = self.document["environment"]["env_config"]["carla"]
            machine = replace(machine, servers=count_servers(ServerSettings.from_core_config(core)))
        self.document, lowered = fit_resources(self.document, machine, strict=self.options.strict_resources)
        for note in [*self.notes, *lowered]:
            print(f"Configuration: {note}", flush=True)

    def _try_environment(self) -> None:
        """Begin one episode here when the real ones begin elsewhere, where errors would be Ray's to report.

        This goes on while Ray starts. It also makes the caches (compiled kernels, towns) that all environments
        of the machine share.
        """
        runners = (self.document.get("env_runners") or {}).get("num_env_runners") or 0
        if runners == 0:
            return
        env = make_env(self.document["environment"]["env_config"])
        try:
            env.reset()
        finally:
            env.close()

    def _build(self) -> Algorithm:
        from ray.tune.registry import register_env

        from rllib_integration.training.env_runner import step_together
        from rllib_integration.training.rllib_config import build_algorithm_config

        quiet_ray()
        runners = self.document.get("env_runners") or {}
        self._share_processors(
            max(runners.get("num_env_runners") or 0, 1) * (runners.get("num_envs_per_env_runner") or 1)
        )
        register_env("carla", partial(make_env, live_folder=str(self.folder / LIVE_FOLDER)))
        config = build_algorithm_config(self.document, "carla")
        step_together(config, self.document.get("env_runners"))
        if self.options.state_log:
            from rllib_integration.state_log.callbacks import StateLogCallbacks

            config.callbacks([*config.callbacks_class, partial(StateLogCallbacks, self.folder / STATE_LOG)])
        with log_folder_elsewhere():
            return config.build_algo()

    def _end_state_log(self, algorithm: Algorithm) -> None:
        if self.options.state_log:
            from rllib_integration.state_log.callbacks import flush_state_log

            flush_state_log(algorithm)

    def _share_processors(self, environments: int) -> None:
        """Leave the simulators their processors: torch's threads wait for each other at full speed."""
        import torch

        torch.set_num_threads(max(1, available_cpus() - environments))

    def _restore(self, algorithm: Algorithm, checkpoint: Path) -> None:
        try:
            algorithm.restore(str(checkpoint))
        except RESTORE_ERRORS as error:
            reason = " ".join((str(error).strip() or type(error).__name__).split())
            raise TrainingError(
                f"The checkpoint {checkpoint} does not fit this configuration: {reason[:300]}. "
                "Restore with the configuration that made it (config.yaml in the run's folder)."
            ) from error
        steps = steps_sampled(algorithm)
        print(
            f"Restored {checkpoint.name} of {self.options.name}: iteration {algorithm.iteration}, {steps:,} steps.",
            flush=True,
        )
        for later in set_later_ones_aside(checkpoint):
            print(f"A checkpoint after it is now {later}.", flush=True)
        self.newest_checkpoint, self.steps_saved = checkpoint, steps

    def _iterate(self, algorithm: Algorithm, interruption: Interruption, lost: LostRunners | None) -> int:
        from rllib_integration.training.run_log import RunLog

        figures = self._figures()
        log = RunLog(self.folder)
        seed = (self.document.get("debugging") or {}).get("seed")
        log.describe(as_written(self.document), {"seed": seed, "restored_iteration": algorithm.iteration})
        is_restored = self.newest_checkpoint is not None
        tracking = RunTracking(self.trackers, self.folder, as_written(self.document), is_restored)
        status = "FAILED"
        meter = Meter(algorithm)
        self._interruptible(algorithm, interruption, meter, lost)
        interruption.patient = True
        print(f"Run folder: {self.folder}", flush=True)
        board = None
        reason = self.options.stop.reason(meter.progress(None))  # a restored run may have come far enough
        try:
            while reason is None:
                try:
                    result = algorithm.train()
                except CutShort as end:
                    reason = str(end)
                    break
                except EndedInside as end:
                    print(end, flush=True)
                    reason = "Interrupted."
                    break
                tracking.log(log.add(result, evaluated=self._evaluated(algorithm)), steps_sampled(algorithm))
                progress = meter.progress(result)
                tell_losses(lost)
                print(progress_line(result, progress, self.options.stop.seconds_left(progress), figures), flush=True)
                if progress.steps_per_second == 0.0:
                    print(why_no_steps(algorithm), flush=True)
                self._save(algorithm, result)
                if board is None and self.options.tensorboard:
                    board = self._start_tensorboard()
                reason = self.options.stop.reason(progress)
                if interruption.requested.is_set():
                    reason = reason or "Interrupted."
            if meter.iterated_in_vain() and not interruption.requested.is_set():
                raise TrainingError(why_no_steps(algorithm))
            checkpoint = self._save(algorithm, None)
            self._push(is_last=True)
            print_evaluations(self.folder)
            self._tell_best(checkpoint)
            print(f"{reason} The last checkpoint is {checkpoint}", flush=True)
            status = "KILLED" if interruption.requested.is_set() else "FINISHED"
        finally:
            tell_losses(lost)
            log.close()
            tracking.finish(status, self._checkpoints_to_show())
            if board is not None:
                board.stop()
        return interruption.status if interruption.requested.is_set() else 0

    def _figures(self) -> tuple[Figure, ...]:
        """What the line of each iteration shows beside return and length."""
        from rllib_integration.training.algorithms import find_classes

        return find_classes(self.document).progress_figures

    def _interruptible(
        self, algorithm: Algorithm, interruption: Interruption, meter: Meter, lost: LostRunners | None
    ) -> None:
        """Make the algorithm look before each training step whether to stop, and after it whether samples come."""
        step, group = algorithm.training_step, getattr(algorithm, "env_runner_group", None)  # Stable-Baselines3: none
        has_runners = group is not None and group.num_remote_workers()
        watch = SamplingWatch(algorithm, self.folder, lost) if has_runners else None
        stop = self.options.stop
        bounds = StopRules(seconds=stop.seconds, timesteps=stop.timesteps, ram_percent=stop.ram_percent)

        def training_step() -> None:
            if interruption.requested.is_set():
                raise CutShort("Interrupted.")
            reason = bounds.reason(meter.progress(None))
            if reason is not None:
                raise CutShort(reason)
            if watch is not None:
                watch.watch(step)
            else:
                step()

        algorithm.training_step = training_step

    def _start_tensorboard(self) -> TensorBoard | None:
        """Started after the first iteration, so as not to compete with the start of the simulators."""
        try:
            board = launch_tensorboard(self.storage.directory)
        except TensorBoardError as error:
            print(f"TensorBoard: {error}", flush=True)
            return None
        print(f"TensorBoard: {board.url}", flush=True)
        return board

    def _save(self, algorithm: Algorithm, result: Settings | None) -> Path:
        """Save a checkpoint named after the iteration, and remove those that are neither new nor best.

        Args:
            algorithm: To be saved, unless it has sampled nothing since it was.
            result: Of the iteration that has just ended; None inside an iteration, whose number the checkpoint then
                has: the one before is a checkpoint of its own, and may be the best.
        """
        steps = steps_sampled(algorithm)
        if self.newest_checkpoint is None or self.steps_saved != steps:
            score = self._score(algorithm, result) if result is not None else None
            iteration = algorithm.iteration + (result is None)
            self.newest_checkpoint = self.checkpoints.save(iteration, partial(self._write, algorithm), score)
            self.steps_saved = steps
            self._push(is_last=result is None)
        return self.newest_checkpoint

    def _write(self, algorithm: Algorithm, folder: str) -> None:
        """Write a checkpoint's files."""
        from rllib_integration.training.plain_policy import save_with_policy

        save_with_policy(algorithm, folder)

    def _score(self, algorithm: Algorithm, result: Settings) -> float | None:
        """What tells the best checkpoint: the evaluation's mean return where there is one, else the training's."""
        if not self._evaluates():
            return mean_return(result)
        return mean_return(result.get("evaluation") or {}) if self._evaluated(algorithm) else None

    def _tell_best(self, last: Path) -> None:
        best = self.checkpoints.best
        if best is not None and (best != last.name or self._evaluates()):
            of = "evaluation" if self._evaluates() else "training"
            path = self.folder / best
            print(f"The best checkpoint is {path}: mean return {self.checkpoints.best_score:.2f} in {of}.", flush=True)

    def _checkpoints_to_show(self) -> list[Path]:
        """The best checkpoint and the newest, as far as there are any."""
        best = self.checkpoints.best
        found = [self.folder / best] if best is not None else []
        return list(dict.fromkeys([*found, *([self.newest_checkpoint] if self.newest_checkpoint else [])]))

    def _push(self, is_last: bool) -> None:
        """Copy the run to shared storage; a failure is told, and mended by the next copy, unless there is none."""
        try:
            self.storage.push()
        except StorageError as error:
            if is_last:
                raise
            print(f"Storage: {error}", flush=True)

    def _evaluates(self) -> bool:
        return bool((self.document.get("evaluation") or {}).get("evaluation_interval"))

    def _evaluated(self, algorithm: Algorithm) -> bool:
        """Whether the iteration that has just ended was followed by an evaluation."""
        return self._evaluates() and algorithm.iteration % self.document["evaluation"]["evaluation_interval"] == 0


@contextlib.contextmanager
def _beside(work: Callable[[], None]) -> Iterator[Future[None]]:
    """Do work in a thread. The end of the block awaits it, but not after Ctrl-C, as it may be in an endless loop."""
    pool, is_awaited = ThreadPoolExecutor(1), True
    try:
        yield pool.submit(work)
    except KeyboardInterrupt:
        is_awaited = False
        raise
    finally:
        pool.shutdown(wait=is_awaited)


def as_written(document: Settings) -> Record:
    """A document in sections as a user writes it: with `env_config` at its top level, where programs look for it."""
    environment = dict(document.get("environment") or {})
    env_config = environment.pop("env_config", None)
    others = {name: section for name, section in document.items() if name != "environment"}
    return others | ({"environment": environment} if environment else {}) | {"env_config": env_config}


def print_evaluations(folder: Path) -> None:
    """A table of the run's greedy evaluations, if it made any."""
    from rllib_integration.driving.evaluation import evaluation_table, read_episodes

    episodes = read_episodes(folder / "evaluation.jsonl")
    if episodes:
        print(evaluation_table(episodes), flush=True)
