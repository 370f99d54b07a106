"""Training runs: from a configuration file to checkpoints, with a line for every iteration.

RLlib's `Algorithm` is driven directly, in this process: it can then be stopped between two rounds of
sampling, so that Ctrl-C saves a checkpoint at once, and no further process stands between the learner and
its GPU. The run's folder is described in `run_log`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rllib_integration.arguments import INTERRUPTED
from rllib_integration.config import ConfigError, save_config
from rllib_integration.env_config import load_config
from rllib_integration.helper import get_checkpoint, launch_tensorboard
from rllib_integration.lost_runners import LostRunners
from rllib_integration.processors import available_cpus
from rllib_integration.training.checkpoints import CheckpointKeeper
from rllib_integration.training.env_creator import make_env
from rllib_integration.training.machine import Machine, ResourceError, fit_resources
from rllib_integration.training.options import TrainingOptions
from rllib_integration.training.ray_session import native_output_in, prepare_process, quiet_ray, ray_session
from rllib_integration.training.run_storage import RunStorage, StorageError
from rllib_integration.training.stop_rules import Progress, StopRules, format_duration

if TYPE_CHECKING:
    from ray.rllib.algorithms.algorithm import Algorithm

TERMINATED = 128 + signal.SIGTERM
NATIVE_LOG = "native.log"


class TrainingError(RuntimeError):
    """A run can't go on; the message is a sentence for the user."""


class CutShort(Exception):
    """Ends an iteration between two training steps, for a reason that can't wait for its end."""


@dataclass(frozen=True)
class AlgorithmParts:
    """An example's own classes for one of RLlib's algorithms; None stands for RLlib's."""

    algorithm_class: type | None = None
    module_class: type | None = None


@dataclass(frozen=True)
class ExampleClasses:
    """What an example brings along.

    Attributes:
        parts: Algorithm name -> the example's own classes for it.
        callbacks: A subclass of RLlib's `RLlibCallback`.
    """

    parts: Mapping[str, AlgorithmParts] = field(default_factory=dict)
    callbacks: type | None = None


def run_training(
    configuration_file: str | Path, options: TrainingOptions, example: Callable[[], ExampleClasses] | None = None
) -> int:
    """Train as a configuration file says, until a stop rule or an interruption.

    Args:
        configuration_file: YAML with the settings of the algorithm and, under `env_config`, the environment.
        options: The command line.
        example: Imports the example's own classes; called once the configuration is known to be readable,
            because importing RLlib takes seconds.

    Returns:
        The exit status: 0, 130 after Ctrl-C, 143 after SIGTERM, 1 after an error, of which a sentence was printed.
    """
    prepare_process(options.auto)
    folder = Path()
    try:
        document = load_config(configuration_file, options.overrides)
        storage = RunStorage(options.directory, options.name)
        folder = storage.folder
        storage.fetch()
        if not options.overwrite:
            get_checkpoint(options.name, storage.directory, options.restore)
        run = TrainingRun(document, options, storage, example() if example is not None else ExampleClasses())
        return run.go()
    except KeyboardInterrupt as interrupt:
        print("Interrupted; nothing was saved since the last checkpoint.", flush=True)
        return TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED
    except Exception as error:
        return report_failure(error, folder)


def report_failure(error: BaseException, folder: Path) -> int:
    """Print a sentence on stderr; the traceback of what nobody foresaw goes into a file.

    Args:
        error: What was raised.
        folder: The run's folder; `error.log` is written there if it exists.

    Returns:
        The exit status, 1.
    """
    cause = error
    while type(cause).__name__ == "RayTaskError" or hasattr(cause, "as_instanceof_cause"):
        inner = getattr(cause, "cause", None)
        if inner is None or inner is cause:
            break
        cause = inner
    expected = isinstance(cause, (ConfigError, TrainingError, ResourceError, OSError))
    expected = expected or type(cause).__module__.startswith(("rllib_integration.", "dqn_example."))
    if type(cause) is RuntimeError and str(cause).endswith((".", "?")):
        expected = True
    message = str(cause).strip() or type(cause).__name__
    if not expected:
        log = folder / "error.log" if folder.is_dir() else Path(tempfile.gettempdir()) / "carla_rllib_error.log"
        log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        message = f"{type(cause).__name__}: {message.splitlines()[-1]} (the traceback is in {log})"
    print(f"Error: {message}", file=sys.stderr, flush=True)
    return 1


class Terminated(KeyboardInterrupt):
    """SIGTERM, where it does as Ctrl-C does."""


class Interruption:
    """SIGINT, and SIGTERM, as a flag: the first asks for an orderly end, the second one forces it.

    Attributes:
        requested: Set by the first one.
        status: Exit status of a program that the first one ended.
        patient: Whether there is anything that an orderly end could save.
    """

    def __init__(self) -> None:
        self.requested = threading.Event()
        self.status = INTERRUPTED
        self.patient = False

    def __enter__(self) -> Interruption:
        self._arrivals, tell = os.pipe()
        for descriptor in (self._arrivals, tell):
            os.set_blocking(descriptor, False)
        self._tell, self._told_before = tell, signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        self._previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self.take_signals()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._told_before)
        try:
            if isinstance(error, (Exception, SystemExit)) and not self.requested.is_set():
                self._raise_unheard(error)
        finally:
            os.close(self._arrivals)
            os.close(self._tell)

    def take_signals(self) -> None:
        """Receive the signals; again, after a library took one for itself, as Ray takes SIGTERM when it starts.

        Raises:
            KeyboardInterrupt: One has come already, and what it raised was swallowed.
        """
        for number in self._previous:
            signal.signal(number, self._receive)
        self._raise_unheard(None)

    def _raise_unheard(self, instead_of: BaseException | None) -> None:
        """Raise what a signal should have, of which Ray's handler or an import has made something else, or nothing."""
        with contextlib.suppress(BlockingIOError):
            arrived = os.read(self._arrivals, 4096)
            if signal.SIGTERM in arrived:
                raise Terminated from instead_of
            if signal.SIGINT in arrived:
                raise KeyboardInterrupt from instead_of

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested.is_set() or not self.patient:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        self.status = 128 + number
        self.requested.set()
        print("\nStopping: saving a checkpoint (once more Ctrl-C ends at once).", flush=True)


class TrainingRun:
    """One start of a run: building it, going through its iterations, ending it."""

    def __init__(
        self, document: Mapping[str, Any], options: TrainingOptions, storage: RunStorage, example: ExampleClasses
    ) -> None:
        from rllib_integration.training.rllib_config import named_algorithm, read_document

        self.options = options
        self.storage = storage
        self.folder = storage.folder
        self.callbacks = example.callbacks
        self.parts = example.parts.get(named_algorithm(document), AlgorithmParts())
        self.document, self.notes = read_document(document, self.parts.algorithm_class, self._extra_model_keys())
        self._add_evaluation()
        self.newest_checkpoint: Path | None = None
        self.steps_saved = 0

    def _extra_model_keys(self) -> tuple[str, ...]:
        return tuple(getattr(self.parts.module_class, "EXTRA_MODEL_KEYS", ()))

    def _add_evaluation(self) -> None:
        """Complete the evaluation's settings: RLlib would replace the environment's configuration by them."""
        from rllib_integration.config import overlay

        evaluation = dict(self.document.get("evaluation") or {})
        if self.options.evaluation_interval is not None:
            evaluation["evaluation_interval"] = self.options.evaluation_interval
        if not evaluation.get("evaluation_interval"):
            self.document.pop("evaluation", None)  # RLlib would start evaluation's env runners all the same
        else:
            settings = dict(evaluation.get("evaluation_config") or {})
            training_env = self.document.get("environment", {}).get("env_config") or {}
            settings["env_config"] = overlay(training_env, settings.get("env_config") or {})
            settings.setdefault("explore", False)
            evaluation["evaluation_config"] = settings
            self.document["evaluation"] = evaluation

    def go(self) -> int:
        """Train; returns the exit status."""
        self._check_environment()
        options = self.options
        checkpoint = get_checkpoint(options.name, self.storage.directory, options.restore, options.overwrite)
        if options.overwrite:
            self.storage.clear()
        self.folder.mkdir(parents=True, exist_ok=True)
        save_config(self.document, self.folder / "config.yaml")  # marks the folder as a run's from the start
        self.checkpoints = CheckpointKeeper(self.folder, options.keep_checkpoints)
        with contextlib.ExitStack() as stack:
            stack.enter_context(native_output_in(self.folder / NATIVE_LOG))
            interruption = stack.enter_context(Interruption())
            trial = stack.enter_context(ThreadPoolExecutor(1)).submit(self._try_environment)
            machine = stack.enter_context(ray_session(options.auto))
            interruption.take_signals()
            self._fit(machine)
            trial.result()
            algorithm = self._build()
            try:
                interruption.take_signals()
                if checkpoint is not None:
                    self._restore(algorithm, checkpoint)
                lost = LostRunners(machine.ray_logs, self.folder) if machine.ray_logs else None
                return self._iterate(algorithm, interruption, lost)
            finally:
                interruption.patient = False
                algorithm.stop()

    def _check_environment(self) -> None:
        """Find mistakes in the environment's configuration before anything heavy starts."""
        make_env(self.document["environment"]["env_config"]).close()

    def _fit(self, machine: Machine) -> None:
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
        from rllib_integration.training.rl_modules import PICTURE_MODULES
        from rllib_integration.training.rllib_config import build_algorithm_config, named_algorithm

        quiet_ray()
        self._share_processors()
        register_env("carla", make_env)
        config = build_algorithm_config(
            self.document,
            "carla",
            self.parts.module_class or PICTURE_MODULES[named_algorithm(self.document)],
            self.callbacks,
            algorithm_class=self.parts.algorithm_class,
            extra_model_keys=self._extra_model_keys(),
        )
        step_together(config, self.document.get("env_runners"))
        algorithm = config.build_algo()
        os.rmdir(algorithm.logdir)  # Ray makes it beside the runs' folders, and nothing is written there
        return algorithm

    def _share_processors(self) -> None:
        """Leave the simulators their processors: torch's threads wait for each other at full speed."""
        import torch

        runners = self.document.get("env_runners") or {}
        environments = max(runners.get("num_env_runners") or 0, 1) * (runners.get("num_envs_per_env_runner") or 1)
        torch.set_num_threads(max(1, available_cpus() - environments))

    def _restore(self, algorithm: Algorithm, checkpoint: str) -> None:
        try:
            algorithm.restore(checkpoint)
        except (KeyError, ValueError, RuntimeError, EOFError, FileNotFoundError) as error:
            reason = " ".join((str(error).strip() or type(error).__name__).split())
            raise TrainingError(
                f"The checkpoint {checkpoint} does not fit this configuration: {reason[:300]}. "
                "Restore with the configuration that made it (config.yaml in the run's folder)."
            ) from error
        print(
            f"Restored {Path(checkpoint).name} of {self.options.name}: iteration {algorithm.iteration}, "
            f"{_steps_sampled(algorithm):,} steps.",
            flush=True,
        )
        self.newest_checkpoint, self.steps_saved = Path(checkpoint), _steps_sampled(algorithm)

    def _iterate(self, algorithm: Algorithm, interruption: Interruption, lost: LostRunners | None) -> int:
        from rllib_integration.training.run_log import RunLog

        log = RunLog(self.folder)
        seed = (self.document.get("debugging") or {}).get("seed")
        log.describe(self.document, {"seed": seed, "restored_iteration": algorithm.iteration})
        meter = _Meter(algorithm)
        self._interruptible(algorithm, interruption, meter)
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
                log.add(result, evaluated=self._evaluated(algorithm))
                progress = meter.progress(result)
                tell_losses(lost)
                print(progress_line(result, progress, self.options.stop.seconds_left(progress)), flush=True)
                self._save(algorithm, result)
                if board is None and self.options.tensorboard:
                    board = self._start_tensorboard()
                reason = self.options.stop.reason(progress)
                if interruption.requested.is_set():
                    reason = reason or "Interrupted."
            checkpoint = self._save(algorithm, None)
            self._push(is_last=True)
            print_evaluations(self.folder)
            self._tell_best(checkpoint)
            print(f"{reason} The last checkpoint is {checkpoint}", flush=True)
        finally:
            tell_losses(lost)
            log.close()
            if board is not None:
                board.stop()
        return interruption.status if interruption.requested.is_set() else 0

    def _interruptible(self, algorithm: Algorithm, interruption: Interruption, meter: _Meter) -> None:
        """Make the algorithm look, before each training step, whether it is to stop."""
        step = algorithm.training_step
        stop = self.options.stop
        bounds = StopRules(seconds=stop.seconds, timesteps=stop.timesteps, ram_percent=stop.ram_percent)

        def training_step() -> Any:
            if interruption.requested.is_set():
                raise CutShort("Interrupted.")
            reason = bounds.reason(meter.progress(None))
            if reason is not None:
                raise CutShort(reason)
            return step()

        algorithm.training_step = training_step

    def _start_tensorboard(self) -> Any:
        """Started after the first iteration, so as not to compete with the start of the simulators."""
        try:
            board = launch_tensorboard(self.storage.directory)
        except RuntimeError as error:
            print(f"TensorBoard: {error}", flush=True)
            return None
        print(f"TensorBoard: {board.url}", flush=True)
        return board

    def _save(self, algorithm: Algorithm, result: Mapping[str, Any] | None) -> Path:
        """Save a checkpoint named after the iteration, and remove those that are neither new nor best.

        Args:
            algorithm: To be saved, unless it has sampled nothing since it was.
            result: Of the iteration that has just ended; None inside an iteration, whose number the checkpoint then
                has: the one before is a checkpoint of its own, and may be the best.
        """
        steps = _steps_sampled(algorithm)
        if self.newest_checkpoint is None or self.steps_saved != steps:
            score = self._score(algorithm, result) if result is not None else None
            iteration = algorithm.iteration + (result is None)
            self.newest_checkpoint = self.checkpoints.save(iteration, algorithm.save, score)
            self.steps_saved = steps
            self._push(is_last=result is None)
        return self.newest_checkpoint

    def _score(self, algorithm: Algorithm, result: Mapping[str, Any]) -> float | None:
        """What tells the best checkpoint: the evaluation's mean return where there is one, else the training's."""
        if not self._evaluates():
            return _mean_return(result)
        return _mean_return(result.get("evaluation") or {}) if self._evaluated(algorithm) else None

    def _tell_best(self, last: Path) -> None:
        best = self.checkpoints.best
        if best is not None and (best != last.name or self._evaluates()):
            of = "evaluation" if self._evaluates() else "training"
            path = self.folder / best
            print(f"The best checkpoint is {path}: mean return {self.checkpoints.best_score:.2f} in {of}.", flush=True)

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


class _Meter:
    """Counts what this start has done."""

    def __init__(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self.first_iteration = algorithm.iteration
        self.first_steps = _steps_sampled(algorithm)
        self.started = time.monotonic()
        self.last_time, self.last_steps = self.started, self.first_steps
        self.rate = 0.0

    def progress(self, result: Mapping[str, Any] | None) -> Progress:
        """Where the run stands; with a result, the pace since the result before is measured."""
        import psutil

        now, steps = time.monotonic(), _steps_sampled(self.algorithm)
        if result is not None:
            self.rate = (steps - self.last_steps) / max(now - self.last_time, 1e-9)
            self.last_time, self.last_steps = now, steps
        return Progress(
            iteration=self.algorithm.iteration,
            timesteps=steps,
            seconds=now - self.started,
            iterations_now=self.algorithm.iteration - self.first_iteration,
            timesteps_now=steps - self.first_steps,
            steps_per_second=self.rate,
            mean_return=_mean_return(result) if result is not None else None,
            ram_percent=psutil.virtual_memory().percent,
        )


def progress_line(result: Mapping[str, Any], progress: Progress, seconds_left: float | None) -> str:
    """One iteration in a line that a person reads; "-" stands for what no ended episode has told yet."""
    runners = result.get("env_runners") or {}

    def show(name: str, pattern: str, scale: float = 1.0) -> str:
        value = runners.get(name)
        return "-" if value is None or value != value else pattern.format(float(value) * scale)

    parts = [
        f"iteration {progress.iteration:>4}",
        f"{progress.timesteps:>8,} steps",
        f"{progress.steps_per_second:5.0f} steps/s",
        f"return {show('episode_return_mean', '{:8.2f}'):>8}",
        f"length {show('episode_len_mean', '{:6.1f}'):>6}",
        f"heading {show('heading_deviation', '{:4.1f}', 57.29578):>4} deg",
        f"distance {show('distance', '{:6.1f}'):>6} m",
    ]
    if seconds_left is not None:
        parts.append(f"{format_duration(seconds_left)} left")
    return " | ".join(parts)


def tell_losses(lost: LostRunners | None) -> None:
    """Say which env runners have ended, and why."""
    for runner in lost.new() if lost is not None else ():
        print(runner, flush=True)


def print_evaluations(folder: Path) -> None:
    """A table of the run's greedy evaluations, if it made any."""
    from rllib_integration.driving.evaluation import evaluation_table, read_episodes

    episodes = read_episodes(folder / "evaluation.jsonl")
    if episodes:
        print(evaluation_table(episodes), flush=True)


def _steps_sampled(algorithm: Algorithm) -> int:
    key = ("env_runners", "num_env_steps_sampled_lifetime")
    return int(algorithm.metrics.peek(key, default=0))


def _mean_return(result: Mapping[str, Any]) -> float | None:
    value = (result.get("env_runners") or {}).get("episode_return_mean")
    return None if value is None or value != value else float(value)
