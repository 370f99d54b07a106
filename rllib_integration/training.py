"""Training runs: from a configuration file to checkpoints, with a line for every iteration.

RLlib's `Algorithm` is driven directly, in this process: it can then be stopped between two rounds of
sampling, so that Ctrl-C saves a checkpoint at once, and no further process stands between the learner and
its GPU. The run's folder is described in `run_log`.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rllib_integration.config import ConfigError, load_config
from rllib_integration.helper import get_checkpoint, launch_tensorboard
from rllib_integration.machine import Machine, ResourceError, available_cpus, fit_resources, this_machine
from rllib_integration.process_guard import SCRATCH_VARIABLE
from rllib_integration.stop_rules import Progress, StopRules, format_duration, parse_duration

if TYPE_CHECKING:
    from ray.rllib.algorithms.algorithm import Algorithm

    from rllib_integration.carla_env import CarlaEnv

INTERRUPTED = 128 + signal.SIGINT
CHECKPOINTS_KEPT = 5
PARTIAL_CHECKPOINT = ".checkpoint.partial"
NATIVE_LOG = "native.log"


class TrainingError(RuntimeError):
    """A run can't go on; the message is a sentence for the user."""


class CutShort(Exception):
    """Ends an iteration between two training steps, for a reason that can't wait for its end."""


@dataclass(frozen=True)
class TrainingOptions:
    """What the command line says beside the configuration.

    Attributes:
        directory: Folder of runs.
        name: The run's folder in it.
        restore: Continue the run.
        overwrite: Delete the run's folder first.
        tensorboard: Start TensorBoard on `directory`.
        auto: Join the running Ray cluster.
        strict_resources: Refuse what the machine does not have, instead of lowering it.
        evaluation_interval: Evaluate after every so many iterations.
        keep_checkpoints: Number of newest checkpoints that are kept, beside the best one.
        stop: When to end.
        overrides: `a.b=value` over the configuration file.
    """

    directory: Path
    name: str
    restore: bool = False
    overwrite: bool = False
    tensorboard: bool = True
    auto: bool = False
    strict_resources: bool = False
    evaluation_interval: int | None = None
    keep_checkpoints: int = CHECKPOINTS_KEPT
    stop: StopRules = field(default_factory=StopRules)
    overrides: tuple[str, ...] = ()


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


def add_training_arguments(parser: argparse.ArgumentParser, default_name: str) -> None:
    """The flags of a training script."""
    parser.add_argument("configuration_file", help="YAML file")
    parser.add_argument(
        "-d", "--directory", type=Path, default=Path("~/ray_results/carla_rllib"), metavar="DIR", help="folder of runs"
    )
    parser.add_argument("-n", "--name", default=default_name, help="name of the run, a folder in DIR")
    parser.add_argument("--restore", action="store_true", help="continue the run from its newest checkpoint")
    parser.add_argument("--overwrite", action="store_true", help="delete an earlier run of this name")
    parser.add_argument("--tboff", action="store_true", help="do not start TensorBoard")
    parser.add_argument("--auto", action="store_true", help="join the running Ray cluster")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
        help="override a setting, such as env_config.carla.timeout=60; may be given several times",
    )  # fmt: skip
    parser.add_argument("--stop-iterations", type=_positive_int, metavar="N", help="end after N iterations")
    parser.add_argument("--stop-timesteps", type=_positive_int, metavar="N", help="end after N environment steps")
    parser.add_argument("--stop-duration", type=parse_duration, metavar="TIME", help="end after 90s, 10m, 1h30m, ...")
    parser.add_argument("--stop-reward", type=float, metavar="R", help="end when the mean return reaches R")
    parser.add_argument(
        "--strict-resources", action="store_true", help="refuse to run with fewer CPUs or GPUs than configured"
    )
    parser.add_argument(
        "--evaluation-interval", type=_positive_int, metavar="N", help="drive greedily after every N iterations"
    )
    parser.add_argument(
        "--keep-checkpoints", type=_positive_int, default=CHECKPOINTS_KEPT, metavar="N",
        help=f"keep the N newest checkpoints and the best one (default {CHECKPOINTS_KEPT})",
    )  # fmt: skip


def options_from_arguments(arguments: argparse.Namespace) -> TrainingOptions:
    """The options that parsed flags say."""
    stop = StopRules(
        iterations=arguments.stop_iterations,
        timesteps=arguments.stop_timesteps,
        seconds=arguments.stop_duration,
        reward=arguments.stop_reward,
    )
    return TrainingOptions(
        directory=arguments.directory.expanduser().resolve(),
        name=arguments.name,
        restore=arguments.restore,
        overwrite=arguments.overwrite,
        tensorboard=not arguments.tboff,
        auto=arguments.auto,
        strict_resources=arguments.strict_resources,
        evaluation_interval=arguments.evaluation_interval,
        keep_checkpoints=arguments.keep_checkpoints,
        stop=stop,
        overrides=tuple(arguments.overrides),
    )


def _positive_int(text: str) -> int:
    try:
        number = int(text.replace("_", ""))
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0.")
    return number


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
        The exit status: 0, 130 after an interruption, 1 after an error, of which a sentence was printed.
    """
    prepare_process(options.auto)
    try:
        document = load_config(configuration_file, options.overrides)
        if not options.overwrite:
            get_checkpoint(options.name, options.directory, options.restore)
        run = TrainingRun(document, options, example() if example is not None else ExampleClasses())
        return run.go()
    except KeyboardInterrupt:
        print("Interrupted; nothing was saved since the last checkpoint.", flush=True)
        return INTERRUPTED
    except Exception as error:
        return report_failure(error, options.directory / options.name)


def prepare_process(auto: bool = False) -> None:
    """Environment variables and warning filters that have to be set before Ray is first imported.

    An own Ray asks for a token that only this process and its children know. A cluster's is in the user's
    token file, if the cluster asks for one.

    Args:
        auto: Whether a running cluster will be joined.
    """
    if auto:
        has_token = Path("~/.ray/auth_token").expanduser().exists()
        os.environ.setdefault("RAY_AUTH_MODE", "token" if has_token else "disabled")
    else:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    os.environ.setdefault("GYMNASIUM_DISABLE_WARNINGS", "1")
    warnings.filterwarnings("ignore")


def quiet_ray() -> None:
    """Keep Ray from explaining its own defaults at length; importing it sets its loggers up anew."""
    for name in ("ray", "ray.rllib", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)


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


def make_env(context: Mapping[str, Any]) -> CarlaEnv:
    """RLlib's environment creator: a CarlaEnv that stays in one town where several are listed.

    The towns are dealt out to the environments in turn, because changing the town takes longer than an episode.

    Args:
        context: RLlib's `EnvContext`, or a plain dictionary, with `carla` and `experiment`.
    """
    from rllib_integration.carla_env import CarlaEnv

    config = {"carla": dict(context.get("carla") or {}), "experiment": dict(context.get("experiment") or {})}
    town = config["experiment"].get("town")
    if isinstance(town, (list, tuple)) and town:
        config["experiment"]["town"] = town[_number_of_environment(context) % len(town)]
    return CarlaEnv(config)


_environments_made = 0


def _number_of_environment(context: Mapping[str, Any]) -> int:
    """A number that differs between the environments of a run: RLlib itself numbers only the env runners."""
    global _environments_made
    _environments_made += 1
    # Counting down interleaves the runners' sequences without knowing how many environments each one has.
    return max(getattr(context, "worker_index", 0) - 1, 0) + (_environments_made - 1)


class Interruption:
    """SIGINT, and SIGTERM, as a flag: the first asks for an orderly end, the second one forces it."""

    def __init__(self) -> None:
        self.requested = threading.Event()
        self.patient = False  # whether there is anything that an orderly end could save

    def __enter__(self) -> Interruption:
        self._previous = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested.is_set() or not self.patient:
            raise KeyboardInterrupt
        self.requested.set()
        print("\nStopping: saving a checkpoint (once more Ctrl-C ends at once).", flush=True)


class TrainingRun:
    """One start of a run: building it, going through its iterations, ending it."""

    def __init__(self, document: Mapping[str, Any], options: TrainingOptions, example: ExampleClasses) -> None:
        from rllib_integration.rllib_config import named_algorithm, read_document

        self.options = options
        self.folder = options.directory / options.name
        self.callbacks = example.callbacks
        self.parts = example.parts.get(named_algorithm(document), AlgorithmParts())
        self.document, self.notes = read_document(document, self.parts.algorithm_class, self._extra_model_keys())
        self._add_evaluation()
        self.newest_checkpoint: Path | None = None
        self.steps_saved = 0
        self.best_return: float | None = None
        self.best_checkpoint: Path | None = None

    def _extra_model_keys(self) -> tuple[str, ...]:
        return tuple(getattr(self.parts.module_class, "EXTRA_MODEL_KEYS", ()))

    def _add_evaluation(self) -> None:
        """Complete the evaluation's settings: RLlib would replace the environment's configuration by them."""
        from rllib_integration.config import overlay

        evaluation = dict(self.document.get("evaluation") or {})
        if self.options.evaluation_interval is not None:
            evaluation["evaluation_interval"] = self.options.evaluation_interval
        if evaluation.get("evaluation_interval"):
            settings = dict(evaluation.get("evaluation_config") or {})
            training_env = self.document.get("environment", {}).get("env_config") or {}
            settings["env_config"] = overlay(training_env, settings.get("env_config") or {})
            settings.setdefault("explore", False)
            evaluation["evaluation_config"] = settings
        if evaluation:
            self.document["evaluation"] = evaluation

    def go(self) -> int:
        """Train; returns the exit status."""
        self._check_environment()
        options = self.options
        checkpoint = get_checkpoint(options.name, options.directory, options.restore, options.overwrite)
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            stack.enter_context(native_output_in(self.folder / NATIVE_LOG))
            interruption = stack.enter_context(Interruption())
            trial = stack.enter_context(ThreadPoolExecutor(1)).submit(self._try_environment)
            machine = stack.enter_context(ray_session(options.auto))
            self._fit(machine)
            trial.result()
            algorithm = self._build()
            try:
                if checkpoint is not None:
                    self._restore(algorithm, checkpoint)
                return self._iterate(algorithm, interruption)
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

        from rllib_integration.rl_modules import PICTURE_MODULES
        from rllib_integration.rllib_config import build_algorithm_config, named_algorithm

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
        return config.build_algo()

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

    def _iterate(self, algorithm: Algorithm, interruption: Interruption) -> int:
        from rllib_integration.run_log import RunLog

        log = RunLog(self.folder)
        seed = (self.document.get("debugging") or {}).get("seed")
        log.describe(self.document, {"seed": seed, "restored_iteration": algorithm.iteration})
        meter = _Meter(algorithm)
        self._interruptible(algorithm, interruption, meter)
        interruption.patient = True
        print(f"Run folder: {self.folder}", flush=True)
        board = None
        reason = None
        try:
            while reason is None:
                try:
                    result = algorithm.train()
                except CutShort as end:
                    reason = str(end)
                    break
                log.add(result)
                progress = meter.progress(result)
                print(progress_line(result, progress, self.options.stop.seconds_left(progress)), flush=True)
                self._save(algorithm, result)
                if board is None and self.options.tensorboard:
                    board = self._start_tensorboard()
                reason = self.options.stop.reason(progress)
                if interruption.requested.is_set():
                    reason = reason or "Interrupted."
            checkpoint = self._save(algorithm, None)
            print_evaluations(self.folder)
            print(f"{reason} The last checkpoint is {checkpoint}", flush=True)
        finally:
            log.close()
            if board is not None:
                board.stop()
        return INTERRUPTED if interruption.requested.is_set() else 0

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
            board = launch_tensorboard(self.options.directory)
        except RuntimeError as error:
            print(f"TensorBoard: {error}", flush=True)
            return None
        print(f"TensorBoard: {board.url}", flush=True)
        return board

    def _save(self, algorithm: Algorithm, result: Mapping[str, Any] | None) -> Path:
        """Save a checkpoint named after the iteration, and remove those that are neither new nor best."""
        steps = _steps_sampled(algorithm)
        if self.newest_checkpoint is None or self.steps_saved != steps:
            self.newest_checkpoint, self.steps_saved = save_checkpoint(algorithm, self.folder), steps
        checkpoint = self.newest_checkpoint
        if result is not None:
            score = _mean_return(result.get("evaluation", {})) if "evaluation" in result else None
            score = _mean_return(result) if score is None and not self._evaluates() else score
            if score is not None and (self.best_return is None or score >= self.best_return):
                self.best_return, self.best_checkpoint = score, checkpoint
                (self.folder / "best_checkpoint.txt").write_text(f"{checkpoint.name} {score:.3f}\n", encoding="utf-8")
        newest = sorted(self.folder.glob("checkpoint_*"))
        for old in newest[: -self.options.keep_checkpoints]:
            if old != self.best_checkpoint:
                shutil.rmtree(old)
        return checkpoint

    def _evaluates(self) -> bool:
        return bool((self.document.get("evaluation") or {}).get("evaluation_interval"))


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


def save_checkpoint(algorithm: Algorithm, folder: Path) -> Path:
    """Save `checkpoint_<iteration>`; it appears whole or not at all, and replaces one of the same iteration."""
    target = folder / f"checkpoint_{algorithm.iteration:06d}"
    partial = folder / PARTIAL_CHECKPOINT
    shutil.rmtree(partial, ignore_errors=True)
    algorithm.save(str(partial))
    if target.exists():
        replaced = folder / f"{PARTIAL_CHECKPOINT}.replaced"
        shutil.rmtree(replaced, ignore_errors=True)
        target.rename(replaced)
        partial.rename(target)
        shutil.rmtree(replaced)
    else:
        partial.rename(target)
    return target


def print_evaluations(folder: Path) -> None:
    """A table of the run's greedy evaluations, if it made any."""
    from rllib_integration.evaluation import evaluation_table, read_episodes

    episodes = read_episodes(folder / "evaluation.jsonl")
    if episodes:
        print(evaluation_table(episodes), flush=True)


@contextlib.contextmanager
def ray_session(auto: bool) -> Iterator[Machine]:
    """Ray for the time of a run: the cluster that is running, or one of this machine alone.

    The own one listens on the loopback interface, asks for a token that only its processes know, and keeps
    its files in a folder that is removed.
    """
    if auto:
        import ray

        try:
            ray.init(address="auto", logging_level=logging.ERROR, log_to_driver=False)
        except ConnectionError as error:
            raise TrainingError(
                "--auto joins a running Ray cluster, but none was found; start one with "
                "`ray up dqn_example/dqn_autoscaler.yaml` or `ray start --head`, or leave --auto out."
            ) from error
        try:
            resources = ray.cluster_resources()
            yield Machine(int(resources.get("CPU", 0)), int(resources.get("GPU", 0)), "the cluster")
        finally:
            ray.shutdown()
        return
    import ray

    machine = this_machine()
    with scratch_folder() as files:
        ray.init(
            address="local",
            num_cpus=machine.cpus,
            num_gpus=machine.gpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _node_ip_address="127.0.0.1",
            _temp_dir=files,
        )
        try:
            yield machine
        finally:
            ray.shutdown()


@contextlib.contextmanager
def native_output_in(log: Path) -> Iterator[None]:
    """Let what native libraries write to stderr go to a file; Python's own errors stay where they are seen."""
    stderr = sys.stderr
    seen = os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
    with os.fdopen(os.dup(seen), "w", buffering=1) as python_errors:
        sys.stderr = python_errors
        try:
            yield
        finally:
            sys.stderr = stderr
            os.dup2(seen, 2)
            os.close(seen)


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """The folder that the process guard removes, or one that is removed here where there is no guard."""
    guarded = os.environ.get(SCRATCH_VARIABLE)
    if guarded:
        yield guarded
        return
    with tempfile.TemporaryDirectory(prefix="carla-ray-", ignore_cleanup_errors=True) as folder:
        yield folder


def _steps_sampled(algorithm: Algorithm) -> int:
    key = ("env_runners", "num_env_steps_sampled_lifetime")
    return int(algorithm.metrics.peek(key, default=0))


def _mean_return(result: Mapping[str, Any]) -> float | None:
    value = (result.get("env_runners") or {}).get("episode_return_mean")
    return None if value is None or value != value else float(value)
