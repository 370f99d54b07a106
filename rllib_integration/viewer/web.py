"""The viewer's web server: the page, the towns, and one socket for each browser."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import logging
import mimetypes
import socket as sockets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from rllib_integration.annotations import Record
from rllib_integration.telemetry.messages import Kind, pack
from rllib_integration.viewer.guards import Guards
from rllib_integration.viewer.hub import Hub
from rllib_integration.viewer.peer import Relay
from rllib_integration.viewer.run_record import describe_run
from rllib_integration.viewer.session import Session, read_commands

logger = logging.getLogger(__name__)

PAGE = Path(__file__).with_name("page")
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
_FRESH = {"Cache-Control": "no-store"}
_HELLO_SECONDS = 20.0
_SEND_BUFFER = 1 << 18  # [bytes] that the system keeps for a slow browser
_WRONG_TOKEN = 4401
_LARGEST_COMMAND = 1 << 16

Command = Callable[[Session, Record], Awaitable[None]]


class PageFile(NamedTuple):
    """A file of the page, ready to be sent."""

    body: bytes
    compressed: bytes
    kind: str
    tag: str


def page_files(folder: Path = PAGE) -> dict[str, PageFile]:
    """All files of the page by their addresses; requests never contain paths."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            body = path.read_bytes()
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            kind = {".js": "text/javascript", ".woff2": "font/woff2"}.get(path.suffix, kind)
            compressed = body if path.suffix == ".woff2" else gzip.compress(body, 6, mtime=0)
            tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            files["/" + path.relative_to(folder).as_posix()] = PageFile(body, compressed, kind, tag)
    files["/"] = files["/index.html"]
    return files


class ViewerApp:
    """The server's application.

    Args:
        hub: The worlds and runs.
        guards: The access rules.
    """

    def __init__(self, hub: Hub, guards: Guards) -> None:
        self.hub, self.guards = hub, guards
        self._files = page_files()
        self._relays: dict[Session, Relay] = {}
        self._commands: dict[str, Command] = {
            "watch": self._watch,
            "note": self._note,
            "next": self._next,
            "keep": self._keep,
            "control": self._control,
        }
        self.app = web.Application(middlewares=[guards.middleware()])
        self.app.router.add_get("/socket", self._socket)
        self.app.router.add_get("/town/{key}", self._town)
        self.app.router.add_get("/run/{number:[0-9]{1,9}}", self._run)
        self.app.router.add_get("/run/{number:[0-9]{1,9}}/curves", self._curves)
        self.app.router.add_get("/replays", self._replays)
        self.app.router.add_get("/replay/{number:[0-9]{1,9}}", self._replay)
        self.app.router.add_get("/{path:.*}", self._page)
        self.app.on_startup.append(self._start)
        self.app.on_shutdown.append(self._end)

    async def _start(self, _: web.Application) -> None:
        self.hub.start()

    async def _end(self, _: web.Application) -> None:
        for session in list(self.hub.sessions):
            await session.socket.close(code=1001, message=b"The viewer ends.")
        await self.hub.close()

    async def _page(self, request: web.Request) -> web.Response:
        file = self._files.get(request.path)
        if file is None:
            raise web.HTTPNotFound(text="There is no such file.")
        headers = {"Cache-Control": "no-cache", "ETag": file.tag, "Vary": "Accept-Encoding"}
        if request.headers.get("If-None-Match") == file.tag:
            return web.Response(status=304, headers=headers)
        compress = file.compressed is not file.body and "gzip" in request.headers.get("Accept-Encoding", "")
        if compress:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=file.compressed if compress else file.body, content_type=file.kind, headers=headers)

    async def _town(self, request: web.Request) -> web.Response:
        self.guards.check_token(request)
        body = await self.hub.fetch_town(request.match_info["key"])
        if body is None:
            raise web.HTTPNotFound(text="There is no such town.")
        headers = {**_IMMUTABLE, "Content-Encoding": "deflate"}
        return web.Response(body=body, content_type="application/octet-stream", headers=headers)

    def _run_of(self, request: web.Request) -> Path:
        self.guards.check_token(request)
        run = self.hub.records.run(int(request.match_info["number"]))
        if run is None:
            raise web.HTTPNotFound(text="This run no longer exists.")
        return run

    async def _run(self, request: web.Request) -> web.Response:
        description = await asyncio.to_thread(describe_run, self._run_of(request))
        return web.json_response({**description, "town_keys": self.hub.town_keys()}, headers=_FRESH)

    async def _curves(self, request: web.Request) -> web.Response:
        return web.json_response(self.hub.records.curves(self._run_of(request)), headers=_FRESH)

    async def _replays(self, request: web.Request) -> web.Response:
        self.guards.check_token(request)
        return web.json_response(await self.hub.list_replays(), headers=_FRESH)

    async def _replay(self, request: web.Request) -> web.Response:
        self.guards.check_token(request)
        body = await self.hub.fetch_replay(int(request.match_info["number"]))
        if body is None:
            raise web.HTTPNotFound(text="This episode no longer exists.")
        headers = {**_FRESH, "Content-Encoding": "gzip"}
        return web.Response(body=body, content_type="application/octet-stream", headers=headers)

    # Sockets

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, heartbeat=20.0, max_msg_size=_LARGEST_COMMAND)
        await socket.prepare(request)
        _bound_buffer(request)
        try:
            greeting = await asyncio.wait_for(socket.receive_json(), _HELLO_SECONDS)
            token = greeting.get("token") if isinstance(greeting, dict) else None
        except (asyncio.TimeoutError, TypeError, ValueError):
            await socket.close(code=1002, message=b"There was no greeting.")
            return socket
        if not self.guards.may_look(token):
            await socket.close(code=_WRONG_TOKEN, message=b"The token is wrong.")
            return socket
        session = Session(socket)
        session.may_control = self.guards.may_control(token)
        await self._serve(session)
        return socket

    async def _serve(self, session: Session) -> None:
        self.hub.sessions.add(session)
        self.hub.scan()
        session.tell(self.hub.hello())
        if session.may_control:
            session.tell(pack(Kind.RUN, {"controls": True}))
        sender = asyncio.create_task(session.send())
        try:
            await read_commands(session, self._obey)
        finally:
            self.hub.sessions.discard(session)
            session.watch(None, False)
            await self._end_relay(session)
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sender

    async def _obey(self, session: Session, command: Record) -> None:
        await self._commands[command["do"]](session, command)
        relay = self._relays.get(session)
        if relay is not None and command["do"] != "watch" and (command["do"] != "control" or session.may_control):
            await relay.send(command)

    async def _watch(self, session: Session, command: Record) -> None:
        await self._end_relay(session)
        follow = bool(command.get("follow"))
        number = -1 if command.get("source") is None else int(command["source"])
        session.watch(self.hub.source(number), follow)
        peer = self.hub.peer(number)
        if peer is not None:
            self._relays[session] = Relay(peer, session, number, follow)

    async def _end_relay(self, session: Session) -> None:
        relay = self._relays.pop(session, None)
        if relay is not None:
            await relay.close()

    async def _note(self, session: Session, command: Record) -> None:
        session.note(command)

    async def _next(self, session: Session, command: Record) -> None:
        session.ask_next(int(command["seen"]))

    async def _control(self, session: Session, command: Record) -> None:
        if session.may_control and session.source is not None:
            session.source.control(session, dict(command["wish"]))

    async def _keep(self, session: Session, command: Record) -> None:
        number = command.get("seen")
        seen = session.seen(None if number is None else int(number))
        if seen is None or session.source is None:
            return
        about, messages = seen
        try:
            path = await asyncio.to_thread(self.hub.replays.keep, session.source.run, about, messages)
        except OSError as error:
            session.tell(pack(Kind.RUN, {"note": f"The episode can't be kept: {error.strerror or error}."}))
            return
        session.tell(pack(Kind.RUN, {"replays": True, "note": f"Kept as {path.name}", "kept": path.name}))


def _bound_buffer(request: web.Request) -> None:
    """Limit the system's send buffer: a browser that pauses would else show old frames when it resumes."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, _SEND_BUFFER)
