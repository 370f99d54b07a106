"""Coverage-guided fuzzing of what reads from the network, by Atheris (`pip install atheris`).

    python -m tests.fuzz.coverage requests|calls|streams|bodies [-runs=100000] [options of libFuzzer]

- requests: bytes of an RPC connection, as they come from a socket, answered by a real server's calls.
- calls: well-formed calls and batches with invented arguments, which get further than random bytes do.
- streams: bytes of a connection to the streaming port.
- bodies: the checks of what is about to be sent.

Begins with the seeds of `tests/fuzz/seeds/TARGET.hex`, one input a line, and with what earlier runs found, which is in
the user's cache folder `rllib_integration/fuzz/TARGET`. An exception that is no refusal is a find, and its input is
written to a file.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris
import msgpack
import platformdirs

# Before the instrumented ones, or what these import would be instrumented, too, and numba could not compile it.
from minicarla.rpc import world_records  # noqa: F401
from minicarla.world.clock import Clock
from minicarla.world.simulation import Simulation

with atheris.instrument_imports(include=["minicarla.protocol", "minicarla.rpc"]):
    from minicarla.protocol.body_checks import _CHECKS, MalformedBodyError, check_body
    from minicarla.protocol.connection import bind_port, open_port
    from minicarla.protocol.rpc_framing import FramingError, RequestDecoder
    from minicarla.protocol.stream_framing import WORLD_STREAM_ID
    from minicarla.protocol.stream_server import StreamConnection
    from minicarla.rpc.calls.batch import COMMANDS
    from minicarla.rpc.registry import REMOTE_CALLS
    from minicarla.rpc.server import Server
    from minicarla.rpc.session import Client

_SEEDS = Path(__file__).parent / "seeds"
_SLOW = {"load_new_episode", "copy_opendrive_to_file", "get_map_data", "get_actor_definitions"}
_METHODS = sorted(set(REMOTE_CALLS) - _SLOW)
_MOST_ACTORS = 40


class _Connection:
    """Takes answers, and sees that each can be packed and is none of the server's own faults."""

    closed = False
    peer = "127.0.0.1:1"

    def __init__(self) -> None:
        self.at_close: list[Callable[[], None]] = []

    def write(self, message: bytes, body: bytes | None = None) -> None:
        msgpack.unpackb(message, strict_map_key=False, unicode_errors="surrogateescape")


class _FaultHandler(logging.Handler):
    """The server logs its own faults with a traceback, and lives on; here they are finds."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            raise record.exc_info[1]


def _make_server() -> Server:
    simulation = Simulation()
    ports = open_port(bind_port("127.0.0.1", 0)), open_port(bind_port("127.0.0.1", 0))
    server = Server(simulation, *ports, Clock(), tempfile.mkdtemp())
    simulation.load("Minitown")
    server.warm_up()
    logging.getLogger("minicarla").addHandler(_FaultHandler())
    return server


class _Calls:
    """A server whose world begins anew when it has got too full."""

    def __init__(self) -> None:
        self.server = _make_server()

    def handle(self, connection: _Connection, request: Any) -> None:
        if request.method not in _SLOW:
            self.server._handle(Client(connection), request)  # type: ignore[arg-type]

    def tidy(self) -> None:
        simulation = self.server.simulation
        if len(simulation.episode.actors) > _MOST_ACTORS + len(simulation.episode.town.signals):
            simulation.begin(simulation.full_town)
        self.server.ticking.tick(0.05)


def _requests() -> Callable[[bytes], None]:
    calls = _Calls()

    def run(data: bytes) -> None:
        decoder, connection = RequestDecoder(), _Connection()
        try:
            for start in range(0, len(data), 64):
                decoder.feed(data[start : start + 64])
                for request in decoder:
                    calls.handle(connection, request)
        except FramingError:
            pass
        calls.tidy()

    return run


def _value(provider: Any, depth: int) -> Any:
    kind = provider.ConsumeIntInRange(0, 9 if depth else 6)
    if kind == 0:
        return None
    if kind == 1:
        return provider.ConsumeBool()
    if kind == 2:
        return provider.ConsumeIntInRange(-3, 300)
    if kind == 3:
        return provider.ConsumeInt(8)
    if kind == 4:
        return provider.ConsumeFloat()
    if kind == 5:
        return provider.ConsumeUnicode(12)
    if kind == 6:
        return provider.ConsumeBytes(6)
    return [_value(provider, depth - 1) for _ in range(provider.ConsumeIntInRange(0, 6))]


def _calls() -> Callable[[bytes], None]:
    calls = _Calls()

    def run(data: bytes) -> None:
        provider, connection, decoder = atheris.FuzzedDataProvider(data), _Connection(), RequestDecoder()
        for number in range(provider.ConsumeIntInRange(1, 4)):
            method = _METHODS[provider.ConsumeIntInRange(0, len(_METHODS) - 1)]
            if method == "apply_batch":
                kind = sorted(COMMANDS)[provider.ConsumeIntInRange(0, len(COMMANDS) - 1)]
                arguments: list[Any] = [[[[kind, _value(provider, 4)]]], provider.ConsumeBool()]
            else:
                arguments = [_value(provider, 4) for _ in range(provider.ConsumeIntInRange(0, 6))]
            call = [0, number, method, [[provider.ConsumeBool()], *arguments]]
            decoder.feed(msgpack.packb(call, unicode_errors="surrogatepass"))
        for request in decoder:
            calls.handle(connection, request)
        calls.tidy()

    return run


def _streams() -> Callable[[bytes], None]:
    class Streams:
        """Notes the subscription."""

        subscribed: list[int]

        def subscribe(self, _connection: object, number: int) -> None:
            self.subscribed.append(number)

    def run(data: bytes) -> None:
        connection, server = StreamConnection.__new__(StreamConnection), Streams()
        server.subscribed = []
        connection._server, connection._opening, connection.stream_id = server, b"", None  # type: ignore[assignment]
        for start in range(0, len(data), 3):
            connection.on_data(data[start : start + 3])
        assert server.subscribed == ([int.from_bytes(data[:4], "little")] if len(data) >= 4 else [])

    return run


def _bodies() -> Callable[[bytes], None]:
    types = [*_CHECKS, WORLD_STREAM_ID, 99]

    def run(data: bytes) -> None:
        if data:
            with contextlib.suppress(MalformedBodyError):
                check_body(types[data[0] % len(types)], data[1:])

    return run


def _write_seeds(target: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, line in enumerate((_SEEDS / f"{target}.hex").read_text().split()):
        (folder / f"seed-{number}").write_bytes(bytes.fromhex(line))


_TARGETS = {"requests": _requests, "calls": _calls, "streams": _streams, "bodies": _bodies}


def main() -> None:
    """Fuzz one target until libFuzzer ends."""
    if len(sys.argv) < 2 or sys.argv[1] not in _TARGETS:
        raise SystemExit(__doc__)
    target = sys.argv[1]
    folder = Path(platformdirs.user_cache_dir("rllib_integration")) / "fuzz"
    found, seeds = folder / target, folder / f"{target}-seeds"
    found.mkdir(parents=True, exist_ok=True)
    _write_seeds(target, seeds)
    os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=0")
    run = _TARGETS[target]()
    atheris.Setup([sys.argv[0], *sys.argv[2:], str(found), str(seeds)], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
