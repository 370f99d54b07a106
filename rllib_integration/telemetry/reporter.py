"""Tells viewers what no client of a simulator sees: episodes, rewards, actions, observations, routes.

Every environment has a reporter. It announces where the environment's simulator is (`announcement`), and writes
records into a ring (`ring`) while somebody watches; unwatched, a step costs two look-ups. Records:

    episode  e number, n step, f frame, t simulated seconds, route float32 (n, 3) m, town, sensors name -> [id, type],
             hero its actor's id
    step     e, n, f, t, p [x, y, z m, yaw degrees], v m/s, a action, r reward, g return, parts, i figures of `info`,
             m counts of infractions, end why the episode has ended
    picture  name, f, shape, data uint8

What a reporter can't do, such as write to a full disk, is logged once and costs the environment nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rllib_integration.annotations import Action, Observation, Record, Settings
from rllib_integration.telemetry.announcement import (
    RING_SUFFIX,
    SUFFIX,
    Announcement,
    default_folder,
    own_process,
    read_announcements,
    remove_stale,
    write_announcement,
)
from rllib_integration.telemetry.pictures import message_of
from rllib_integration.telemetry.replay import EpisodeRecorder
from rllib_integration.telemetry.ring import RingWriter
from rllib_integration.telemetry.watched import WatchedWorld

Plain: TypeAlias = "float | str | list[Plain] | dict[str, Plain]"
"""What JSON and MessagePack can carry."""

logger = logging.getLogger(__name__)

_BRIEF_SECONDS = 0.2  # between two steps told to somebody who only wants to know what goes on
_PICTURE_SECONDS = 0.01  # between two steps whose pictures are told
_MOST_FIGURES = 60
_LEAST_PIXELS = 8  # of both sides of an array that is taken for a picture
_LARGEST_PICTURE = 1 << 20  # [bytes]

_naming = threading.Lock()
_numbers = itertools.count(1)


class _Everything:
    """Stands for all names of pictures."""

    def __contains__(self, name: object) -> bool:
        return True


_ALL = _Everything()


class Reporter:
    """Announces one environment and tells what it does.

    Args:
        folder: Where it announces itself; None for the user's own folder on this machine.
        runner: Number of its env runner.
        step_seconds: Simulated seconds between two decisions.
        observation_space: Tells the range of pictures that are no bytes.
        agent: Which of several agents it tells of; empty where there is one.
    """

    def __init__(
        self,
        folder: Path | None,
        runner: int,
        step_seconds: float,
        observation_space: spaces.Space,
        agent: str = "",
    ) -> None:
        self._agent = agent
        self._folder = folder
        self._runner = runner
        self._step_seconds = step_seconds
        self._space = observation_space
        self._announcement: Announcement | None = None
        self._file: Path | None = None
        self._ring: RingWriter | None = None
        self._failed = False
        self._label = ""
        self._episode = -1
        self._step = 0
        self._return = 0.0
        self._introduced = False
        self._told_at = 0.0
        self._due_at = 0.0
        self._pictures_due = 0.0
        self._wish: tuple[Path, Record] | None = None
        self._recorder: EpisodeRecorder | None = None

    # Where it is

    def announce(self, core: WatchedWorld) -> None:
        """Say where the environment's simulator is; does nothing while that is as it was."""
        server = core.server
        if self._failed or server is None:
            return
        place = {"host": server.host, "port": core.server_port, "server": server.kind}
        if self._announcement is not None:
            known = self._announcement
            if (known.host, known.port, known.pid) == (place["host"], place["port"], os.getpid()):
                return
        try:
            self._write(place, {name: sensor.type_id for name, sensor in _shown(core)})
        except OSError as error:
            self._failed = True
            logger.warning("No viewer can find this environment: %s", error)

    def _write(self, place: Settings, sensors: dict[str, str]) -> None:
        folder = default_folder() if self._folder is None else self._folder
        with _naming:
            if self._announcement is None or self._announcement.pid != os.getpid():
                folder.mkdir(parents=True, exist_ok=True)
                remove_stale(folder)
                name = f"{os.getpid()}-{next(_numbers)}"
                known = {other.label for other in read_announcements(folder) if other.kind == "env"}
                self._label = next(label for label in self._labels() if label not in known)
                self._file = folder / f"{name}{SUFFIX}"
                self._ring = RingWriter(folder / f"{name}{RING_SUFFIX}")
            assert self._file is not None
            self._announcement = Announcement(
                name=self._file.stem,
                label=self._label,
                step_seconds=self._step_seconds,
                sensors=sensors,
                **place,
                **own_process(),
            )
            write_announcement(folder, self._announcement)

    def _labels(self) -> Iterator[str]:
        """Its names for people, of which it takes the first one that no other has."""
        stem = f"Runner {self._runner} · " if self._runner else ""
        stem += f"{self._agent} · world" if self._agent else "Environment"
        return (f"{stem} {number}" for number in itertools.count(1))

    def close(self) -> None:
        """Announce the environment no more. Twice is fine."""
        file, self._file, ring, self._ring = self._file, None, self._ring, None
        announced, self._announcement = self._announcement, None
        if ring is None or announced is None or announced.pid != os.getpid():
            return  # a forked copy leaves the original's files alone
        try:
            if file is not None:
                file.unlink(missing_ok=True)
            ring.close()
        except OSError as error:
            logger.info("What a viewer was told could not be removed: %s", error)

    # Recording

    def record_next(self, folder: Path, about: Settings) -> None:
        """Record the episode that begins next, and write it to a folder when it ends.

        Args:
            folder: Is made.
            about: What it is; `label` names it.
        """
        self._wish = folder, dict(about)

    def _begin_recording(self, core: WatchedWorld) -> None:
        wish, self._wish, self._recorder = self._wish, None, None
        if wish is not None:
            with bounded_trouble("An episode can't be recorded"):
                self._recorder = EpisodeRecorder(core, *wish)
                self._record_messages(core, [self._episode_record(core)])

    def _record_messages(self, core: WatchedWorld, records: Iterable[Settings]) -> None:
        assert self._recorder is not None
        messages = (message_of(record, _ALL) for record in records)
        self._recorder.add(core, [message for message in messages if message is not None])

    def _end_recording(self, core: WatchedWorld, end: str) -> None:
        assert self._recorder is not None
        recorder, self._recorder = self._recorder, None
        metrics = {} if core.metrics is None else core.metrics.summary()
        facts = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
        recorder.save(end=end, steps=self._step, **{"return": _rounded(self._return)}, metrics=facts)

    # What it does

    def begin_episode(self, core: WatchedWorld, observation: Observation, sensor_data: Settings) -> None:
        """Hear that an episode has begun; its first observation is there."""
        self.announce(core)
        self._episode += 1
        self._step = 0
        self._return = 0.0
        self._introduced = False
        self._begin_recording(core)
        if self._ring is not None and self._ring.is_watched():
            self._introduce(core)
            if self._ring.is_watched_closely():
                self._tell_pictures(core.frame, observation, sensor_data)

    def note_step(
        self,
        core: WatchedWorld,
        action: Action,
        observation: Observation,
        reward: float,
        end: str | None,
        info: Settings,
        sensor_data: Settings,
    ) -> None:
        """Hear of a decision and what came of it.

        Args:
            core: The world; without its client, where the server was lost.
            action: What was decided.
            observation: What is seen now.
            reward: For it.
            end: Why the episode has ended with it; None if it has not.
            info: Of the step.
            sensor_data: As `CarlaCore.tick` returns it.
        """
        self._step += 1
        self._return += reward
        if self._recorder is not None:
            with bounded_trouble("An episode can't be recorded"):
                records = [
                    self._record(core, action, reward, end, info),
                    *_picture_records(core.frame, observation, {}, self._space),
                ]
                self._record_messages(core, records)
                if end is not None:
                    self._end_recording(core, end)
        ring = self._ring
        if ring is None or not ring.is_watched():
            self._introduced = False
            return
        self._keep_pace(ring.pace())
        if not self._introduced:
            self._introduce(core)
        closely = ring.is_watched_closely()
        now = time.monotonic()
        if not closely and end is None and now - self._told_at < _BRIEF_SECONDS:
            return
        self._told_at = now
        ring.write(self._record(core, action, reward, end, info))
        if closely:
            self._tell_pictures(core.frame, observation, sensor_data)

    def _keep_pace(self, factor: float) -> None:
        """Go no faster than somebody wants who drives a car in this world.

        Args:
            factor: Seconds of simulation for each second of life; 0 for as fast as it goes.
        """
        if factor <= 0.0:
            return
        now = time.monotonic()
        due = max(self._due_at, now - self._step_seconds)  # what is late does not hurry to catch up
        self._due_at = due + self._step_seconds / factor
        if self._due_at > now:
            time.sleep(self._due_at - now)

    def _introduce(self, core: WatchedWorld) -> None:
        assert self._ring is not None
        self._introduced = True
        self._ring.write(self._episode_record(core))

    def _episode_record(self, core: WatchedWorld) -> Record:
        route = core.sensor_interface.route
        points = np.zeros((0, 3), np.float32) if route is None else route.points[:, :3].astype(np.float32)
        sensors = {name: [actor, sensor.type_id] for name, sensor in _shown(core) if (actor := _actor_of(sensor))}
        return {
            "kind": "episode",
            "e": self._episode,
            "n": self._step,
            "f": core.frame,
            "t": _time(core),
            "town": core.town if core.map is not None else "",
            "route": points.tobytes(),
            "sensors": sensors,
            "hero": core.hero.id if core.hero is not None else 0,
        }

    def _record(self, core: WatchedWorld, action: Action, reward: float, end: str | None, info: Settings) -> Record:
        record: Record = {
            "kind": "step",
            "e": self._episode,
            "n": self._step,
            "f": core.frame,
            "a": plain(action),
            "r": _rounded(reward),
            "g": _rounded(self._return),
            "i": dict(_figures(info)),
        }
        hero = core.hero
        if hero is not None and core.world is not None:
            pose, velocity = hero.get_transform(), hero.get_velocity()
            place = pose.location
            record["t"] = _time(core)
            record["p"] = [round(value, 2) for value in (place.x, place.y, place.z, pose.rotation.yaw)]
            record["v"] = round(velocity.length(), 2)
        if info.get("reward_parts"):
            record["parts"] = {name: _rounded(part) for name, part in info["reward_parts"].items()}
        if core.metrics is not None:
            record["m"] = {name: count for name, count in core.metrics.counts.items() if count}
        if end is not None:
            record["end"] = end
        return record

    def _tell_pictures(self, frame: int, observation: object, sensor_data: Settings) -> None:
        assert self._ring is not None
        now = time.monotonic()
        if now >= self._pictures_due:
            self._pictures_due = now + _PICTURE_SECONDS
            for record in _picture_records(frame, observation, sensor_data, self._space):
                self._ring.write(record)


def _picture_records(frame: int, observation: object, sensor_data: Settings, space: spaces.Space) -> Iterator[Record]:
    for name, picture in [*pictures_of(observation, space), *_drawn_here(sensor_data)]:
        if picture.nbytes <= _LARGEST_PICTURE:
            data = np.ascontiguousarray(picture).tobytes()
            yield {"kind": "picture", "name": name, "f": frame, "shape": list(picture.shape), "data": data}


@contextlib.contextmanager
def bounded_trouble(sentence: str) -> Iterator[None]:
    """Tell what goes wrong with a file instead of ending the episode by it."""
    try:
        yield
    except OSError as error:
        logger.warning("%s: %s", sentence, error)


def pictures_of(
    observation: Observation, space: spaces.Space, name: str = "observation"
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The parts of an observation that look like pictures, by name, as bytes.

    Args:
        observation: Of the space.
        space: Its bounds tell what is black and what is white.
        name: Of an observation that is one array; parts of a dictionary have their own.
    """
    if isinstance(space, spaces.Dict):
        for key, below in space.spaces.items():
            yield from pictures_of(observation[key], below, str(key))
    elif isinstance(space, spaces.Tuple):
        for number, below in enumerate(space.spaces):
            yield from pictures_of(observation[number], below, f"{name} {number}")
    elif isinstance(space, spaces.Box) and _is_picture(space.shape):
        array = np.asarray(observation)
        if array.dtype != np.uint8 or float(np.max(space.high)) < 255.0:
            low, high = float(np.min(space.low)), float(np.max(space.high))
            if not np.isfinite([low, high]).all() or low >= high:
                low, high = -1.0, 1.0
            array = ((np.clip(array.astype(np.float32), low, high) - low) * (255.0 / (high - low))).astype(np.uint8)
        yield name, array


def _is_picture(shape: tuple[int, ...]) -> bool:
    sides = sorted(shape)[-2:]
    return len(shape) in (2, 3) and sides[0] >= _LEAST_PIXELS


def _drawn_here(sensor_data: Settings) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Pictures of sensors that are no actors of the simulator, which nobody else can listen to: bird views."""
    for name, datum in sensor_data.items():
        data = datum[1] if isinstance(datum, tuple) and len(datum) == 2 else None
        if isinstance(data, np.ndarray) and data.dtype == np.uint8 and _is_picture(data.shape):
            yield f"sensor {name}", data


def _shown(core: WatchedWorld) -> Iterator[tuple[str, Any]]:
    """The hero's sensors that experiments know of."""
    for name, sensor in core.sensor_interface.sensors.items():
        if not name.startswith("_"):
            yield name, sensor


def _actor_of(sensor: object) -> int:
    """Id of a sensor's actor in the simulator; 0 for one that is computed here."""
    actor = getattr(sensor, "sensor", None)
    return int(actor.id) if actor is not None else 0


def _time(core: WatchedWorld) -> float:
    """Simulated seconds of the newest frame."""
    return round(float(core.world.get_snapshot().timestamp.elapsed_seconds), 4) if core.world is not None else 0.0


def _rounded(number: float) -> float:
    value = round(float(number), 4)
    return value if np.isfinite(value) else 0.0


def plain(value: Any) -> Plain:
    """An action as numbers, lists and dictionaries of them, not too many."""
    if isinstance(value, np.ndarray):
        return [_rounded(part) for part in value.ravel()[:16]] if value.ndim else plain(value.item())
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in list(value.items())[:16]}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value[:16]]
    if isinstance(value, (bool, np.bool_, int, np.integer)):
        return int(value)
    with contextlib.suppress(TypeError, ValueError):
        return _rounded(float(value))
    return str(value)[:60]


def _figures(info: Settings, above: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a step's `info` by name, those of dictionaries in it as `name/key`."""
    left = _MOST_FIGURES
    for name, value in info.items():
        if name in ("reward_parts", "episode_metrics", "servers", "situation") or left <= 0:
            continue
        if isinstance(value, Mapping) and not above:
            below = list(_figures(value, f"{name}/"))[:left]
            left -= len(below)
            yield from below
        elif isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating)) and np.isfinite(value):
            left -= 1
            yield f"{above}{name}", _rounded(float(value))
