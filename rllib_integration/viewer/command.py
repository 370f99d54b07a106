"""The viewer's command line."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import getpass
import importlib.util
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from rllib_integration.errors import IntegrationError
from rllib_integration.processes.supervisor import PR_SET_PDEATHSIG, prctl
from rllib_integration.telemetry.announcement import this_node
from rllib_integration.telemetry.world_frames import HERO_ROLES
from rllib_integration.training.options import DEFAULT_DIRECTORY

DEFAULT_PORT = 8081
_MISSING = "The viewer needs aiohttp: pip install 'rllib-integration[viewer]'"


class ViewerError(IntegrationError, RuntimeError):
    """The viewer can't start; the message is a sentence for the user."""


def add_viewer_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the viewer."""
    parser.add_argument(
        "runs", nargs="*", metavar="RUN",
        help=f"folders of runs, a folder that holds some, or names of runs in {DEFAULT_DIRECTORY} (default: all "
        "of those, and all training on this machine)",
    )  # fmt: skip
    parser.add_argument(
        "--carla-port", type=int, action="append", default=[], metavar="PORT",
        help="RPC port of a CARLA or minicarla server; can be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--carla-host", default="127.0.0.1", metavar="HOST", help="host of these ports (default: %(default)s)"
    )
    parser.add_argument("--hero", metavar="ROLE", help="role name of the vehicle to follow (default: hero, ego, ...)")
    parser.add_argument(
        "--port", type=int, metavar="PORT", help=f"port of the page (default: {DEFAULT_PORT}, or a free one)"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="address to listen on (default: %(default)s); addresses other than loopback need the printed token",
    )  # fmt: skip
    parser.add_argument(
        "--controls", action="store_true", help="allow the page to change worlds: weather, pause, step, driving"
    )
    parser.add_argument(
        "--cluster", action="store_true",
        help="show what runs on the other nodes of this Ray cluster, too; a viewer is started on each of them",
    )  # fmt: skip
    parser.add_argument("--end-with", type=int, metavar="PID", help="end together with this parent process")


def run_viewer(arguments: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C; returns the exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if arguments.end_with is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != arguments.end_with:
            return 0  # it ended before the request for a signal
    try:
        asyncio.run(_serve(arguments))
    except ViewerError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


async def _serve(arguments: argparse.Namespace) -> None:
    try:
        from aiohttp import web
    except ImportError:
        raise ViewerError(_MISSING) from None
    from rllib_integration.viewer.cluster import ClusterLink
    from rllib_integration.viewer.guards import Guards
    from rllib_integration.viewer.hub import Address, Hub
    from rllib_integration.viewer.web import ViewerApp

    if arguments.cluster and importlib.util.find_spec("ray") is None:
        raise ViewerError("--cluster needs Ray: pip install 'rllib-integration[train]'")
    may_be_missing = arguments.end_with is not None  # the parent makes its run's folder later
    runs = [Path(text) if may_be_missing else find_run(text) for text in arguments.runs]
    for port in arguments.carla_port:
        if not 1 <= port <= 65535:
            raise ViewerError(f"--carla-port {port}: a port is a number from 1 to 65535.")
    roles = (arguments.hero, *HERO_ROLES) if arguments.hero else HERO_ROLES
    addresses = [Address(arguments.carla_host, port) for port in arguments.carla_port]
    everything = not (addresses or runs)
    hub = Hub(addresses, [Path(DEFAULT_DIRECTORY).expanduser()] if everything else runs, roles, everything)
    guards = Guards.for_address(arguments.host, arguments.controls)
    runner = web.AppRunner(ViewerApp(hub, guards).app, access_log=None, shutdown_timeout=2.0)
    listener = _listen(arguments.host, arguments.port)
    await runner.setup()
    cluster = ClusterLink(_words_for_nodes(arguments, runs), hub.set_peers) if arguments.cluster else None
    try:
        await web.SockSite(runner, listener).start()
        _print_address(listener.getsockname()[1], arguments.host, guards.token if guards.needs_token else None)
        if cluster is not None:
            cluster.start()
        await _wait_for_signal()
    finally:
        if cluster is not None:
            await cluster.stop()
        await runner.cleanup()


def _words_for_nodes(arguments: argparse.Namespace, runs: Sequence[Path]) -> list[str]:
    """The command line of viewers that show the same on other nodes; runs have one path on all of them."""
    words = [str(run.resolve()) for run in runs]
    words += ["--hero", arguments.hero] if arguments.hero else []
    return [*words, "--controls"] if arguments.controls else words


def find_run(text: str) -> Path:
    """The folder of a run: a path, or the name of a run in the default folder of runs.

    Raises:
        ViewerError: There is no such folder.
    """
    given, usual = Path(text).expanduser(), Path(DEFAULT_DIRECTORY).expanduser()
    for folder in (given, usual / text):
        if folder.is_dir():
            return folder
    raise ViewerError(f"There is no folder {given}, and no run {text} in {usual}.")


def _listen(host: str, port: int | None) -> socket.socket:
    """A listening socket; without a given port, a free one if the default is taken.

    Raises:
        ViewerError: The port is taken, or the address is not this machine's.
    """
    for candidate in (DEFAULT_PORT, 0) if port is None else (port,):
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return socket.create_server((host, candidate), family=family, reuse_port=False)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port is None:
                continue
            if error.errno == errno.EADDRINUSE:
                raise ViewerError(f"Port {port} is in use; choose another one with --port.") from None
            raise ViewerError(f"Nothing can listen on {host}:{candidate}: {error.strerror or error}.") from None
    raise ViewerError(f"No port of {host} is free.")


def _print_address(port: int, host: str, token: str | None) -> None:
    fragment = f"#token={token}" if token else ""
    name = "localhost" if host in ("127.0.0.1", "::1", "localhost") else this_node() if host == "0.0.0.0" else host
    print(f"Viewer: http://{name}:{port}/{fragment}", flush=True)
    if os.environ.get("SSH_CONNECTION") and name == "localhost":
        with contextlib.suppress(OSError, KeyError):
            print(
                f"From your own machine: ssh -L {port}:localhost:{port} {getpass.getuser()}@{this_node()}", flush=True
            )


async def _wait_for_signal() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and serve; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python3 -m rllib_integration.viewer", description="Watch worlds and runs in a browser."
    )
    add_viewer_arguments(parser)
    return run_viewer(parser.parse_args(arguments))
