"""Messages that no client sends, none of which means anything that a server could do."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

import msgpack

from minicarla.rpc import server as _register_calls  # noqa: F401
from minicarla.rpc.calls.batch import COMMANDS
from minicarla.rpc.registry import REMOTE_CALLS

_TAKES_ANYTHING = {
    # A truth value, a text or any number is a meaning: these would change what the witness sees, or take their time.
    "apply_batch", "copy_opendrive_to_file", "enable_environment_objects", "freeze_all_traffic_lights",
    "load_map_layer",
    "load_new_episode", "unload_map_layer", "request_file", "replay_file", "set_replayer_ignore_hero",
    "set_replayer_ignore_spectator", "start_recorder", "stop_replayer", "update_day_night_cycle",
    "update_lights_state",
}  # fmt: skip
METHODS = sorted(name for name, call in REMOTE_CALLS.items() if call.at_least and name not in _TAKES_ANYTHING)

Source = Callable[[random.Random], bytes]


def _leaf(chance: random.Random) -> Any:
    return chance.choice(
        [None, "", "x" * chance.randrange(40), b"", chance.randbytes(chance.randrange(40)), float("nan"),
         float("inf"), -float("inf"), {}, {"a": 1}, [], [[]], "\udcff", 2**64 - 1, -(2**63)]
    )  # fmt: skip


def nonsense(chance: random.Random, depth: int = 3) -> Any:
    """A value that no argument of a call may have."""
    if depth and chance.random() < 0.4:
        return [nonsense(chance, depth - 1) for _ in range(chance.randrange(6))]
    return _leaf(chance)


def pack(value: Any) -> bytes:
    """MessagePack, with what is no text in strings as it is."""
    packed: bytes = msgpack.packb(value, unicode_errors="surrogateescape")
    return packed


def call_with_nonsense(chance: random.Random) -> bytes:
    """A well-formed call of a method that exists, with arguments that mean nothing."""
    arguments = [nonsense(chance) for _ in range(chance.randrange(1, 5))]
    return pack([0, chance.randrange(2**32), chance.choice(METHODS), [[chance.random() < 0.5], *arguments]])


def batch_of_nonsense(chance: random.Random) -> bytes:
    """A batch of commands that mean nothing."""
    commands = [
        [[chance.choice([*COMMANDS, 22, 10**9]), [nonsense(chance) for _ in range(chance.randrange(5))]]]
        for _ in range(chance.randrange(8))
    ]
    return pack([0, 1, "apply_batch", [[chance.random() < 0.5], commands, False]])


def unknown_call(chance: random.Random) -> bytes:
    """A call of a method that does not exist."""
    return pack([0, 1, f"no_such_call_{chance.randrange(10**9)}", [[True], nonsense(chance)]])


def no_request(chance: random.Random) -> bytes:
    """MessagePack that is no request: answers, notifications, bare values."""
    return pack(
        chance.choice(
            [[1, 1, None, [[1, 1]]], [2, "tick_cue", []], [0, 1, "tick_cue"], [0, "a", "b", []], [0, 1, 2, [[False]]],
             nonsense(chance), [0, 1, "version", {}], [3, 1, "version", [[False]]], [0, 1, "version", []]]
        )
    )  # fmt: skip


def huge_header(chance: random.Random) -> bytes:
    """The beginning of something far larger than any message."""
    array, table, text = b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xf0"
    binary, extension = b"\xc6\x7f\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01"
    return chance.choice([array, table, text, binary, extension, b"\x91" * 2000, b"\x81\x01" * 500])


def random_bytes(chance: random.Random) -> bytes:
    """Noise; never a whole request but by a miracle."""
    return chance.randbytes(chance.randrange(1, 300))


def damaged(chance: random.Random) -> bytes:
    """A call with nonsense, cut or with a few bytes changed before its method's name could become another one."""
    data = bytearray(call_with_nonsense(chance))
    if chance.random() < 0.5:
        return bytes(data[: chance.randrange(len(data))])
    data[chance.randrange(3)] = chance.randrange(256)
    return bytes(data)


KEEPS_CONNECTION: list[Source] = [call_with_nonsense, batch_of_nonsense, unknown_call]
ENDS_CONNECTION: list[Source] = [no_request, huge_header, random_bytes, damaged]


def subscription(chance: random.Random) -> bytes:
    """What a stranger says on the streaming port: streams that do not exist, half a number, noise."""
    number = struct.pack("<I", chance.choice([0, 2**32 - 1, chance.randrange(10**6, 2**32)]))
    return chance.choice([number, number[: chance.randrange(4)], number + chance.randbytes(50), b""])
