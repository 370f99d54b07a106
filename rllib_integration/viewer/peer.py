"""Viewers of other machines: this one shows what they show, so that a browser needs one address alone.

An environment tells of itself through memory of its own machine, and simulators listen on loopback. So each machine has
a viewer of its own, and this one passes on what goes between a browser and that viewer. Numbers of worlds and recorded
episodes are those of the other viewer, moved by a constant.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import aiohttp

from rllib_integration.annotations import Record
from rllib_integration.telemetry.messages import Kind, head_of, kind_of, pack
from rllib_integration.viewer.cluster import PeerAddress
from rllib_integration.viewer.session import Session

logger = logging.getLogger(__name__)

SPACING = 1_000_000  # between the numbers of two peers
_PAUSE_SECONDS = 1.0  # before a lost connection is tried again
_HEARTBEAT_SECONDS = 20.0
_PASSED_NEWS = {"note", "car", "kept", "replays"}  # of `Kind.RUN`; the others are about the other viewer's own runs
_LOST = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


class Peer:
    """A viewer of another machine.

    Args:
        number: Its own, from 1 on.
        address: Where it is.
        changed: Called when its environments have changed.

    Attributes:
        sources: What it can show, as `Kind.HELLO` describes it, with numbers for browsers of this viewer.
        tiles: Its environments in brief, as in `Kind.TILES`.
    """

    def __init__(self, number: int, address: PeerAddress, changed: Callable[[], None]) -> None:
        self.number, self.address = number, address
        self.sources: list[Record] = []
        self.tiles: list[Record] = []
        self._changed = changed
        self._shows_tiles = False
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        parts = urlsplit(address.url)
        self._token = parts.fragment.removeprefix("token=")
        self._http = aiohttp.ClientSession(
            f"{parts.scheme}://{parts.netloc}",
            headers={"Authorization": f"Bearer {self._token}"},
            auto_decompress=False,
        )
        self._task = asyncio.create_task(self._keep_listening())

    @property
    def is_closed(self) -> bool:
        """Whether it is heard of no more."""
        return self._http.closed

    async def close(self) -> None:
        """Hear of it no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._http.close()

    async def show_tiles(self, on: bool) -> None:
        """Have it tell of its environments in brief, which costs them some steps' records."""
        if on != self._shows_tiles:
            self._shows_tiles = on
            if self._socket is not None:
                with contextlib.suppress(*_LOST):
                    await self._socket.send_json({"do": "note", "tiles": on})

    async def fetch(self, path: str) -> bytes | None:
        """The body of an address as it is sent, compressed or not; None where there is no such thing."""
        try:
            async with self._http.get(path, headers={"Accept-Encoding": "identity"}) as answer:
                return await answer.read() if answer.ok else None
        except _LOST:
            return None

    async def _keep_listening(self) -> None:
        while True:
            try:
                async with self.connect() as self._socket:
                    await self._socket.send_json({"do": "note", "tiles": self._shows_tiles})
                    async for message in self._socket:
                        if message.type == aiohttp.WSMsgType.BINARY:
                            self._hear(message.data)
            except _LOST as error:
                logger.info("The viewer of %s can't be reached: %s", self.address.node, error)
            self._socket = None
            self._set_sources([{**source, "present": False} for source in self.sources])
            await asyncio.sleep(_PAUSE_SECONDS)

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A socket to it, as a browser has one."""
        async with self._http.ws_connect("/socket", heartbeat=_HEARTBEAT_SECONDS, max_msg_size=0) as connection:
            await connection.send_json({"token": self._token})
            yield connection

    def _hear(self, message: bytes) -> None:
        kind = kind_of(message)
        if kind == Kind.HELLO:
            here = [source for source in head_of(message)["sources"] if not source["away"]]
            self._set_sources([{**source, "node": self.address.node} | self._renumbered(source) for source in here])
        elif kind == Kind.TILES:
            self.tiles = [{**tile} | self._renumbered(tile) for tile in head_of(message)["tiles"]]

    def _renumbered(self, described: Record) -> Record:
        return {"id": self.number * SPACING + described["id"]}

    def _set_sources(self, sources: list[Record]) -> None:
        if sources != self.sources:
            self.sources = sources
            self._changed()


class Relay:
    """A browser's way to a world of a peer, until it is closed.

    Args:
        peer: The other viewer.
        session: The browser.
        number: The world's number for browsers of this viewer.
        follow: Whether the browser wants whole episodes.
    """

    def __init__(self, peer: Peer, session: Session, number: int, follow: bool) -> None:
        self._peer, self._session, self._number = peer, session, number
        self._watch = {"do": "watch", "source": number % SPACING, "follow": follow}
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._task = asyncio.create_task(self._keep_passing())

    async def close(self) -> None:
        """Pass on no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def send(self, command: Record) -> None:
        """Pass a browser's command on. What it has chosen is kept in its session, and said again after a loss."""
        if self._socket is not None:
            with contextlib.suppress(*_LOST):
                await self._socket.send_json({name: value for name, value in command.items() if name != "tiles"})

    async def _keep_passing(self) -> None:
        session = self._session
        while not (session.socket.closed or self._peer.is_closed):
            try:
                async with self._peer.connect() as connection:
                    await connection.send_json(self._watch)
                    await connection.send_json(session.wishes())
                    self._socket = connection
                    await self._pass(connection)
            except _LOST as error:
                logger.info("A way to %s was lost: %s", self._peer.address.node, error)
            self._socket = None
            reason = f"The viewer on {self._peer.address.node} can't be reached. Trying again."
            session.tell(pack(Kind.STATE, {"state": "elsewhere", "reason": reason}))
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _pass(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        """Pass on what the other viewer sends, no faster than the browser takes it."""
        async for message in connection:
            if message.type == aiohttp.WSMsgType.BINARY:
                body = self._for_browser(message.data)
                if body is not None:
                    await self._session.socket.send_bytes(body)

    def _for_browser(self, message: bytes) -> bytes | None:
        kind = kind_of(message)
        if kind in (Kind.HELLO, Kind.TILES) or (kind == Kind.RUN and not head_of(message).keys() & _PASSED_NEWS):
            return None
        if kind == Kind.REPLAY and "source" in head_of(message):
            return pack(kind, {**head_of(message), "source": self._number})
        return message
