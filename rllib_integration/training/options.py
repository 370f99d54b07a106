"""How a training run is to be done, beside what its configuration says."""

from __future__ import annotations

from dataclasses import dataclass, field

from rllib_integration.training.stop_rules import StopRules

CHECKPOINTS_KEPT = 5
DEFAULT_DIRECTORY = "~/ray_results/carla_rllib"
"""Folder of runs."""


@dataclass(frozen=True)
class TrainingOptions:
    """The options of a run.

    Attributes:
        directory: Folder of runs, or a URI such as s3://bucket/runs.
        name: The run's folder in it.
        restore: Continue the run.
        checkpoint: The checkpoint that `restore` continues from, instead of the newest.
        overwrite: Delete the run's folder first.
        tensorboard: Start TensorBoard on the runs.
        auto: Join the running Ray cluster.
        strict_resources: Refuse what the machine does not have, instead of lowering it.
        evaluation_interval: Evaluate after every so many iterations.
        record_episodes: How many episodes of each evaluation are saved for the viewer.
        keep_checkpoints: Number of newest checkpoints that are kept, beside the best one.
        state_log: Write a line for each step.
        mlflow_uri: Track the run in MLflow, at this address or in this folder.
        wandb: Track the run in Weights & Biases.
        stop: When to end.
        overrides: `a.b=value` over the configuration file.
    """

    directory: str = DEFAULT_DIRECTORY
    name: str = "run"
    restore: bool = False
    checkpoint: str | None = None
    overwrite: bool = False
    tensorboard: bool = True
    auto: bool = False
    strict_resources: bool = False
    evaluation_interval: int | None = None
    record_episodes: int = 0
    keep_checkpoints: int = CHECKPOINTS_KEPT
    state_log: bool = False
    mlflow_uri: str | None = None
    wandb: bool = False
    stop: StopRules = field(default_factory=StopRules)
    overrides: tuple[str, ...] = ()
