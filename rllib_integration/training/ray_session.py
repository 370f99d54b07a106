"""The surroundings of RLlib: Ray's processes, its environment variables, and what it writes where."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rllib_integration.errors import IntegrationError
from rllib_integration.processes.guard import SCRATCH_VARIABLE
from rllib_integration.training.machine import Machine, this_machine


class RaySessionError(IntegrationError, RuntimeError):
    """Ray can't be had; the message is a sentence for the user."""


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
            raise RaySessionError(
                "--auto joins a running Ray cluster, but none was found; start one with "
                "`ray up dqn_example/dqn_autoscaler.yaml` or `ray start --head`, or leave --auto out."
            ) from error
        try:
            resources = ray.cluster_resources()
            own = this_machine().gpus
            yield Machine(int(resources.get("CPU", 0)), int(resources.get("GPU", 0)), "the cluster", own)
        finally:
            ray.shutdown()
        return
    import ray

    machine = this_machine()
    with scratch_folder() as files:
        session = Path(files, "r")  # Ray opens it to all users, but the folder around it admits only this one
        session.mkdir(exist_ok=True)
        _keep_raylet_quiet()
        try:
            ray.init(
                address="local",
                num_cpus=machine.cpus,
                num_gpus=machine.gpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _node_ip_address="127.0.0.1",
                _temp_dir=str(session),
            )
        except Exception as error:
            if type(error) is Exception and "timed out during startup" in str(error):  # Ray has no type for it
                raise RaySessionError(
                    f"Ray's processes did not start within the half minute that Ray gives them; the machine's "
                    f"load is {os.getloadavg()[0]:.0f} on {machine.cpus} processors. Start again when less is running."
                ) from error
            raise
        try:
            yield replace(machine, ray_logs=session / "session_latest" / "logs")
        finally:
            ray.shutdown()


def _keep_raylet_quiet() -> None:
    """Keep coloured lines about lost workers off the terminal: `LostRunners` says what can be known. No option does."""
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda data, ignore_prefix=False: None


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
def log_folder_elsewhere() -> Iterator[None]:
    """Let algorithms that are built meanwhile make their log folders where they vanish; nothing is written into them.

    RLlib would make them below ~/ray_results, which it makes writable for everybody.
    """
    from ray.tune.trainable import trainable

    chosen_by_ray = trainable.DEFAULT_STORAGE_PATH
    with tempfile.TemporaryDirectory(prefix="carla-ray-", ignore_cleanup_errors=True) as folder:
        trainable.DEFAULT_STORAGE_PATH = str(Path(folder, "logs"))
        try:
            yield
        finally:
            trainable.DEFAULT_STORAGE_PATH = chosen_by_ray


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """The folder that the process guard removes, or one that is removed here where there is no guard."""
    guarded = os.environ.get(SCRATCH_VARIABLE)
    if guarded:
        yield guarded
        return
    with tempfile.TemporaryDirectory(prefix="carla-ray-", ignore_cleanup_errors=True) as folder:
        yield folder
