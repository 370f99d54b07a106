"""`carla-rllib train`: a training run."""

from __future__ import annotations

import argparse

from rllib_integration.cli.configurations import find_configuration, name_of
from rllib_integration.cli.flags import add_configuration, positive_int, require
from rllib_integration.cli.view import add_view_flag, is_viewed, viewer_of
from rllib_integration.errors import IntegrationError
from rllib_integration.failures import report_failure
from rllib_integration.processes.guard import run_guarded
from rllib_integration.training.options import CHECKPOINTS_KEPT, DEFAULT_DIRECTORY, TrainingOptions
from rllib_integration.training.run_storage import RunStorage
from rllib_integration.training.start import run_training
from rllib_integration.training.stop_rules import StopRules, parse_duration

SUMMARY = "train a policy as a configuration says, until a stop rule or Ctrl-C"
EXAMPLES = """examples:
  carla-rllib train quickstart --stop-duration 10m
  carla-rllib train my.yaml --name second --set training.lr=0.0001
  carla-rllib train my.yaml --name second --restore

Ctrl-C saves a checkpoint and ends everything that was started; --restore goes on from there."""


def add_arguments(parser: argparse.ArgumentParser, name: str | None = None) -> None:
    """The command's arguments.

    Args:
        parser: Of the command.
        name: Default of `--name`; None takes the configuration's name.
    """
    add_configuration(parser, "env_config.carla.timeout=60")
    parser.add_argument(
        "-d", "--directory", default=DEFAULT_DIRECTORY, metavar="DIR",
        help="folder of runs, or shared storage such as s3://bucket/runs (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "-n", "--name", default=name,
        help=f"name of the run, a folder in DIR (default: {name or 'that of the configuration'})",
    )  # fmt: skip
    parser.add_argument("--restore", action="store_true", help="continue the run from its newest checkpoint")
    parser.add_argument("--checkpoint", metavar="NAME", help="restore this one instead, such as checkpoint_000012")
    parser.add_argument("--overwrite", action="store_true", help="delete an earlier run of this name")
    parser.add_argument("--tboff", action="store_true", help="do not start TensorBoard")
    parser.add_argument("--auto", action="store_true", help="join the running Ray cluster")
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
        help="keep the N newest checkpoints and the best one (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--state-log", action="store_true", help="write a line for each step to the run's rollouts/")
    parser.add_argument(
        "--mlflow-uri", metavar="URI", help="track the run in MLflow: http://HOST:PORT, sqlite:///FILE or a folder"
    )
    parser.add_argument(
        "--wandb", action="store_true", help="track the run in Weights & Biases; WANDB_MODE=offline keeps it here"
    )
    add_view_flag(parser)
    parser.add_argument(
        "--record-episodes", type=positive_int, default=0, metavar="N",
        help="save the first N episodes of each evaluation; carla-rllib view plays them without any server",
    )  # fmt: skip


def run(arguments: argparse.Namespace, experiment: str | None = None) -> int:
    """Train as the parsed arguments say, under guard, so that no process outlives the command.

    Args:
        arguments: Of a parser with `add_arguments`.
        experiment: The experiment's class, where the configuration names none.

    Returns:
        The exit status, as `run_training` returns it.
    """
    try:
        require("ray", "torch")
        configuration = find_configuration(arguments.configuration)
    except IntegrationError as error:
        return report_failure(error)
    options = TrainingOptions(
        directory=arguments.directory,
        name=arguments.name or name_of(configuration),
        restore=arguments.restore,
        checkpoint=arguments.checkpoint,
        overwrite=arguments.overwrite,
        tensorboard=not arguments.tboff,
        auto=arguments.auto,
        strict_resources=arguments.strict_resources,
        evaluation_interval=arguments.evaluation_interval,
        record_episodes=arguments.record_episodes,
        keep_checkpoints=arguments.keep_checkpoints,
        state_log=arguments.state_log,
        mlflow_uri=arguments.mlflow_uri,
        wandb=arguments.wandb,
        stop=StopRules(
            iterations=arguments.stop_iterations,
            timesteps=arguments.stop_timesteps,
            seconds=arguments.stop_duration,
            reward=arguments.stop_reward,
        ),
        overrides=tuple(arguments.overrides),
    )

    def work() -> int:
        try:
            folder = RunStorage(options.directory, options.name).folder if is_viewed(arguments) else None
            with viewer_of(arguments, folder, cluster=options.auto):
                return run_training(configuration, options, experiment)
        except IntegrationError as error:
            return report_failure(error)

    return run_guarded(work)
