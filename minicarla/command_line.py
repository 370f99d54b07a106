"""The server's command line, which accepts what CARLA's own launcher accepts."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import gc
import logging
import os
import re
import resource
import signal
import socket
import sys
from typing import TYPE_CHECKING, NoReturn

from minicarla.parent_death import set_parent_death_signal
from minicarla.protocol.connection import bind_port, open_port
from minicarla.protocol.version import VERSIONS, ProtocolVersion, VersionError, version_named, version_of_client
from minicarla.viewer import start_viewer

if TYPE_CHECKING:
    from collections.abc import Callable

    from minicarla.rpc.server import Server
    from minicarla.town import Town

logger = logging.getLogger(__name__)

_DEFAULT_PORT = 2000

_IGNORED_FLAGS = {
    "-nosound", "-renderoffscreen", "-windowed", "-fullscreen", "-opengl", "-vulkan", "-prefernvidia", "-nullrhi",
    "-carla-server", "-unattended", "-log", "-stdout", "-novsync", "-vsync", "-allowstdoutlogverbosity",
    "-fulldumptostdout", "-forcelogflush", "-noversionchecks", "-usefixedtimestep", "-no-rendering",
}  # fmt: skip
_IGNORED_OPTIONS = {
    "-quality-level", "-resx", "-resy", "-graphicsadapter", "-carla-settings",
    "-carla-primary-port", "-carla-secondary-port", "-trafficmanager-port", "-execcmds", "-abslog",
}  # fmt: skip
_REFUSED = {
    "-ros2": "this server does not publish to ROS 2",
    "-carla-primary-host": "this server does not share a world with other servers",
}
_TYPO = 0.8
"""Likeness to an option with effect that makes an unknown one a mistake; Unreal has hundreds more, without any here."""


class UsageError(ValueError):
    """The command line asks for something that does not exist."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m minicarla",
        description="A CARLA server without Unreal Engine. Options with one dash are CARLA's own.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--rpc-port", type=int, default=_DEFAULT_PORT, metavar="PORT",
        help="RPC port; 0: any free (-carla-rpc-port; default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--streaming-port", type=int, metavar="PORT",
        help="port of the sensors' data (-carla-streaming-port; default: RPC port + 1)",
    )  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (-carla-host; default: %(default)s)")
    parser.add_argument("--town", help="town to begin with (default: the small built-in one)")
    parser.add_argument("--town-folder", metavar="DIR", help="folder with OpenDRIVE files of further towns")
    parser.add_argument("--fetch-town", metavar="TOWN", help="only have this town ready in the cache, start no server")
    parser.add_argument(
        "--carla-version", metavar="VERSION",
        help=f"version of the clients: {' or '.join(VERSIONS)} (default: that of the carla package installed here)",
    )  # fmt: skip
    parser.add_argument("--recordings-folder", metavar="DIR", help="where recordings are written and read")
    parser.add_argument(
        "--frame-rate", type=float, default=30.0, metavar="HZ",
        help="ticks a second in asynchronous mode (-fps; default: %(default)g)",
    )  # fmt: skip
    parser.add_argument("--benchmark", action="store_true", help="asynchronous ticks as fast as possible (-benchmark)")
    parser.add_argument(
        "--skip-overtaken-frames",
        action="store_true",
        help="of ticks that a client asks for at once, without waiting for an answer, tell only the last; "
        "Client.apply_batch([ApplyTargetVelocity(0, Vector3D(x=4))], True) is four of them (32 at most); "
        "x of a collision or obstacle sensor's angular velocity counts the events that it has sent",
    )
    parser.add_argument(
        "--view", action="store_true", help="show the world in a browser; the address is printed (rllib-integration)"
    )
    parser.add_argument("--parent-pid", type=int, metavar="PID", help="end when this process ends")
    parser.add_argument(
        "--log-level", default="warning", choices=("debug", "info", "warning", "error"),
        help="least important lines that are logged (default: %(default)s)",
    )  # fmt: skip
    return parser


_SPELLINGS = {
    "-carla-rpc-port": "--rpc-port",
    "-carla-world-port": "--rpc-port",
    "-world-port": "--rpc-port",
    "-carla-port": "--rpc-port",
    "-carla-streaming-port": "--streaming-port",
    "-carla-host": "--host",
    "-fps": "--frame-rate",
    "-benchmark": "--benchmark",
}


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Read the command line.

    Raises:
        UsageError: An option does not exist here.
    """
    parser = _parser()
    valued = {option for action in parser._actions if action.nargs != 0 for option in action.option_strings}
    translated: list[str] = []
    words = iter(_words(arguments))
    value_may_follow = False
    for place, argument in enumerate(words):
        name, equals, text = argument.partition("=")
        # Unreal looks for "-carla-rpc-port=" anywhere in its command line: one dash more does no harm.
        lower = name.lower().removeprefix("-") if name.startswith("--") else name.lower()
        unused_value = value_may_follow and not argument.startswith("-")
        value_may_follow = lower in _IGNORED_OPTIONS and not equals
        if translated and translated[-1] in valued and not argument.startswith("-"):
            translated.append(argument)
            continue
        if unused_value:
            continue  # "-quality-level Low", of which Unreal takes neither
        if lower in _REFUSED:
            raise UsageError(f"{name}: {_REFUSED[lower]}")
        if lower in _SPELLINGS:
            translated.append(_SPELLINGS[lower] + equals + text)
        elif lower in _IGNORED_FLAGS or lower in _IGNORED_OPTIONS:
            if equals and not text:
                next(words, None)  # "-ResX= 800", which Unreal puts up with, too
        elif argument.startswith("-") and not argument.startswith("--") and len(name) > 2:
            if _near(lower, _options_with_effect(), _TYPO):
                raise UsageError(_unknown(name))
            logger.warning("%s is not an option of CARLA's that this server knows; it is ignored", argument)
        elif argument.startswith("/") or (place == 0 and not argument.startswith("-")):
            translated += ["--town", argument]  # CARLA takes the map as its first argument.
        else:
            translated.append(argument)
    options, rest = parser.parse_known_args(translated)
    if rest:
        raise UsageError(_unknown(rest[0]))
    if not 0 <= options.rpc_port <= 65534:
        raise UsageError(f"the RPC port must be between 0 and 65534, not {options.rpc_port}")
    if options.streaming_port is not None and not 0 <= options.streaming_port <= 65535:
        raise UsageError(f"the streaming port must be between 0 and 65535, not {options.streaming_port}")
    if not options.host or ":" in options.host:
        # Of an empty one the system makes all addresses of the machine.
        raise UsageError(f"the host must be an IPv4 address or a name, not '{options.host}'; 0.0.0.0 stands for all")
    if options.carla_version is not None:
        try:
            version_named(options.carla_version)
        except VersionError as error:
            raise UsageError(str(error)) from None
    if not 0.1 <= options.frame_rate <= 10000.0:
        raise UsageError(f"the frame rate must be between 0.1 and 10000, not {options.frame_rate}")
    return options


def _words(arguments: list[str]) -> list[str]:
    """The arguments one by one: Unreal reads its command line as one text, so programs hand over several in one."""
    return [word for argument in arguments for word in re.split(r"\s+(?=-)", argument)]


def _options_with_effect() -> list[str]:
    return [*_SPELLINGS, *_REFUSED, *(option for action in _parser()._actions for option in action.option_strings)]


def _near(name: str, known: list[str], likeness: float = 0.6) -> list[str]:
    return difflib.get_close_matches(name.split("=")[0], known, 1, likeness)


def _unknown(name: str) -> str:
    near = _near(name, [*_options_with_effect(), *_IGNORED_FLAGS, *_IGNORED_OPTIONS])
    return f"there is no option {name}" + (f"; did you mean {near[0]}?" if near else "; see --help")


def _fail(text: str) -> NoReturn:
    print(f"error: {text}", file=sys.stderr, flush=True)
    raise SystemExit(1)


def _watch_parent(parent: int) -> int:
    """Descriptor that becomes readable when the parent ends."""
    try:
        descriptor = os.pidfd_open(parent)
    except ProcessLookupError:
        _fail(f"the process {parent} given by --parent-pid does not run")
    except OSError as error:
        _fail(f"the process {parent} given by --parent-pid cannot be watched: {error}")
    if os.getppid() == parent:
        # Acts even while the loop is busy; the descriptor above also serves parents that start us from a thread.
        set_parent_death_signal(signal.SIGUSR1)
    return descriptor


def _end_when_orphaned(parent: int) -> None:
    def check(_signal: int, _frame: object) -> None:
        # The signal also comes when only the thread that started us has ended.
        if os.getppid() != parent:
            os._exit(1)

    signal.signal(signal.SIGUSR1, check)


def _raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _fetch_town(name: str, folder: str | None) -> None:
    from minicarla.town.sources import TownError, ensure_town

    try:
        ensure_town(name, folder)
    except TownError as error:
        _fail(str(error))


def _bind_ports(options: argparse.Namespace) -> tuple[socket.socket, socket.socket]:
    """The RPC and the streaming port, before anything else is imported: one that is in use is told at once.

    They stay closed until the server can answer. Launchers take an open port for a server that does, and call it with
    a short time-out.
    """
    streaming_port = options.streaming_port
    if streaming_port is None:
        streaming_port = options.rpc_port + 1 if options.rpc_port else 0
    opened: list[socket.socket] = []
    for port in (options.rpc_port, streaming_port):
        try:
            opened.append(bind_port(options.host, port))
        except OSError as error:
            _refuse_port(options.host, port, error)
    return opened[0], opened[1]


def _version(options: argparse.Namespace) -> ProtocolVersion:
    if options.carla_version is not None:
        return version_named(options.carla_version)
    try:
        return version_of_client()
    except VersionError as error:
        _fail(f"{error}: name one with --carla-version; it is asked for as the version of the client installed here")


def _refuse_port(host: str, port: int, error: OSError) -> NoReturn:
    if error.errno == errno.EADDRINUSE:
        _fail(f"port {port} is in use; choose another one with -carla-rpc-port or -carla-streaming-port")
    _fail(f"cannot listen on {host}, port {port}: {error}")


def _open(ports: tuple[socket.socket, socket.socket]) -> None:
    """Let clients come; the streaming port first, so that who reaches one reaches both."""
    for port in reversed(ports):
        try:
            open_port(port)
        except OSError as error:  # another server has bound it, too, and was ready earlier
            host, number = port.getsockname()
            _refuse_port(host, number, error)


def _create_server(options: argparse.Namespace, ports: tuple[socket.socket, socket.socket]) -> Server:
    from minicarla.kernels import cache as kernel_cache
    from minicarla.rpc.server import Server
    from minicarla.startup_messages import announce
    from minicarla.town import BUILT_IN_TOWN, TownError
    from minicarla.town.loader import opendrive_of
    from minicarla.world.clock import Clock
    from minicarla.world.simulation import Simulation

    simulation = Simulation(options.town_folder, _version(options))
    server = Server(simulation, *ports, Clock(options.frame_rate, options.benchmark), options.recordings_folder)
    server.skips_overtaken_frames = simulation.counts_events = options.skip_overtaken_frames
    town = options.town or BUILT_IN_TOWN
    try:
        if not kernel_cache.is_complete():
            opendrive_of(town, options.town_folder)  # a wrong name is told before the long work
            _compile(town, options.town_folder)
        announce(f"it loads {town}")
        simulation.load(town)
    except TownError as error:
        _fail(str(error))
    server.warm_up()
    # What is there now stays: the collector need not look at it again.
    gc.freeze()
    return server


def _compile(town: str, town_folder: str | None) -> None:
    """Compile all that clients need. Ctrl-C ends the process at once meanwhile, although a compiler is no Python."""
    from minicarla.warming import compile_all

    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    compile_all(town, town_folder)
    signal.signal(signal.SIGINT, before)


def _idle_work(town: Town) -> list[Callable[[], object]]:
    """What the first camera needs, read in while nobody waits for the server."""

    def plan() -> None:
        from minicarla.warming import camera_jobs

        work.extend(camera_jobs(town))

    work: list[Callable[[], object]] = [plan]
    return work


def main(arguments: list[str] | None = None) -> int:
    """Run the server until it is told to end; returns the exit status."""
    try:
        options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    except UsageError as error:
        _fail(str(error))
    level = logging.getLevelName(options.log_level.upper())
    logging.basicConfig(
        # What libraries find worth saying while they are debugged, numba above all, is of no use here.
        level=max(level, logging.WARNING),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger(__package__).setLevel(level)
    # As for a service, or in a container: CARLA's library, which is asked for its version, ends a process without it.
    os.environ.setdefault("HOME", os.path.expanduser("~"))
    if options.fetch_town is not None:
        _fetch_town(options.fetch_town, options.town_folder)
        return 0
    parent = None
    if options.parent_pid is not None:
        _end_when_orphaned(options.parent_pid)
        parent = _watch_parent(options.parent_pid)
    _raise_descriptor_limit()
    ports = _bind_ports(options)
    try:
        server = _create_server(options, ports)
    except (MemoryError, OSError, ImportError) as error:
        logger.debug("what the server lacks", exc_info=True)
        _fail(f"the server cannot start: {error or 'there is not enough memory'}")
    loop = server.loop
    if parent is not None:
        loop.watch(parent, 1, lambda _events: loop.stop())

    def end(_signal: int, _frame: object) -> None:
        loop.stop()

    signal.set_wakeup_fd(loop.wake_up_descriptor)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    _open(ports)
    print(
        f"listening on {options.host}:{server.port} (rpc) and :{server.streaming_port} (streaming), "
        f"town {server.simulation.episode.town.name}, CARLA {server.simulation.version.name}",
        flush=True,
    )
    server.idle_work = _idle_work(server.simulation.episode.town)
    with start_viewer(server.port) if options.view else contextlib.nullcontext():
        server.run()
    return 0
