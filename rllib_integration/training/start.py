"""Starts a training run: reads the configuration, and chooses what trains."""

from __future__ import annotations

import os

from rllib_integration.annotations import Settings
from rllib_integration.config.server import ServerSettings
from rllib_integration.config_file import load_config
from rllib_integration.errors import IntegrationError
from rllib_integration.failures import INTERRUPTED, TERMINATED, report_failure
from rllib_integration.processes.ray_setup import prepare_for_ray
from rllib_integration.servers import check_server
from rllib_integration.setup_check import check_setup
from rllib_integration.training.checkpoints import get_checkpoint
from rllib_integration.training.disk_errors import as_disk_error, check_writable
from rllib_integration.training.env_creator import check_environment
from rllib_integration.training.interruption import Terminated
from rllib_integration.training.learning_check import check_learning
from rllib_integration.training.options import TrainingOptions
from rllib_integration.training.run import TrainingRun
from rllib_integration.training.run_storage import RunStorage
from rllib_integration.training.sb3_config import asks_for_sb3, find_sb3_class


def run_training(
    configuration: str | os.PathLike[str], options: TrainingOptions, experiment: type | str | None = None
) -> int:
    """Train as a configuration says, until a stop rule or an interruption.

    Args:
        configuration: YAML file with the settings of the algorithm and, under `env_config`, the environment.
        options: The command line.
        experiment: The experiment's class, or "package.module:Class", where the configuration names none.

    Returns:
        The exit status: 0, 130 after Ctrl-C, 143 after SIGTERM, 1 after an error, of which a sentence was printed.
    """
    prepare_for_ray(options.auto)
    folder = None
    try:
        document = load_config(configuration, options.overrides)
        if experiment is not None:
            document["env_config"]["experiment"].setdefault("type", experiment)
        check_setup(document["env_config"]["carla"], document["env_config"]["experiment"])
        if not options.auto:  # else the machines that start servers are others
            check_server(ServerSettings.from_core_config(document["env_config"]["carla"]))
        storage = RunStorage(options.directory, options.name)
        folder = storage.folder
        check_writable(folder)
        storage.fetch()
        if not options.overwrite:  # which waits until the environment is known to work
            get_checkpoint(options.name, storage.directory, options.restore)
        spaces = check_environment(document["env_config"])
        if not asks_for_sb3(document):
            check_learning({name: part for name, part in document.items() if name != "env_config"}, spaces)
        return _kind_of_run(document)(document, options, storage).go()
    except KeyboardInterrupt as interrupt:
        print("Interrupted; nothing was saved since the last checkpoint.", flush=True)
        return TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED
    except IntegrationError as error:
        return report_failure(error, folder)
    except Exception as error:
        return report_failure((as_disk_error(error, folder) if folder is not None else None) or error, folder)


def _kind_of_run(document: Settings) -> type[TrainingRun]:
    """What trains: RLlib, or Stable-Baselines3 for its algorithms."""
    if not asks_for_sb3(document):
        return TrainingRun
    find_sb3_class(str(document["algorithm"]))  # tells whether it is installed
    from rllib_integration.training.sb3_run import SB3Run

    return SB3Run
