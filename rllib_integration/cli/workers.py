"""The processes of a driving test, as the commands that have one count them."""

from __future__ import annotations

import argparse

from rllib_integration.annotations import Settings
from rllib_integration.cli.flags import positive_int
from rllib_integration.processes.cpus import available_cpus
from rllib_integration.servers import ServerSettings, count_servers


def add_workers(parser: argparse.ArgumentParser) -> None:
    """The flag `--workers`, for `count_workers`."""
    parser.add_argument(
        "--workers", type=positive_int, metavar="N",
        help="processes, each with a simulator of its own (default: one for each processor)",
    )  # fmt: skip


def count_workers(asked: int | None, tasks: int, core_config: Settings) -> int:
    """How many processes drive: as asked or one for each processor, but no more than there are tasks or servers.

    Args:
        asked: By `--workers`.
        tasks: How many there are.
        core_config: `env_config.carla`.
    """
    servers = count_servers(ServerSettings.from_core_config(core_config))
    return max(1, min(asked or available_cpus(), tasks, *([] if servers is None else [servers])))
