"""Writes the running episode to a recording, tick by tick."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minicarla.physics import parameters
from minicarla.physics.state import OBSTACLE_KIND, VEHICLE_KIND
from minicarla.physics.telemetry import wheel_steer_angles
from minicarla.protocol.values import PackValue
from minicarla.world.actors import LIGHT_KIND, Actor, Table
from minicarla.world.recording.file_format import (
    BODY_FRAME,
    BONES,
    COLLIDE,
    CREATE,
    DESTROY,
    LAMP,
    LIGHT_FRAME,
    VEHICLE_FRAME,
    Event,
    Frame,
    RecordingWriter,
)

if TYPE_CHECKING:
    from minicarla.world.episode import Episode
    from minicarla.world.skeletons import GivenPose


class Recorder:
    """Records one episode from now on.

    Args:
        path: The file.
        episode: The episode.
        additional: Whether reports tell speeds, boxes, physics, times of traffic lights and bones, too.

    Raises:
        RecordingError: The file cannot be written.
    """

    def __init__(self, path: Path, episode: Episode, additional: bool = False) -> None:
        self._writer = RecordingWriter(path, episode.town.map_name, additional)
        self._additional = additional
        self._began = episode.elapsed
        self._began_platform = time.monotonic()
        self._known: dict[int, Actor] = {}
        self._bones: dict[int, GivenPose] = {}
        self._lamps, self._lamp_changes = dict(episode.street_lights.lamps), episode.street_lights.changes
        self._spectator = next(actor for actor in episode.actors.values() if actor.type_id == "spectator")
        self._record(episode, self._take_stock(episode) + self._changed_bones(episode))

    def tick(self, episode: Episode) -> None:
        """Write the tick that just ended."""
        events = self._take_stock(episode) if self._actors_changed(episode) else []
        events += self._collisions(episode) + self._changed_lamps(episode) + self._changed_bones(episode)
        self._record(episode, events)

    def close(self) -> None:
        """End the recording."""
        self._writer.close()

    def _actors_changed(self, episode: Episode) -> bool:
        return episode.changed or len(self._known) != len(episode.actors)

    def _take_stock(self, episode: Episode) -> list[Event]:
        gone = [[DESTROY, number] for number in self._known if number not in episode.actors]
        new: list[Event] = [
            [
                CREATE,
                actor.id,
                actor.type_id,
                dict(actor.attributes),
                [list(part) for part in episode.pose(actor)],
                actor.parent_id,
                [list(actor.attachment.location), list(actor.attachment.rotation), actor.attachment.type]
                if actor.attachment
                else None,
                [list(part) for part in actor.box[:2]],
                self._details(episode, actor) if self._additional else None,
            ]
            for actor in episode.actors.values()
            if actor.id not in self._known
        ]
        self._known = dict(episode.actors)
        return gone + new

    def _changed_lamps(self, episode: Episode) -> list[Event]:
        street_lights = episode.street_lights
        if self._lamp_changes == street_lights.changes:
            return []
        changed = [
            [LAMP, number, lamp.on, lamp.intensity, lamp.group, list(lamp.colour)]
            for number, lamp in street_lights.lamps.items()
            if lamp != self._lamps[number]
        ]
        self._lamps, self._lamp_changes = dict(street_lights.lamps), street_lights.changes
        return changed

    def _changed_bones(self, episode: Episode) -> list[Event]:
        """Poses that clients gave to walkers; how others move follows from their way."""
        if not self._additional:
            return []
        before, self._bones = self._bones, episode.skeletons.given_poses()
        return [[BONES, number, *pose] for number, pose in self._bones.items() if pose != before.get(number)]

    @staticmethod
    def _details(episode: Episode, actor: Actor) -> list[PackValue] | None:
        """Physics of a vehicle; green, yellow and red time of a traffic light."""
        if actor.kind == VEHICLE_KIND:
            return list(parameters.physics_control(episode.row(actor)))
        if actor.kind == LIGHT_KIND:
            row = episode.lights.rows[actor.row]
            return [float(row[name]) for name in ("green", "yellow", "red")]
        return None

    @staticmethod
    def _collisions(episode: Episode) -> list[Event]:
        tables: dict[int, Table] = {0: episode.vehicles, 1: episode.walkers, 2: episode.props}
        if not len(episode.contacts):
            return []
        watched = {one.parent_id for one in episode.actors.values() if one.type_id == "sensor.other.collision"}

        def importance(number: int) -> tuple[bool, bool]:
            """In CARLA a sensor tells of a collision, so its owner comes first; readers of reports expect that."""
            actor = episode.actors.get(number)
            is_hero = actor is not None and actor.attributes.get("role_name") == "hero"
            return number not in watched, not is_hero

        events = []
        for contact in episode.contacts:
            ids: list[int] = []
            for side in "ab":
                kind, row = int(contact[f"kind_{side}"]), int(contact[f"row_{side}"])
                ids.append(0 if kind == OBSTACLE_KIND else tables[kind].actors[row].id)
            events.append([COLLIDE, *sorted(ids, key=importance)])
        return events

    def _record(self, episode: Episode, events: list[Event]) -> None:
        lights = _copied(episode.lights.rows, LIGHT_FRAME)
        lights["id"] = episode.light_ids
        vehicles = _copied(episode.vehicles.rows, VEHICLE_FRAME)
        vehicles["lamps"] = episode.vehicles.companion["lamps"]
        vehicles["doors"] = episode.vehicles.companion["open_doors"]
        vehicles["wheels"] = wheel_steer_angles(episode.vehicles.rows)[:, :2]
        self._writer.append(
            Frame(
                episode.frame,
                episode.elapsed - self._began,
                time.monotonic() - self._began_platform,
                events,
                vehicles,
                _copied(episode.walkers.rows, BODY_FRAME),
                _copied(episode.props.rows, BODY_FRAME),
                lights,
                episode.pose(self._spectator),
            )
        )


def _copied(rows: NDArray[np.void], dtype: np.dtype[np.void]) -> NDArray[np.void]:
    copy = np.zeros(len(rows), dtype)
    for name in dtype.names or ():
        if name in (rows.dtype.names or ()):
            copy[name] = rows[name]
    return copy
