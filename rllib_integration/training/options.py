"""What the command line of a training script says."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from rllib_integration.arguments import add_overrides, positive_int
from rllib_integration.training.stop_rules import StopRules, parse_duration

CHECKPOINTS_KEPT = 5


@dataclass(frozen=True)
class TrainingOptions:
    """What the command line says beside the configuration.

    Attributes:
        directory: Folder of runs, or a URI such as s3://bucket/runs.
        name: The run's folder in it.
        restore: Continue the run.
        overwrite: Delete the run's folder first.
        tensorboard: Start TensorBoard on the runs.
        auto: Join the running Ray cluster.
        strict_resources: Refuse what the machine does not have, instead of lowering it.
        evaluation_interval: Evaluate after every so many iterations.
        keep_checkpoints: Number of newest checkpoints that are kept, beside the best one.
        stop: When to end.
        overrides: `a.b=value` over the configuration file.
    """

    directory: str
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


def add_training_arguments(parser: argparse.ArgumentParser, default_name: str) -> None:
    """The flags of a training script."""
    parser.add_argument("configuration_file", help="YAML file, such as dqn_example/dqn_quickstart.yaml")
    parser.add_argument(
        "-d", "--directory", default="~/ray_results/carla_rllib", metavar="DIR",
        help="folder of runs, or shared storage such as s3://bucket/runs (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "-n", "--name", default=default_name, help="name of the run, a folder in DIR (default: %(default)s)"
    )
    parser.add_argument("--restore", action="store_true", help="continue the run from its newest checkpoint")
    parser.add_argument("--overwrite", action="store_true", help="delete an earlier run of this name")
    parser.add_argument("--tboff", action="store_true", help="do not start TensorBoard")
    parser.add_argument("--auto", action="store_true", help="join the running Ray cluster")
    add_overrides(parser, "env_config.carla.timeout=60")
    parser.add_argument("--stop-iterations", type=positive_int, metavar="N", help="end after N iterations in all")
    parser.add_argument("--stop-timesteps", type=positive_int, metavar="N", help="end after N steps in all")
    parser.add_argument("--stop-duration", type=parse_duration, metavar="TIME", help="end after 90s, 10m, 1h30m, ...")
    parser.add_argument("--stop-reward", type=float, metavar="R", help="end when the mean return reaches R")
    parser.add_argument(
        "--strict-resources", action="store_true", help="refuse to run with fewer CPUs or GPUs than configured"
    )
    parser.add_argument(
        "--evaluation-interval", type=positive_int, metavar="N", help="drive greedily after every N iterations"
    )
    parser.add_argument(
        "--keep-checkpoints", type=positive_int, default=CHECKPOINTS_KEPT, metavar="N",
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
        directory=arguments.directory,
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
