"""Hyper-parameter search: trials of Ray Tune over configurations, with Optuna, ASHA or PBT."""

from __future__ import annotations

import csv
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError, save_config
from rllib_integration.training.machine import Machine
from rllib_integration.tuning.space import Space, to_tune, with_values
from rllib_integration.tuning.trial import NO_SCORE, SCORE, Trial

TABLE_FILE, PICTURE_FILE, BEST_FILE = "trials.csv", "search.png", "best.yaml"
_LABEL_WIDTH = 16  # characters in a line below a panel


@dataclass(frozen=True)
class SearchOptions:
    """Options of a search.

    Attributes:
        folder: The search's folder, with Ray Tune's state.
        trials: Number of trials, each with its own values.
        parallel: Trials at the same time; None = as many as the processors allow.
        steps: Environment steps of a trial.
        scheduler: "asha" ends bad trials early; "pbt" continues them from better ones with changed values; "none".
        grace: Iterations before ASHA may end a trial, and between two changes by PBT.
        seed: Seed of the search's draws.
        restore: Continue an interrupted search.
    """

    folder: Path
    trials: int = 8
    parallel: int | None = None
    steps: int = 20_000
    scheduler: str = "asha"
    grace: int = 3
    seed: int = 0
    restore: bool = False


def run_search(document: Settings, space: Space, options: SearchOptions, machine: Machine) -> list[tune.Result]:
    """Run all trials, or the remaining ones of an interrupted search.

    Args:
        document: The configuration.
        space: The settings to vary.
        options: Options of the search.
        machine: The machine's resources.

    Returns:
        Ray Tune's result of each trial.

    Raises:
        ConfigError: The machine is too small for one trial, or there is no search to continue.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    needed = _processors(document)
    if needed > machine.cpus:
        raise ConfigError(
            f"A trial takes {needed:g} processors (env_runners and one that learns), but {machine.name} has "
            f"{machine.cpus}; lower env_runners.num_env_runners, for example with --set."
        )
    parallel = min(options.parallel or options.trials, options.trials, int(machine.cpus // needed))
    document = share_gpus(document, machine, parallel)
    trainable = tune.with_resources(
        tune.with_parameters(Trial, document=document, max_steps=options.steps), _resources(document)
    )
    if options.restore:
        path = str(options.folder)
        if not tune.Tuner.can_restore(path):
            raise ConfigError(f"There is no search in {path} to continue; omit --restore to begin one.")
        tuner = tune.Tuner.restore(path, trainable, resume_unfinished=True, restart_errored=True)
    else:
        tuner = tune.Tuner(
            trainable,
            param_space=to_tune(space),
            tune_config=tune.TuneConfig(
                metric=SCORE,
                mode="max",
                num_samples=options.trials,
                max_concurrent_trials=parallel,
                search_alg=None if options.scheduler == "pbt" else OptunaSearch(seed=options.seed),
                scheduler=_scheduler(space, options),
            ),
            run_config=tune.RunConfig(
                name=options.folder.name,
                storage_path=str(options.folder.parent),
                verbose=0,
                callbacks=[_TrialLines(options.trials)],
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, num_to_keep=2),
            ),
        )
    return list(tuner.fit())


def _processors(document: Settings) -> float:
    """Those of a trial: one that learns, and those of the env runners."""
    runners = document.get("env_runners") or {}
    return 1.0 + int(runners.get("num_env_runners") or 0) * float(runners.get("num_cpus_per_env_runner") or 1)


def share_gpus(document: Settings, machine: Machine, parallel: int) -> Record:
    """A copy of a configuration whose trials share the GPUs.

    Args:
        document: The configuration. Where `learners.num_gpus_per_learner` is a number, each trial gets as much.
        machine: The machine's resources.
        parallel: Trials at the same time. `auto` gives each as large a part of a GPU as all of them can have.

    Raises:
        ConfigError: A trial asks for more GPUs than there are.
    """
    learners = document.get("learners") or {}
    asked = learners.get("num_gpus_per_learner") or 0
    if asked == "auto":
        asked = 1.0 / math.ceil(parallel / machine.gpus) if machine.gpus else 0
    if asked > machine.gpus:
        raise ConfigError(
            f"A trial asks for {asked:g} GPUs (learners.num_gpus_per_learner), but {machine.name} has {machine.gpus}; "
            "set it to auto."
        )
    return {**document, "learners": {**learners, "num_gpus_per_learner": asked}} if learners else dict(document)


def _resources(document: Settings) -> tune.PlacementGroupFactory:
    """A processor for what learns, with its GPU, and those of the env runners."""
    runners = document.get("env_runners") or {}
    each = {"CPU": float(runners.get("num_cpus_per_env_runner") or 1)}
    learner = {"CPU": 1.0, "GPU": float((document.get("learners") or {}).get("num_gpus_per_learner") or 0)}
    return tune.PlacementGroupFactory([learner, *[each] * int(runners.get("num_env_runners") or 0)])


def _scheduler(space: Space, options: SearchOptions) -> TrialScheduler | None:
    if options.scheduler == "asha":
        return ASHAScheduler(time_attr="training_iteration", grace_period=options.grace, max_t=10**6)
    if options.scheduler == "pbt":
        return PopulationBasedTraining(
            time_attr="training_iteration",
            perturbation_interval=options.grace,
            hyperparam_mutations=to_tune(space),
            synch=True,  # else a slow trial has no others to be compared with
        )
    return None


class _TrialLines(tune.Callback):
    """Prints a line for each finished trial."""

    def __init__(self, trials: int) -> None:
        self._trials = trials
        self._ended = 0

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object) -> None:
        self._ended += 1
        last = trial.last_result
        print(
            f"trial {self._ended:>3} of {self._trials} | score {show_score(last.get(SCORE, NO_SCORE)):>9} | "
            f"{last.get('steps', 0):>8,} steps | {show_values(trial.config)}",
            flush=True,
        )

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object) -> None:
        self._ended += 1
        print(f"trial {self._ended:>3} of {self._trials} | failed: see {trial.error_file}", flush=True)


def show_score(score: float) -> str:
    """A score in a table; "-" without a finished episode."""
    return "-" if score <= NO_SCORE else f"{score:.2f}"


def show_values(values: Settings) -> str:
    """The values of a trial in a line."""
    return ", ".join(
        f"{path.rpartition('.')[2]} {value:.4g}" if isinstance(value, float) else f"{path.rpartition('.')[2]} {value}"
        for path, value in values.items()
    )


def ranked(results: Sequence[tune.Result]) -> list[Record]:
    """The trials, best first: number, score, steps and values.

    The score is the mean return of the newest episodes at the trial's end.
    """
    rows = [
        {
            "trial": number,
            "score": float((result.metrics or {}).get(SCORE, NO_SCORE)),
            "steps": int((result.metrics or {}).get("steps", 0)),
            "values": dict(result.config or {}),
            "failed": result.error is not None,
        }
        for number, result in enumerate(results, 1)
    ]
    return sorted(rows, key=lambda row: -row["score"])


def write_search(folder: Path, document: Settings, results: Sequence[tune.Result]) -> list[Path]:
    """Write the table, the picture, and the best configuration; returns the files.

    Raises:
        ConfigError: No trial has finished an episode.
    """
    rows = ranked(results)
    if not rows or rows[0]["score"] <= NO_SCORE:
        raise ConfigError("No trial has finished an episode; increase --steps.")
    paths = list(rows[0]["values"])
    with (folder / TABLE_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", "score", "steps", *paths])
        writer.writerows(
            [row["trial"], row["score"], row["steps"], *(row["values"].get(path) for path in paths)] for row in rows
        )
    save_config(with_values(document, rows[0]["values"]), folder / BEST_FILE)
    draw_search(rows, results, folder / PICTURE_FILE)
    return [folder / name for name in (TABLE_FILE, PICTURE_FILE, BEST_FILE)]


def draw_search(rows: Sequence[Settings], results: Sequence[tune.Result], file: Path) -> None:
    """Draw each trial's score over its steps, and the scores over each setting."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    paths = list(rows[0]["values"])
    figure = Figure(figsize=(4.0 * (len(paths) + 1), 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(paths) + 1, squeeze=False)[0]
    for result in results:
        frame = result.metrics_dataframe
        if frame is not None and SCORE in frame:
            scored = frame[frame[SCORE] > NO_SCORE]
            axes[0].plot(scored["steps"], scored[SCORE], linewidth=1.0)
    axes[0].set(xlabel="environment steps", ylabel="mean return")
    for axis, path in zip(axes[1:], paths, strict=True):
        shown = [row for row in rows if row["score"] > NO_SCORE and path in row["values"]]
        values = [row["values"][path] for row in shown]
        if not all(isinstance(value, (int, float)) for value in values):
            values = [textwrap.fill(str(value), _LABEL_WIDTH) for value in values]
            axis.tick_params(axis="x", labelsize="x-small")
            axis.margins(x=0.2)
        else:
            axis.locator_params(axis="x", nbins=4)
        axis.plot(values, [row["score"] for row in shown], "o", markersize=4.0)
        if all(isinstance(value, float) and value > 0.0 for value in values) and max(values) > 20.0 * min(values):
            axis.set_xscale("log")
        axis.set(xlabel=path)
    axes[1].set(ylabel="mean return at the end")
    figure.savefig(file, dpi=100)
