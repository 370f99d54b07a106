"""All that can be watched: simulators named by their ports, and environments that announce themselves."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rllib_integration.annotations import Record
from rllib_integration.telemetry.announcement import (
    LIVE_FOLDER,
    PAINT_SUFFIX,
    SUFFIX,
    Announcement,
    default_folder,
    read_announcements,
)
from rllib_integration.telemetry.messages import Kind, pack
from rllib_integration.telemetry.replay import default_replays
from rllib_integration.telemetry.town_mesh import is_key, load_town
from rllib_integration.viewer.cluster import PeerAddress
from rllib_integration.viewer.peer import SPACING, Peer
from rllib_integration.viewer.replays import Replays
from rllib_integration.viewer.run_record import RunRecords
from rllib_integration.viewer.session import Session
from rllib_integration.viewer.source import Source

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.025  # between two looks into the rings of what is shown: memory of other processes, without events
_TILE_SECONDS = 0.25
_SCAN_SECONDS = 1.0  # between two looks at the folders of announcements


@dataclass(frozen=True)
class Address:
    """A simulator that was named by its port.

    Attributes:
        host: Its machine.
        port: Its RPC port.
    """

    host: str
    port: int


class Hub:
    """What can be watched, and who watches it.

    Args:
        addresses: Simulators to show.
        folders: Runs, and folders of runs, also of such that begin later.
        hero_roles: Role names of the vehicle to follow.
        everything: Whether environments that belong to no run are shown, too.

    Attributes:
        peers: Viewers of other machines, by the machine's name.
    """

    def __init__(
        self, addresses: Sequence[Address], folders: Sequence[Path], hero_roles: Sequence[str], everything: bool
    ) -> None:
        self._places = list(folders)
        self.runs = runs_in(folders)
        self.sessions: set[Session] = set()
        self.peers: dict[str, Peer] = {}
        self.replays = Replays(default_replays())
        self.records = RunRecords()
        self._roles = hero_roles
        self._everything = everything
        self._compares = not everything and len(self.runs) > 1
        self._numbers = itertools.count()
        self._peer_numbers = itertools.count(1)
        self._by_address: dict[Address, Source] = {}
        self._by_file: dict[Path, Source] = {}
        self._tasks: list[asyncio.Task[None]] = []
        for address in addresses:
            label = f"{address.host}:{address.port}"
            self._by_address[address] = Source(next(self._numbers), label, address.host, address.port, hero_roles)

    def start(self) -> None:
        """Begin to look around."""
        self.scan()
        loops = ((self._poll, _POLL_SECONDS), (self._tell_tiles, _TILE_SECONDS), (self._look_around, _SCAN_SECONDS))
        self._tasks = [asyncio.create_task(_repeat(work, seconds)) for work, seconds in loops]

    async def close(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for source in self.sources:
            await source.close()
        await self.set_peers(())

    async def set_peers(self, addresses: Iterable[PeerAddress]) -> None:
        """Show what the viewers of other machines show."""
        wanted = {address.node: address for address in addresses}
        for node, peer in list(self.peers.items()):
            if wanted.get(node) != peer.address:
                await self.peers.pop(node).close()
        for node in wanted.keys() - self.peers.keys():
            self.peers[node] = Peer(next(self._peer_numbers), wanted[node], lambda: self.tell_all(self.hello()))
        self.tell_all(self.hello())

    def peer(self, number: int) -> Peer | None:
        """The viewer of another machine that a world or an episode of this number belongs to."""
        return next((peer for peer in self.peers.values() if peer.number == number // SPACING), None)

    async def fetch_town(self, key: str) -> bytes | None:
        """The compressed mesh of a town that was met here or on another machine."""
        body = load_town(key)
        if body is None and is_key(key):
            found = await asyncio.gather(*(peer.fetch(f"/town/{key}") for peer in self.peers.values()))
            body = next(filter(None, found), None)
        return body

    async def list_replays(self) -> list[Record]:
        """The recorded episodes of here and of other machines, the newest first; see `Replays.listed`."""
        await asyncio.to_thread(self.replays.look, self.runs)
        rows = {row["file"]: row for row in self.replays.listed()}
        for peer in self.peers.values():
            for row in json.loads(await peer.fetch("/replays") or b"[]"):
                rows.setdefault(row["file"], {**row, "number": peer.number * SPACING + row["number"]})
        return sorted(rows.values(), key=lambda row: -row["saved"])

    async def fetch_replay(self, number: int) -> bytes | None:
        """The gzip file of a recorded episode; None if there is none."""
        if number < SPACING:
            return await asyncio.to_thread(self.replays.read, number)
        peer = self.peer(number)
        return None if peer is None else await peer.fetch(f"/replay/{number % SPACING}")

    @property
    def sources(self) -> list[Source]:
        """All that can be watched, those named by ports first."""
        return [*self._by_address.values(), *self._by_file.values()]

    def source(self, number: int) -> Source | None:
        """The one of a number."""
        return next((source for source in self.sources if source.number == number), None)

    def _folders(self) -> list[tuple[Path, Path | None]]:
        """Folders with announcements, and the run that each belongs to."""
        own: list[tuple[Path, Path | None]] = [(default_folder(), None)] if self._everything else []
        return [*((run / LIVE_FOLDER, run) for run in self.runs), *own]

    def scan(self) -> bool:
        """Look at the announcements; whether anything has changed."""
        found: dict[Path, tuple[Announcement, Path | None]] = {}
        runs_before, self.runs = self.runs, runs_in(self._places)
        for folder, run in self._folders():
            for announcement in read_announcements(folder):
                found[folder / f"{announcement.name}{SUFFIX}"] = announcement, run
        changed = self.runs != runs_before
        for file, (announcement, run) in found.items():
            if announcement.kind == "env":
                changed |= self._note(file, announcement, run)
        for file in self._by_file.keys() - found.keys():
            changed |= self._lose(file)
        self._share_out_painters(found)
        return changed

    def _note(self, file: Path, announcement: Announcement, run: Path | None) -> bool:
        source = self._by_file.get(file)
        if source is None:
            label = announcement.label or announcement.name
            self._by_file[file] = Source(
                next(self._numbers),
                label,
                announcement.host,
                announcement.port,
                self._roles,
                run,
                (announcement, file),
            )
            return True
        if source.announcement == announcement and source.present:
            return False
        source.moved(announcement, file)
        return True

    def _lose(self, file: Path) -> bool:
        source = self._by_file[file]
        had_been_there = source.present
        source.gone()
        if source.is_watched:
            return had_been_there
        del self._by_file[file]
        asyncio.get_running_loop().create_task(source.close())
        return True

    def _share_out_painters(self, found: dict[Path, tuple[Announcement, Path | None]]) -> None:
        """Show shapes of scripts in every world of the simulator that they name."""
        painters: dict[tuple[str, int], list[Path]] = {}
        everywhere = {file: announcement for file, (announcement, _) in found.items() if announcement.kind == "painter"}
        if not self._everything:
            folder = default_folder()
            everywhere |= {
                folder / f"{announcement.name}{SUFFIX}": announcement
                for announcement in read_announcements(folder)
                if announcement.kind == "painter"
            }
        for file, announcement in everywhere.items():
            place = _plain(announcement.host), announcement.port
            painters.setdefault(place, []).append(file.with_suffix(PAINT_SUFFIX))
        for source in self.sources:
            source.set_painters(painters.get((_plain(source.host), source.port), ()))

    # What is done again and again

    async def _poll(self) -> None:
        for source in self.sources:
            if source.is_watched:
                source.poll()

    async def _look_around(self) -> None:
        if not self.sessions:
            return
        if self.scan():
            self.tell_all(self.hello())
        if self.replays.look(self.runs):
            self.tell_all(pack(Kind.RUN, {"replays": True}))
        changed = self.records.changed(self.runs)
        if changed:
            self.tell_all(pack(Kind.RUN, {"changed": changed}))

    async def _tell_tiles(self) -> None:
        watchers = [session for session in self.sessions if session.shows_tiles]
        for peer in self.peers.values():
            await peer.show_tiles(bool(watchers))
        if not watchers:
            return
        tiles = [tile for peer in self.peers.values() for tile in peer.tiles]
        for source in self.sources:
            if source.has_env and not source.is_watched:
                source.poll()
            if source.step:
                names = ("e", "n", "p", "v", "r", "g", "end", "t")
                step = {name: source.step.get(name) for name in names}
                tiles.append({"id": source.number, "town": source.town, **step})
        message = pack(Kind.TILES, {"tiles": tiles})
        for session in watchers:
            session.offer("tiles", message)

    def hello(self) -> bytes:
        """What there is."""
        own = [self._description(source) for source in self.sources]
        sources = [source for source in own if not (source["away"] and source["node"] in self.peers)]
        for peer in self.peers.values():
            sources += peer.sources
        return pack(Kind.HELLO, {"sources": sources, **self.more_to_say()})

    def _description(self, source: Source) -> Record:
        announcement = source.announcement
        return {
            "id": source.number,
            "label": source.label,
            "run": self.name_of(source.run) if source.run is not None else None,
            "env": source.has_env,
            "present": source.present,
            "node": announcement.node if announcement is not None and source.is_elsewhere else "",
            "away": source.is_elsewhere,
            "host": source.host,
            "port": source.port,
            "server": announcement.server if announcement is not None else "",
            "step": announcement.step_seconds if announcement is not None else 0.0,
            "sensors": announcement.sensors if announcement is not None else {},
        }

    def more_to_say(self) -> Record:
        """What else a browser has to know at first."""
        runs = [{"number": self.records.number(run), "name": self.name_of(run)} for run in self.runs]
        return {"runs": runs, "keeps": True, "compare": self._compares}

    def town_keys(self) -> dict[str, str]:
        """Keys of the meshes of towns that were met here, or driven in by recorded episodes."""
        met = [*self.replays.listed(), *(source.world for source in self.sources)]
        return {one["town"]: one["key"] for one in met if "town" in one and "key" in one}

    def name_of(self, run: Path) -> str:
        """A run's name; with that of the folder above it, where two have the same."""
        is_only = sum(other.name == run.name for other in self.runs) < 2
        return run.name if is_only else f"{run.parent.name}/{run.name}"

    def tell_all(self, message: bytes) -> None:
        """Send this to every browser."""
        for session in self.sessions:
            session.tell(message)


def _plain(host: str) -> str:
    """One name for all names of this machine's loopback."""
    return "localhost" if host in ("127.0.0.1", "localhost", "::1", "") else host


async def _repeat(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Do something again and again; a failure is told and does not end it."""
    while True:
        try:
            await work()
        except Exception:
            logger.exception("The viewer failed at something; it goes on.")
        await asyncio.sleep(seconds)


def runs_in(folders: Iterable[Path]) -> list[Path]:
    """The runs that folders are, or hold."""
    found: list[Path] = []
    for folder in folders:
        if (folder / "config.yaml").is_file() or (folder / LIVE_FOLDER).is_dir():
            found.append(folder)
        else:
            found += sorted(path.parent for path in folder.glob("*/config.yaml"))
            found += sorted(path.parent for path in folder.glob(f"*/{LIVE_FOLDER}"))
    return list(dict.fromkeys(path.resolve() for path in found))
