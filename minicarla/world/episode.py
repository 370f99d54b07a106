"""One episode: a town, its actors and their state, from loading to the next load."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from minicarla.kernels.calls import DirectCall
from minicarla.physics.state import CONTACT, PROP, PROP_KIND, VEHICLE, VEHICLE_KIND, WALKER, WALKER_KIND
from minicarla.physics.step import step
from minicarla.physics.walker import LIFE_SPAN_AFTER_DEATH
from minicarla.town import Town
from minicarla.world.actors import FIXTURE, FIXTURE_KIND, LIGHT_KIND, VEHICLE_STATUS, Actor, Table
from minicarla.world.friction import TRIGGER, apply_friction
from minicarla.world.poses import ATTACHMENT, Pose, follow_parents, write_rotation
from minicarla.world.signal_zones import index_zones, look_at_signals
from minicarla.world.skeletons import Skeletons
from minicarla.world.street_lights import StreetLights
from minicarla.world.traffic_lights import UNKNOWN, TrafficLights

FRICTION_TRIGGER = "static.trigger.friction"
_CONTACT_CAPACITY = 4096
NO_CONTROL = (0.0, 0.0, 0.0, 0, 0, 0, 0, 0)


class ActorNotFoundError(LookupError):
    """No living actor has this id."""


class Episode:
    """The state of the world.

    Attributes:
        id: Number of the episode, different for every load.
        town: The loaded town.
        frame: Number of the last tick.
        elapsed: Simulated seconds since the episode began.
        vehicles, walkers, props, fixtures: Tables of actors by kind.
        lights: State of the town's traffic lights, one row a light.
        light_actors: Their actors, in the order of their rows.
        street_lights: The lamps along the streets.
        skeletons: Where parts and bones of actors are.
        actors: All living actors by id, in the order of spawning.
        contacts: Structured array of physics.state.CONTACT; what touched during the last tick.
        has_loose_controls: Whether some vehicle's controls last for one tick only.
        changed: Whether actors appeared or vanished since the last snapshot.
    """

    def __init__(self, episode_id: int, town: Town, frame: int) -> None:
        self.id = episode_id
        self.town = town
        self.frame = frame
        self.elapsed = 0.0
        self.vehicles = Table(VEHICLE, VEHICLE_STATUS)
        self.walkers = Table(WALKER)
        self.props = Table(PROP)
        self.fixtures = Table(FIXTURE)
        self.lights = TrafficLights(town.signals)
        self.light_actors: list[Actor] = []
        self.light_ids: NDArray[np.uint32] = np.zeros(len(self.lights.rows), np.uint32)
        self.street_lights = StreetLights(town.street_lights)
        self.skeletons = Skeletons(self)
        self._has_triggers = False
        self.has_loose_controls = False
        self._light_signals = np.array([s.is_traffic_light for s in town.signals], bool)
        self._zones = index_zones(town.signal_zones, town.signals)
        self._step, self._look_at_signals = DirectCall(step), DirectCall(look_at_signals)
        self._follow_attachments, self._rotations = DirectCall(follow_parents), np.empty((3, 9))
        self.fixed_poses: dict[int, Pose] = {}
        self.actors: dict[int, Actor] = {}
        self.changed = True
        self._contact_storage = np.zeros(_CONTACT_CAPACITY, CONTACT)
        self.contacts: NDArray[np.void] = self._contact_storage[:0]
        self._attachments: NDArray[np.void] = np.zeros(0, ATTACHMENT)
        self._attachments_are_stale = False
        self._tables: Mapping[int, Table] = {
            VEHICLE_KIND: self.vehicles,
            WALKER_KIND: self.walkers,
            PROP_KIND: self.props,
            FIXTURE_KIND: self.fixtures,
        }

    def get(self, actor_id: int) -> Actor:
        """The living actor of an id.

        Raises:
            ActorNotFoundError: There is none.
        """
        actor = self.actors.get(actor_id)
        if actor is None:
            raise ActorNotFoundError(f"there is no actor with id {actor_id}")
        return actor

    def table(self, actor: Actor) -> Table:
        """The table that holds an actor's row."""
        return self._tables[actor.kind]

    def row(self, actor: Actor) -> np.void:
        """An actor's row, writable."""
        return self._tables[actor.kind].rows[actor.row]

    def add(self, actor: Actor) -> np.void | None:
        """Bring an actor to life; returns its zeroed row, None for traffic lights."""
        self.actors[actor.id] = actor
        self.changed = True
        if actor.kind == LIGHT_KIND:
            actor.row = len(self.light_actors)
            self.light_ids[actor.row] = actor.id
            self.light_actors.append(actor)
            return None
        self._has_triggers |= actor.type_id == FRICTION_TRIGGER
        return self.table(actor).add(actor)

    def attach(self, actor: Actor) -> None:
        """Take over an actor's `attachment` and put it in its place."""
        assert actor.attachment is not None
        actor.attachment.parent.children.append(actor)
        self._put_in_place(actor)

    def destroy(self, actors: Sequence[Actor]) -> list[Actor]:
        """End actors and, first, everything attached to them; returns all that ended."""
        ended = list(dict.fromkeys(one for actor in actors for one in family_of(actor)))
        rows: defaultdict[int, list[Actor]] = defaultdict(list)
        for one in ended:
            if one.attachment is not None:
                one.attachment.parent.children.remove(one)
            if one.kind != LIGHT_KIND:
                rows[one.kind].append(one)
            del self.actors[one.id]
            self.skeletons.forget(one)
        for kind, removed in rows.items():
            self._tables[kind].remove(removed)
        self.contacts = self._contact_storage[:0]
        self.changed = True
        self._attachments_are_stale = True
        return ended

    def dead_walkers(self) -> list[Actor]:
        """Those whose time after death is over."""
        rows = self.walkers.rows
        if not len(rows) or rows["dead"].max() < LIFE_SPAN_AFTER_DEATH:
            return []
        walkers = [actor for actor in self.actors.values() if actor.is_walker]
        return [walker for walker in walkers if rows["dead"][walker.row] >= LIFE_SPAN_AFTER_DEATH]

    def _put_in_place(self, actor: Actor) -> None:
        """Take over a new or changed attachment, without going through those of all others."""
        family = family_of(actor)
        family.reverse()
        self._follow_parents(_links(family), 0.0)
        self._attachments_are_stale = True

    def _follow(self, dt: float) -> None:
        if self._attachments_are_stale:
            self._attachments = _links(self.actors.values())
            self._attachments_are_stale = False
        if len(self._attachments):
            self._follow_parents(self._attachments, dt)

    def _follow_parents(self, attachments: NDArray[np.void], dt: float) -> None:
        tables = (self.vehicles, self.walkers, self.props, self.fixtures)
        self._follow_attachments((attachments, *(table.rows for table in tables), self._rotations), dt)

    def warm_up(self) -> None:
        """Compile, or read from their cache, the kernels of a tick besides those that move bodies."""
        apply_friction(self._triggers(), self.vehicles.rows)
        self.lights.tick(0.0)
        self._follow_parents(self._attachments, 0.0)
        self._look_at_signals_of_vehicles(0.0)
        write_rotation(0.0, 0.0, 0.0, np.empty(9))

    def pose(self, actor: Actor) -> Pose:
        """Where an actor is, as CARLA writes it."""
        if actor.kind == LIGHT_KIND:
            return self.fixed_poses[actor.id]
        row = self.row(actor)
        return (
            (float(row["x"]), float(row["y"]), float(row["z"])),
            (math.degrees(row["pitch"]), math.degrees(row["yaw"]), math.degrees(row["roll"])),
        )

    def place(self, actor: Actor, location: Iterable[float], rotation: Iterable[float] | None = None) -> None:
        """Teleport an actor; rotation None keeps the heading."""
        if actor.kind == LIGHT_KIND:
            return
        if actor.attachment is not None:
            self._place_attached(actor, location, rotation)
            return
        row = self.row(actor)
        row["x"], row["y"], row["z"] = location
        if rotation is not None:
            pitch, yaw, roll = rotation
            row["pitch"], row["yaw"], row["roll"] = math.radians(pitch), math.radians(yaw), math.radians(roll)
        if actor.children:
            self._follow(0.0)

    def _place_attached(self, actor: Actor, location: Iterable[float], rotation: Iterable[float] | None) -> None:
        # CARLA moves an attached actor relative to its parent.
        assert actor.attachment is not None
        x, y, z = location
        pitch, yaw, roll = actor.attachment.rotation if rotation is None else rotation
        actor.attachment = actor.attachment._replace(location=(x, y, z), rotation=(pitch, yaw, roll))
        self._put_in_place(actor)

    def step(self, dt: float, substep: float, max_substeps: int, gravity: float) -> None:
        """Advance traffic lights and physics, then all that follows from them."""
        if self.has_loose_controls:
            self._let_controls_go()
        if self._has_triggers:
            apply_friction(self._triggers(), self.vehicles.rows)
        self.lights.tick(dt)
        town = self.town
        vehicles, contacts = self.vehicles, self._contact_storage
        bodies = (vehicles.rows, self.walkers.rows, self.props.rows)
        ground = (town.obstacles, town.obstacle_grid, town.surface)
        count = self._step((*bodies, *ground, contacts), dt, substep, max_substeps, gravity)
        self.contacts = contacts[:count]
        self._follow(dt)
        self._look_at_signals_of_vehicles(dt)

    def _look_at_signals_of_vehicles(self, dt: float) -> None:
        vehicles = self.vehicles
        self._look_at_signals((self._zones, vehicles.rows, self.lights.rows, self.light_ids, vehicles.companion), dt)

    def _let_controls_go(self) -> None:
        """End the controls of vehicles whose `sticky_control` is off after one tick."""
        for actor in self.vehicles.actors:
            if not actor.sticky:
                if not self.vehicles.companion["fresh_control"][actor.row]:
                    self.vehicles.controls[actor.row] = NO_CONTROL
                self.vehicles.companion["fresh_control"][actor.row] = 0

    def _triggers(self) -> NDArray[np.void]:
        actors = [actor for actor in self.fixtures.actors if actor.type_id == FRICTION_TRIGGER]
        triggers = np.zeros(len(actors), TRIGGER)
        for trigger, actor in zip(triggers, actors):
            row = self.fixtures.rows[actor.row]
            for name in ("x", "y", "z", "yaw"):
                trigger[name] = row[name]
            trigger["extent_x"], trigger["extent_y"], trigger["extent_z"] = actor.box[1]
            trigger["friction"] = float(actor.attributes["friction"])
        # One more round without triggers takes the last one's effect away.
        self._has_triggers = bool(actors)
        return triggers

    def signal_states(self) -> NDArray[np.uint8]:
        """CARLA's TrafficLightState of every signal of the town; signs have none."""
        states = np.full(len(self.town.signals), UNKNOWN, np.uint8)
        states[self._light_signals] = self.lights.rows["state"]
        return states


def family_of(actor: Actor) -> list[Actor]:
    """Everything attached to an actor, and last itself; what hangs on something comes before that."""
    family = [actor]
    for one in family:  # it grows on the way: chains of actors may be longer than Python recurses
        family += one.children
    family.reverse()
    return family


def _links(actors: Iterable[Actor]) -> NDArray[np.void]:
    """Rows of `ATTACHMENT` of those among some actors that are attached."""
    links = []
    for actor in actors:
        attachment = actor.attachment
        if attachment is not None:
            parent = attachment.parent
            pitch, yaw, roll = (math.radians(angle) for angle in attachment.rotation)
            rows = actor.kind, actor.row, parent.kind, parent.row
            links.append((*rows, *attachment.location, roll, pitch, yaw, attachment.type))
    return np.array(links, ATTACHMENT)
