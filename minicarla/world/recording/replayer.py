"""Plays a recording in the running episode."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minicarla.physics.parameters import rest_drivetrain
from minicarla.protocol.values import transform
from minicarla.world.actors import Actor
from minicarla.world.episode import NO_CONTROL
from minicarla.world.recording.file_format import BONES, CREATE, DESTROY, LAMP, Event, Frame, Header, read_recording
from minicarla.world.simulation import LIGHTS_CHANGED, Simulation
from minicarla.world.skeletons import compose
from minicarla.world.spawning import spawn
from minicarla.world.street_lights import Lamp

if TYPE_CHECKING:
    from minicarla.world.poses import Pose

_HERO_ROLES = ("hero", "ego_vehicle")
_NO_OFFSET = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


@dataclass
class ReplayOptions:
    """What clients set for all replays.

    Attributes:
        factor: Recorded seconds a simulated second.
        ignore_hero: Whether heroes are left out; one that lives already keeps to its own devices.
        ignore_spectator: Whether the spectator keeps out of its recorded places; it follows an actor all the same.
    """

    factor: float = 1.0
    ignore_hero: bool = False
    ignore_spectator: bool = True


class Replayer:
    """Moves the actors of a recording as they moved, each tick a bit further.

    Args:
        simulation: Where to play it.
        path: The recording.
        options: What clients have set for all replays.
        start: Second to begin at; counted from the end if negative.
        duration: Seconds to play, 0 for all.
        follow: Recorded id of the actor that the spectator follows, 0 for none.
        offset: Where the spectator is, seen from that actor.
        with_sensors: Whether recorded sensors are spawned, too.

    Attributes:
        finished: Whether the end was reached.

    Raises:
        RecordingError: There is no such recording.
        TownError: Its town cannot be loaded.
    """

    def __init__(
        self,
        simulation: Simulation,
        path: Path,
        options: ReplayOptions,
        start: float,
        duration: float,
        follow: int = 0,
        offset: Pose = _NO_OFFSET,
        with_sensors: bool = False,
    ) -> None:
        self._simulation = simulation
        self._options = options
        self._path = path
        self.header: Header
        self.header, frames = read_recording(path)
        self._frames = list(frames)
        self.length = self._frames[-1].seconds if self._frames else 0.0
        self.start = max(0.0, self.length + start) if start < 0.0 else min(start, self.length)
        self.end = min(self.length, self.start + duration) if duration > 0.0 else self.length
        self._now = self.start
        self._index = -1
        self._actors: dict[int, Actor] = {}
        self._spawned: list[Actor] = []
        self._follow, self._offset = follow, offset
        self._with_sensors = with_sensors
        self.finished = not self._frames
        self._loads_town = self.header.map_name != simulation.episode.town.map_name
        if self._loads_town:
            simulation.load(self.header.map_name)
        if self._frames:
            self._play_events(self.start)
            self._move()

    def describe(self) -> str:
        """What is being played, in CARLA's words."""
        span = f"{self.start:g} s - {self.end:g} s ({self.length:g} s) at {self._options.factor:.1f}x"
        lines = [f"Replaying File: {self._path}"]
        if self._loads_town:
            lines.append(f"Loading map {self.header.map_name.split('/')[-1]}")
        lines += [f"Total time recorded: {self.length:g}", f"Replaying from {span}"]
        if self._options.ignore_hero:
            lines.append("Ignoring Hero vehicle")
        if self._options.ignore_spectator:
            lines.append("Ignoring Spectator camera")
        return "\n".join(lines) + "\n"

    def tick(self, dt: float) -> None:
        """Go on by `dt` simulated seconds."""
        if self.finished:
            return
        self._now += dt * self._options.factor
        if self._now >= self.end - 1e-9:
            self._now, self.finished = self.end, True
        self._play_events(self._now)
        self._move()
        if self.finished:
            self._release()

    def stop(self, keep_actors: bool) -> None:
        """End the replay; its actors end, too, unless they are kept."""
        if not self.finished:
            self._release()
        self.finished = True
        if not keep_actors:
            for actor in self._spawned:
                if actor.id in self._simulation.episode.actors:
                    self._simulation.destroy(actor)

    def _release(self) -> None:
        """Give the actors back to physics, at rest, as CARLA does: recorded controls would drive on blindly."""
        episode = self._simulation.episode
        episode.lights.resume()
        for actor in self._actors.values():
            is_free = actor.has_body and actor.attachment is None and actor.id in episode.actors
            if is_free and not self._is_ignored(actor.attributes):
                self._let_go(actor)

    def _let_go(self, actor: Actor) -> None:
        episode = self._simulation.episode
        row = episode.row(actor)
        row["physics"], row["asleep"] = 1, 0
        row["target_velocity"] = row["target_angular_velocity"] = 1
        for name in ("target_vx", "target_vy", "target_vz", "target_wx", "target_wy", "target_wz"):
            row[name] = 0.0
        if actor.is_vehicle:
            episode.vehicles.controls[actor.row] = NO_CONTROL
            rest_drivetrain(row)
        elif actor.is_walker:
            row["speed"] = 0.0

    def _play_events(self, until: float) -> None:
        while self._index + 1 < len(self._frames) and self._frames[self._index + 1].seconds <= until + 1e-9:
            self._index += 1
            for event in self._frames[self._index].events:
                if event[0] == CREATE:
                    self._create(event)
                elif event[0] == LAMP:
                    self._switch(event)
                elif event[0] == BONES:
                    self._pose(event)
                elif event[0] == DESTROY:
                    actor = self._actors.pop(event[1], None)
                    if actor is not None and actor in self._spawned and actor.id in self._simulation.episode.actors:
                        self._simulation.destroy(actor)

    def _switch(self, event: Event) -> None:
        _, number, on, intensity, group, (red, green, blue) = event
        lamp = Lamp((0.0, 0.0, 0.0), float(intensity), int(group), (int(red), int(green), int(blue)), on is True)
        self._simulation.episode.street_lights.change(int(number), lamp)
        self._simulation.add_news(LIGHTS_CHANGED)

    def _pose(self, event: Event) -> None:
        _, number, share, bones = event
        actor, skeletons = self._actors.get(number), self._simulation.episode.skeletons
        if actor is not None and actor.is_walker:
            skeletons.pose_walker(actor, {str(name): transform(pose) for name, pose in bones.items()})
            skeletons.blend(actor, float(share))

    def _create(self, event: Event) -> None:
        _, number, type_id, attributes, pose, parent, attachment, *_ = event
        simulation = self._simulation
        if type_id == "spectator":
            return
        known = simulation.episode.actors.get(number)
        if known is not None and known.type_id == type_id:
            self._take_over(number, known)
            return
        if type_id.startswith(("traffic.", "controller.")) or (
            type_id.startswith("sensor.") and not self._with_sensors
        ):
            return
        if self._is_ignored(attributes):
            return
        blueprint = simulation.library.find(type_id)
        owner = self._actors.get(parent) if parent else None
        if parent and owner is None:
            return
        if owner is not None and attachment is not None:
            place = tuple(attachment[0]), tuple(attachment[1])
            actor = spawn(simulation, blueprint, attributes, place, owner, attachment[2], wanted_id=number)
        else:
            place = tuple(pose[0]), tuple(pose[1])
            actor = spawn(simulation, blueprint, attributes, place, check_free=False, wanted_id=number)
        self._spawned.append(actor)
        self._take_over(number, actor)

    def _take_over(self, number: int, actor: Actor) -> None:
        self._actors[number] = actor
        if actor.has_body and not self._is_ignored(actor.attributes):
            self._simulation.episode.row(actor)["physics"] = 0

    def _is_ignored(self, attributes: Mapping[str, str]) -> bool:
        return self._options.ignore_hero and attributes.get("role_name") in _HERO_ROLES

    def _move(self) -> None:
        frame = self._frames[self._index]
        later = self._frames[min(self._index + 1, len(self._frames) - 1)]
        span = later.seconds - frame.seconds
        share = min(1.0, max(0.0, (self._now - frame.seconds) / span)) if span > 0.0 else 0.0
        for now, then in (
            (frame.vehicles, later.vehicles),
            (frame.walkers, later.walkers),
            (frame.props, later.props),
        ):
            self._move_rows(now, then, share)
        self._set_lights(frame)
        self._move_spectator(frame, later, share)

    def _move_rows(self, now: NDArray[np.void], then: NDArray[np.void], share: float) -> None:
        episode = self._simulation.episode
        places = {int(number): index for index, number in enumerate(then["id"])}
        for record in now:
            number = int(record["id"])
            actor = self._actors.get(number)
            if actor is None or actor.id not in episode.actors or actor.attachment is not None:
                continue
            if self._is_ignored(actor.attributes):
                continue
            target = then[places[number]] if number in places else record
            row = episode.row(actor)
            row["physics"] = 0
            for name in ("x", "y", "z"):
                row[name] = float(record[name]) + share * (float(target[name]) - float(record[name]))
            for name in ("roll", "pitch", "yaw"):
                turn = math.remainder(float(target[name]) - float(record[name]), math.tau)
                row[name] = float(record[name]) + share * turn
            if actor.is_vehicle:
                for name in ("throttle", "steer", "brake", "hand_brake", "reverse", "gear"):
                    row[name] = record[name]
                row["wheel_steer_offset"][:2] = record["wheels"]
                status = episode.vehicles.companion[actor.row]
                status["lamps"], status["open_doors"] = record["lamps"], record["doors"]

    def _set_lights(self, frame: Frame) -> None:
        lights = self._simulation.episode.lights
        if len(lights.rows) == len(frame.lights):
            lights.show(frame.lights["state"], frame.lights["frozen"], frame.lights["elapsed"])

    def _move_spectator(self, frame: Frame, later: Frame, share: float) -> None:
        episode, spectator = self._simulation.episode, self._simulation.spectator
        actor = self._actors.get(self._follow)
        if actor is not None and actor.id in episode.actors:
            episode.place(spectator, *compose(episode.pose(actor), self._offset))
        elif not self._options.ignore_spectator:
            (here, turned), (there, turning) = frame.spectator, later.spectator
            location = [a + share * (b - a) for a, b in zip(here, there, strict=True)]
            rotation = [a + share * math.remainder(b - a, 360.0) for a, b in zip(turned, turning, strict=True)]
            episode.place(spectator, location, rotation)
