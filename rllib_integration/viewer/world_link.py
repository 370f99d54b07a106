"""The viewer's end of a world's process: starts it, receives its messages, and replaces it when it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Sequence

from rllib_integration.annotations import Record
from rllib_integration.processes.helper_process import HelperProcess
from rllib_integration.viewer.world_process import LEAVE_SECONDS, LENGTH

logger = logging.getLogger(__name__)

_MODULE = "rllib_integration.viewer.world_process"
_PAUSES = (0.2, 1.0, 2.0, 5.0)  # [s] before the next process, after 1, 2, ... short-lived ones in a row
_LONG_LIFE = 10.0  # [s] of a process that is not short-lived
_LARGEST = 1 << 28


class WorldLink:
    """Keeps one process watching one simulator, from `start` to `stop`.

    Args:
        host: Host of the simulator.
        port: Its RPC port.
        hero_roles: Role names of the vehicle to follow.
        hear: Called with each message.
    """

    def __init__(self, host: str, port: int, hero_roles: Sequence[str], hear: Callable[[bytes], None]) -> None:
        self.host, self.port = host, port
        self._options = {"host": host, "port": port, "hero_roles": list(hero_roles)}
        self._hear = hear
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._wishes: Record = {}

    def start(self) -> None:
        """Begin to watch. Twice is fine."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_watching())

    async def stop(self) -> None:
        """End the process. Calling it again does nothing."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def wish(self, **wishes: object) -> None:
        """Set which messages the process and its successors send."""
        changed = {name: value for name, value in wishes.items() if self._wishes.get(name) != value}
        self._wishes |= changed
        if changed:
            self.command(changed)

    def repeat_wishes(self) -> None:
        """Send all wishes again, to a process that has just connected to its world."""
        self.command(self._wishes)

    def command(self, command: Record) -> None:
        """Send a command to the process, if there is one."""
        if self._writer is not None and command:
            body = json.dumps(command).encode()
            self._writer.write(LENGTH.pack(len(body)) + body)

    async def _keep_watching(self) -> None:
        short_lives = 0
        while True:
            began = time.monotonic()
            await self._watch_once()
            short_lives = 0 if time.monotonic() - began > _LONG_LIFE else short_lives + 1
            await asyncio.sleep(_PAUSES[min(short_lives, len(_PAUSES)) - 1] if short_lives else _PAUSES[0])

    async def _watch_once(self) -> None:
        """Run one process until it ends."""
        called = f"The process that watches {self.host}:{self.port}"
        helper = HelperProcess(_MODULE, [json.dumps(self._options)], called, shows_errors=True)
        try:
            reader, self._writer = await asyncio.open_connection(sock=helper.connection, limit=1 << 22)
            await self._read(reader)
        finally:
            if self._writer is not None:
                self._writer.transport.abort()
                self._writer = None
            await asyncio.to_thread(helper.stop, LEAVE_SECONDS)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                if length > _LARGEST:
                    logger.warning(
                        "The process that watches %s:%d sent %d bytes at once.", self.host, self.port, length
                    )
                    return
                self._hear(await reader.readexactly(length))
