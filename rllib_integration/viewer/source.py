"""One world that can be watched: its process, its environment's ring, and what every browser gets of both.

Browsers see a world in one of two ways. *Newest* shows what happens now, and leaves out what it is too slow for.
*Follow* shows one whole episode of an environment, frame by frame at a speed that people can watch, however fast it
was driven, and then the newest one. What was captured of the episode is a `Clip`, which all who follow it share.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from rllib_integration.annotations import Record
from rllib_integration.telemetry.announcement import PAINT_SUFFIX, RING_SUFFIX, Announcement
from rllib_integration.telemetry.messages import Kind, head_of, kind_of, pack
from rllib_integration.telemetry.pictures import message_of
from rllib_integration.telemetry.ring import RingError
from rllib_integration.viewer.clip import Clip, Recent
from rllib_integration.viewer.env_feed import EnvFeed, PaintFeed, open_feed
from rllib_integration.viewer.world_link import WorldLink

logger = logging.getLogger(__name__)

_LINGER_SECONDS = 3.0  # for which a world is kept at hand when nobody looks at it any more, as while a page is reloaded
_FRESH_SECONDS = 10.0  # for which an episode that has ended is still the newest one to somebody who asks for one
_LEAD = 600  # frames kept that came before it was known that an episode had begun with them
_EAGER_SECONDS = 10.0  # for which all frames are heard after an episode that was over before they were
_LAST_FRAME_SECONDS = 1.0  # that the last frame of an episode may come after its last step
_FEWEST_FRAMES = 3  # of an episode worth showing
_MOST_ACTORS = 4000
_MOST_SHAPES = 5000
_STATE_KINDS = (Kind.WORLD, Kind.SIGNALS, Kind.SENSORS, Kind.WEATHER, Kind.STATE)


class Viewer(Protocol):
    """A browser, as a source sees it.

    Attributes:
        follows: Whether it wants whole episodes.
        waits_for: Number of the episode that it has seen, and wants another one than; None if it waits for nothing.
        listens_to: Ids of sensors that it shows.
        selected: Ids of actors that it wants to know more about.
        pictures: Names of pictures that it shows.
    """

    follows: bool
    waits_for: int | None
    listens_to: set[int]
    selected: set[int]
    pictures: set[str]

    def tell(self, message: bytes) -> None:
        """Send this, whatever happens."""

    def offer(self, key: str, message: bytes) -> None:
        """Send this unless something newer of the same key comes first."""

    def play(self, clip: Clip) -> None:
        """Send this episode from its beginning."""

    def wake(self) -> None:
        """Look again whether the episode has more."""


class Source:
    """A world that can be watched.

    Args:
        number: Its number for browsers.
        label: Its name for people.
        host: Of the simulator.
        port: Its RPC port; 0 while it is not known.
        hero_roles: Role names of the vehicle to follow.
        run: Folder of the run that it belongs to.
        announcement: Of its environment, and the file that it stands in.

    Attributes:
        step: The environment's newest step.
        present: Whether the environment is announced; always, for a simulator that was named by its port.
    """

    def __init__(
        self,
        number: int,
        label: str,
        host: str,
        port: int,
        hero_roles: Sequence[str],
        run: Path | None = None,
        announcement: tuple[Announcement, Path] | None = None,
    ) -> None:
        self.number, self.label, self.run = number, label, run
        self.host, self.port = host, port
        self.announcement: Announcement | None = announcement[0] if announcement is not None else None
        self.file: Path | None = announcement[1] if announcement is not None else None
        self.present = True
        self.step: Record = {}
        self.clip: Clip | None = None
        self.recent = Recent()
        self._roles = hero_roles
        self._viewers: set[Viewer] = set()
        self._driver: Viewer | None = None
        self._link: WorldLink | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._feed: EnvFeed | None = None
        self._feed_file = 0
        self._painters: dict[Path, PaintFeed] = {}
        self._state: dict[Kind, bytes] = {}
        self._actors: dict[int, Record] = {}
        self._shapes: list[bytes] = []
        self._episode: bytes | None = None
        self._episode_number = 0
        self._episode_goes_on = False
        self._lead: deque[tuple[int, float, bytes]] = deque(maxlen=_LEAD)
        self._time = 0.0
        self._frame = 0
        self._first_frame = 0  # of the clip: those of the episode before may come later than its news
        self._last_step: tuple[int, float] | None = None  # of the clip: frame, when it has to be there
        self._clip_ended_at = 0.0
        self._eager_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    # Who watches

    @property
    def has_env(self) -> bool:
        """Whether an environment tells of this world, and with it of episodes."""
        return self.announcement is not None

    @property
    def is_elsewhere(self) -> bool:
        """Whether the environment runs on another machine, as where a cluster's runs lie on storage of all nodes."""
        return self.announcement is not None and self.announcement.is_elsewhere()

    @property
    def is_watched(self) -> bool:
        """Whether a browser shows this world."""
        return bool(self._viewers)

    @property
    def world(self) -> Record:
        """What is known of the world: town, key of its mesh, version of the server; nothing before it was met."""
        return head_of(self._state[Kind.WORLD]) if Kind.WORLD in self._state else {}

    def join(self, viewer: Viewer) -> None:
        """Show this world to a browser."""
        self._viewers.add(viewer)
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._start_link()
        self._tell_what_is_known(viewer)
        if viewer.follows:
            viewer.waits_for = -1
            self._serve_followers()
        self.note_wishes()

    def leave(self, viewer: Viewer) -> None:
        """Show it no more."""
        self._viewers.discard(viewer)
        if self._driver is viewer:
            self.control(viewer, {"car": False})
        if not self._viewers and self._linger is None:
            self._linger = asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._stop_link)
        self.note_wishes()

    def note_wishes(self) -> None:
        """Have the world's process do what the browsers want now."""
        shows = "nothing"
        if self._viewers and (self._is_seen_now() or not self.has_env):
            shows = "newest"
        if self._wants_all() and self.has_env:
            shows = "all"
        if self._link is not None:
            listens = sorted({number for viewer in self._viewers for number in viewer.listens_to})
            selected = sorted({number for viewer in self._viewers for number in viewer.selected})
            hero = 0 if self._episode is None else head_of(self._episode).get("hero", 0)  # one of several agents'
            self._link.wish(show=shows, listen=listens, select=selected, follow=hero)

    def command(self, command: Record) -> None:
        """Have the world's process do something."""
        if self._link is not None:
            self._link.command(command)

    def control(self, viewer: Viewer, wish: Record) -> None:
        """Have the world changed as somebody with controls wants it; one browser at a time drives a car."""
        if "car" in wish and (self._driver or viewer) is viewer:
            self._driver = viewer if wish["car"] else None
        elif "car" in wish:
            viewer.tell(pack(Kind.RUN, {"note": "Somebody else drives in this world.", "car": 0}))
            return
        elif "drive" in wish and self._driver is not viewer:
            return
        self.command({"control": wish})

    def _is_seen_now(self) -> bool:
        """Whether a browser shows what happens now, and not an episode that has been captured."""
        return any(not viewer.follows for viewer in self._viewers)

    def _wants_all(self) -> bool:
        """Whether an episode is captured, or is to be as soon as one begins."""
        is_waited_for = any(viewer.waits_for is not None for viewer in self._viewers)
        return self._is_capturing() or is_waited_for or time.monotonic() < self._eager_until

    def _is_capturing(self) -> bool:
        return self.clip is not None and not self.clip.ended

    def _start_link(self) -> None:
        if self._link is None and self.port and not self.is_elsewhere:
            self._link = WorldLink(self.host, self.port, self._roles, self.hear)
            self._link.start()

    def _stop_link(self) -> None:
        link, self._link = self._link, None
        self._linger = None
        self._forget_world()
        if link is not None:
            task = asyncio.get_running_loop().create_task(link.stop())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _forget_world(self) -> None:
        self._state.clear()
        self._actors.clear()
        self._lead.clear()
        self.recent.clear()
        self._last_step = None
        clip, self.clip = self.clip, None
        if clip is not None:
            clip.ended = True
            for viewer in self._viewers:
                viewer.wake()

    async def close(self) -> None:
        """End all that was begun for it."""
        self._stop_link()
        for feed in (self._feed, *self._painters.values()):
            if feed is not None:
                feed.close()
        self._feed = None
        self._painters.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def moved(self, announcement: Announcement, file: Path) -> None:
        """Hear that the environment has another simulator, or another process."""
        before, self.announcement, self.file = self.announcement, announcement, file
        self.present = True
        if (announcement.host, announcement.port) != (self.host, self.port):
            self.host, self.port = announcement.host, announcement.port
            if self._link is not None:
                self._stop_link()
            if self._viewers:
                self._start_link()
                self.note_wishes()
        if before is not None and (before.pid, before.began) != (announcement.pid, announcement.began):
            self._episode_goes_on = False
            self.step = {}

    def gone(self) -> None:
        """Hear that the environment has ended."""
        if self.present:
            self.present = False
            self._end_clip()  # what goes on in its world now is no part of its episode
            self._tell_all(pack(Kind.STATE, {"state": "ended", "reason": "The environment has ended."}))

    # What the world's process says

    def hear(self, message: bytes) -> None:
        """Take in a message of the world's process, or one made of a ring's records."""
        kind = kind_of(message)
        if kind == Kind.FRAME:
            self._hear_frame(message)
        elif kind == Kind.RUN:
            if head_of(message).get("car") == 0:
                self._driver = None
            self._tell_all(message)
        elif kind == Kind.PAINT:
            self._paint([message])
        elif kind == Kind.ACTORS:
            self._note_actors(head_of(message)["actors"])
            self._tell_of_world(message)
        elif kind in (Kind.PICTURE, Kind.POINTS):
            self._hear_picture(message)
        elif kind in _STATE_KINDS:
            if kind == Kind.WORLD:
                self._forget_world()
            self._state[kind] = message
            if kind == Kind.STATE:
                self._tell_all(message)
            else:
                self._tell_of_world(message)
            if kind == Kind.WORLD:
                self._begin_anew()
        else:
            self._remember(message)
            self._tell_newest(message)

    def _tell_of_world(self, message: bytes) -> None:
        """Tell what is needed to understand frames: those who follow an episode hear it as a part of that."""
        if self._is_capturing() and self.clip is not None:
            self.clip.add(self._time, message)
        for viewer in self._viewers:
            if not viewer.follows or viewer.waits_for == -1:
                viewer.tell(message)
            else:
                viewer.wake()

    def _begin_anew(self) -> None:
        """Another world, or the same one once more: only episodes that are being played show the last one."""
        if self._link is not None:
            self._link.repeat_wishes()
        if self._driver is not None:
            self.command({"control": {"car": True}})  # the last one has gone with its world
        self._serve_followers()
        self.note_wishes()

    def _hear_frame(self, message: bytes) -> None:
        head = head_of(message)
        self._frame, self._time = head["f"], head["t"]
        self._remember(message, self._first_frame <= self._frame)
        self._lead.append((self._frame, self._time, message))
        for viewer in self._viewers:
            if not viewer.follows:
                viewer.offer("frame", message)
        if self._last_step is not None and self._frame >= self._last_step[0]:
            self._end_clip()

    def _hear_picture(self, message: bytes) -> None:
        head = head_of(message)
        key = f"picture {head['name']}"
        if len(message) > 400 or "arrays" in head:
            self._remember(message)
        for viewer in self._viewers:
            if not viewer.follows or "arrays" not in head:
                viewer.offer(key, message)

    def _remember(self, message: bytes, is_of_episode: bool = True) -> None:
        self.recent.add(self._time, message)
        if self.clip is not None and not self.clip.ended and is_of_episode:
            self.clip.add(self._time, message)
            for viewer in self._viewers:
                viewer.wake()

    def _note_actors(self, descriptions: Iterable[Record]) -> None:
        for description in descriptions:
            self._actors[description["id"]] = description
        for number in list(self._actors)[: max(0, len(self._actors) - _MOST_ACTORS)]:
            del self._actors[number]

    def _tell_all(self, message: bytes) -> None:
        for viewer in self._viewers:
            viewer.tell(message)

    def _tell_newest(self, message: bytes) -> None:
        for viewer in self._viewers:
            if not viewer.follows:
                viewer.tell(message)

    def introduction(self, with_state: bool = True) -> list[bytes]:
        """All messages that are needed to understand frames of this world.

        Args:
            with_state: Whether to tell also if the world can be reached.
        """
        kinds = [kind for kind in _STATE_KINDS if with_state or kind != Kind.STATE]
        known = [self._state[kind] for kind in kinds if kind in self._state]
        if self._actors:
            known.append(pack(Kind.ACTORS, {"actors": list(self._actors.values())}))
        return known

    @property
    def town(self) -> str:
        """Of the environment's newest episode; empty while that is not known."""
        return "" if self._episode is None else str(head_of(self._episode)["town"])

    @property
    def shapes(self) -> list[bytes]:
        """What was painted and has not been cleared."""
        return list(self._shapes)

    @property
    def episode(self) -> bytes | None:
        """The introduction of the environment's newest episode."""
        return self._episode

    def _tell_what_is_known(self, viewer: Viewer) -> None:
        for message in [*self.introduction(), *self._shapes]:
            viewer.tell(message)
        if self._episode is not None and not viewer.follows:
            viewer.tell(self._episode)
        if self.present and self.is_elsewhere and self.announcement is not None:
            reason = f"This environment runs on {self.announcement.node}; a viewer that is started there shows it."
            viewer.tell(pack(Kind.STATE, {"state": "elsewhere", "reason": reason}))
        if not self.present:
            viewer.tell(pack(Kind.STATE, {"state": "ended", "reason": "The environment has ended."}))

    # What the environment says

    def poll(self) -> None:
        """Read the rings of the environment and of those who paint.

        While nobody sees what happens now, the environment tells only a few of its steps.
        """
        self._poll_painters()
        feed = self._open_feed()
        if feed is None:
            return
        if self._driver is not None:
            feed.ask_pace(1.0)  # nobody could drive among cars that are many times faster than life
        wanted = {name for viewer in self._viewers for name in viewer.pictures}
        for record in feed.read(self._is_seen_now() or self._wants_all()):
            message = message_of(record, wanted)
            if message is None:
                continue
            if record["kind"] == "episode":
                self._hear_episode(record, message)
            elif record["kind"] == "step":
                self._hear_step(record, message)
            else:
                self._hear_picture(message)
        if self._last_step is not None and time.monotonic() > self._last_step[1]:
            self._end_clip()

    def _open_feed(self) -> EnvFeed | None:
        """The feed of the ring that is there now: a new process of the environment has a new one."""
        if self.file is None or self.is_elsewhere:
            return None
        path = self.file.with_suffix(RING_SUFFIX)
        try:
            number = os.stat(path).st_ino
        except OSError:
            number = 0
        if number != self._feed_file:
            if self._feed is not None:
                self._feed.close()
            self._feed = open_feed(path) if number else None
            self._feed_file = number if self._feed is not None else 0
        return self._feed

    def _hear_episode(self, record: Record, message: bytes) -> None:
        self._episode, self._episode_number = message, record["e"]
        self._episode_goes_on = True
        self._tell_newest(message)
        self.recent.add(self._time, message)
        if self._is_capturing() and self.clip is not None and self.clip.number != record["e"]:
            self._end_clip()
        self._serve_followers(begins=record["n"] == 0)
        self.note_wishes()

    def _hear_step(self, record: Record, message: bytes) -> None:
        self.step = record
        self._remember(message)
        for viewer in self._viewers:
            if not viewer.follows:
                viewer.tell(message) if "end" in record else viewer.offer("step", message)
        if "end" in record:
            self._episode_goes_on = False
            if self._is_capturing() and self.clip is not None and self.clip.number == record["e"]:
                self._last_step = (record["f"], time.monotonic() + _LAST_FRAME_SECONDS)
                if self._frame >= record["f"]:
                    self._end_clip()

    # Episodes for those who follow

    def ask_next(self, viewer: Viewer, seen: int) -> None:
        """Give a browser another episode than the one that it has seen, as soon as there is one."""
        viewer.waits_for = seen
        self._serve_followers()
        self.note_wishes()

    def _serve_followers(self, begins: bool = False) -> None:
        """Hand an episode to all who wait for one; begin to capture one where that is possible.

        Args:
            begins: Whether an episode has just begun.
        """
        waiting = [viewer for viewer in self._viewers if viewer.follows and viewer.waits_for is not None]
        if not waiting or Kind.WORLD not in self._state:
            return
        clip = self.clip
        fresh = clip is not None and (not clip.ended or time.monotonic() - self._clip_ended_at < _FRESH_SECONDS)
        left = [viewer for viewer in waiting if not (fresh and clip is not None and clip.number != viewer.waits_for)]
        if left and (clip is None or clip.ended):
            is_anew = clip is None  # nobody has looked before, or another world was loaded
            is_unseen = all(viewer.waits_for != self._episode_number for viewer in left)
            if begins or (is_anew and is_unseen and self._episode_goes_on):
                clip = self._begin_clip(is_whole=begins)
                left = []
        for viewer in waiting:
            if viewer not in left and clip is not None:
                viewer.waits_for = None
                viewer.play(clip)

    def _begin_clip(self, is_whole: bool) -> Clip:
        """Begin to capture the present episode, with those of its frames that are there already."""
        assert self._episode is not None
        clip = self.clip = Clip(self._episode_number, is_whole)
        self._last_step = None
        for message in [*self.introduction(with_state=False), *self._shapes]:
            clip.add(self._time, message)
        clip.add(self._time, self._episode)
        self._first_frame = head_of(self._episode)["f"]
        for number, moment, message in self._lead:
            if number >= self._first_frame:
                clip.add(moment, message)
        self.note_wishes()
        return clip

    def _end_clip(self) -> None:
        self._last_step = None
        if self.clip is not None and not self.clip.ended:
            self.clip.ended = True
            self._clip_ended_at = time.monotonic()
            if sum(entry.message[0] == Kind.FRAME for entry in self.clip.entries) < _FEWEST_FRAMES:
                self._eager_until = self._clip_ended_at + _EAGER_SECONDS
            for viewer in self._viewers:
                viewer.wake()
            self._serve_followers()
            self.note_wishes()

    # Painters

    def set_painters(self, files: Iterable[Path]) -> None:
        """Hear which painters' rings belong to this world."""
        wanted = set(files)
        if self.file is not None:
            wanted.add(self.file.with_suffix(PAINT_SUFFIX))
        for path in self._painters.keys() - wanted:
            self._painters.pop(path).close()
            self._paint([pack(Kind.PAINT, {"shape": "clear", "layer": None})])
        for path in wanted - self._painters.keys():
            with contextlib.suppress(OSError, RingError, ValueError):
                self._painters[path] = PaintFeed(path)

    def _poll_painters(self) -> None:
        for feed in self._painters.values():
            self._paint(feed.read())

    def _paint(self, messages: Iterable[bytes]) -> None:
        for message in messages:
            head = head_of(message)
            if head["shape"] == "clear":
                layer = head["layer"]
                self._shapes = [m for m in self._shapes if layer is not None and head_of(m)["layer"] != layer]
            else:
                self._shapes.append(message)
                del self._shapes[:-_MOST_SHAPES]
            if self._is_capturing() and self.clip is not None:
                self.clip.add(self._time, message)  # kept with the episode, and played with it
            for viewer in self._viewers:
                if viewer.follows and self._is_capturing():
                    viewer.wake()
                else:
                    viewer.tell(message)
