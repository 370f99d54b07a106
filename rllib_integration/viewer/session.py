"""One browser: the world that it shows, and the messages to send to it.

A slow browser delays no other: it gets the newest of live messages when it has received the last ones, and clips at its
own speed. Messages that it must not miss wait in a short queue; if the queue overflows, the session starts again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Any

from aiohttp import WSMsgType, web

from rllib_integration.annotations import Record
from rllib_integration.telemetry.messages import Kind, head_of, kind_of, pack
from rllib_integration.telemetry.replay import WAY_POINTS
from rllib_integration.viewer.clip import Clip
from rllib_integration.viewer.source import Source

logger = logging.getLogger(__name__)

_LONGEST_QUEUE = 4000
_MOST_WISHES = 32


class Session:
    """A browser's socket.

    Args:
        socket: The accepted socket.

    Attributes:
        source: The world that it shows.
        shows_tiles: Whether it shows all environments in brief.
        may_control: Whether it may change a world.
    """

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.source: Source | None = None
        self.shows_tiles = False
        self.may_control = False
        self.follows = False
        self.waits_for: int | None = None
        self.listens_to: set[int] = set()
        self.selected: set[int] = set()
        self.pictures: set[str] = set()
        self.bytes_sent = 0
        self._queue: deque[bytes] = deque()
        self._newest: dict[str, bytes] = {}
        self._clip: Clip | None = None
        self._played: deque[Clip] = deque(maxlen=2)  # the browser shows one while it receives the next
        self._cursor = 0
        self._told_end = False
        self._woken = asyncio.Event()

    # For its source

    def tell(self, message: bytes) -> None:
        self._queue.append(message)
        self._woken.set()
        if len(self._queue) > _LONGEST_QUEUE and self.source is not None:
            logger.info("A browser is too slow; its session starts again.")
            self._queue.clear()
            self.watch(self.source, self.follows)

    def offer(self, key: str, message: bytes) -> None:
        self._newest[key] = message
        self._woken.set()

    def play(self, clip: Clip) -> None:
        self._clip, self._cursor, self._told_end = clip, 0, False
        self._played.append(clip)
        self.tell(_beginning(clip.number, clip.is_whole))

    def wake(self) -> None:
        if self._clip is not None:
            self._woken.set()

    # The browser's commands

    def watch(self, source: Source | None, follow: bool) -> None:
        """Show a world, or none."""
        if self.source is not None:
            self.source.leave(self)
        self._queue.clear()
        self._newest.clear()
        self._clip = None
        self._played.clear()
        self.listens_to.clear()
        self.selected.clear()
        self.source, self.follows = source, follow and source is not None and source.has_env
        self.waits_for = None
        if source is not None:
            self.tell(_beginning(None, False, source.number, self.follows))
            source.join(self)

    def note(self, wishes: Record) -> None:
        """Update the browser's selection."""
        if "listen" in wishes:
            self.listens_to = _numbers(wishes["listen"])
        if "select" in wishes:
            self.selected = _numbers(wishes["select"])
        if "pictures" in wishes:
            self.pictures = {str(name)[:200] for name in list(wishes["pictures"])[:_MOST_WISHES]}
        if "tiles" in wishes:
            self.shows_tiles = bool(wishes["tiles"])
        if self.source is not None:
            self.source.note_wishes()

    def wishes(self) -> Record:
        """What the browser has selected, as the command that `note` takes."""
        selected = {"listen": sorted(self.listens_to), "select": sorted(self.selected)}
        return {"do": "note", **selected, "pictures": sorted(self.pictures)}

    def ask_next(self, seen: int) -> None:
        """Request another episode than the one just seen."""
        if self.source is not None and self.follows:
            self._clip = None
            self.source.ask_next(self, seen)

    def seen(self, number: int | None) -> tuple[dict[str, Any], list[bytes]] | None:
        """The shown episode: its description, and its messages from an introduction on; None if there is none.

        Args:
            number: Number of the episode, if the browser follows an environment.
        """
        source = self.source
        if source is None:
            return None
        if self.follows:
            clip = next((clip for clip in self._played if clip.number == number), None)
            if clip is None:
                return None
            messages = [entry.message for entry in clip.entries]
        else:
            entries = [entry.message for entry in source.recent.entries]
            messages = [*source.introduction(with_state=False), *source.shapes, *entries]
        return {"label": source.label, **outcome_of(messages)}, messages

    # Sending

    async def send(self) -> None:
        """Send until the socket closes."""
        while not self.socket.closed:
            await self._woken.wait()
            self._woken.clear()
            while (message := self._next()) is not None:
                self.bytes_sent += len(message)
                await self.socket.send_bytes(message)  # returns when the browser has received most of it

    def _next(self) -> bytes | None:
        if self._queue:
            return self._queue.popleft()
        if self._newest:
            return self._newest.pop(next(iter(self._newest)))
        clip = self._clip
        if clip is None:
            return None
        if self._cursor < len(clip.entries):
            self._cursor += 1
            return clip.entries[self._cursor - 1].message
        if clip.ended and not self._told_end:
            self._told_end = True
            return pack(Kind.REPLAY, {"ended": clip.number, "full": clip.full})
        return None


def _beginning(number: int | None, is_whole: bool, source: int | None = None, follows: bool | None = None) -> bytes:
    """Announces that the next messages belong to another episode or world."""
    head: Record = {"begins": number, "whole": is_whole}
    if source is not None:
        head |= {"source": source, "follow": follows}
    return pack(Kind.REPLAY, head)


def outcome_of(messages: Iterable[bytes]) -> dict[str, Any]:
    """What the steps among an episode's messages say about how it went: how it ended, return, infractions, its way."""
    about: dict[str, Any] = {}
    way: list[list[float]] = []
    for message in messages:
        kind = kind_of(message)
        if kind == Kind.WORLD:
            about["town"], about["key"] = head_of(message)["town"], head_of(message)["key"]
        elif kind == Kind.STEP:
            step = head_of(message)
            about |= {"end": step.get("end", ""), "steps": step["n"], "return": step["g"], "metrics": step.get("m", {})}
            if "p" in step:
                way.append(step["p"][:2])
    every = max(1, len(way) // WAY_POINTS)
    return {**about, "way": way[::every]}


def _numbers(given: Any) -> set[int]:
    return {int(number) for number in list(given)[:_MOST_WISHES]}


async def read_commands(session: Session, obey: Any) -> None:
    """Run a browser's commands until its socket closes; an invalid command closes it."""
    async for message in session.socket:
        if message.type != WSMsgType.TEXT:
            continue
        try:
            command = message.json()
            if not isinstance(command, dict):
                raise ValueError("a command has to be an object")
            await obey(session, command)
        except (ValueError, TypeError, KeyError) as error:
            logger.warning("A browser sent an invalid command: %s", error)
            await session.socket.close(code=1003, message=b"The command is invalid.")
            return
