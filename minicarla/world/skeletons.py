"""Bones, parts and sockets of actors: plausible places of what Unreal's meshes would have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from minicarla.physics.telemetry import wheel_pitch_angle, wheel_steer_angle
from minicarla.sensing.models import JOINTS, limb_angles, walk_pose
from minicarla.sensing.view import Joints
from minicarla.world.actors import Actor
from minicarla.world.poses import Pose, angles_of, multiply, write_rotation

_NO_ROTATION = (0.0, 0.0, 0.0)

_Bones = dict[str, tuple[str | None, tuple[float, float, float]]]

# First joint of every finger from the wrist, and the way to each further one: forward and down, as shares of height.
_FINGERS = {
    "Thumb": ((0.02, -0.015), 0.015),
    "Index": ((0.015, -0.055), 0.018),
    "Middle": ((0.005, -0.057), 0.02),
    "Ring": ((-0.005, -0.055), 0.018),
    "Pinky": ((-0.015, -0.05), 0.014),
}


def _hand(side: str) -> _Bones:
    """The bones of the fingers of one hand ("L" or "R")."""
    bones: _Bones = {}
    for finger, ((ahead, up), joint) in _FINGERS.items():
        parent, place = f"crl_hand__{side}", (ahead, 0.0, up)
        for part in ("", "01", "02", "End"):
            bones[f"crl_hand{finger}{part}__{side}"] = parent, place
            parent, place = f"crl_hand{finger}{part}__{side}", (0.0, 0.0, -joint)
    return bones


# Bone of CARLA's pedestrians: its parent, then its place beside that parent as shares of the walker's height
# (forward, right, up), feet at the bottom.
_WALKER_BONES: _Bones = {
    "crl_root": (None, (0.0, 0.0, -0.5)),
    "crl_hips__C": ("crl_root", (0.0, 0.0, 0.53)),
    "crl_spine__C": ("crl_hips__C", (0.0, 0.0, 0.06)),
    "crl_spine01__C": ("crl_spine__C", (0.0, 0.0, 0.1)),
    "crl_shoulder__L": ("crl_spine01__C", (0.0, -0.03, 0.11)),
    "crl_arm__L": ("crl_shoulder__L", (0.0, -0.08, 0.0)),
    "crl_foreArm__L": ("crl_arm__L", (0.0, -0.02, -0.16)),
    "crl_hand__L": ("crl_foreArm__L", (0.0, -0.01, -0.15)),
    **_hand("L"),
    "crl_neck__C": ("crl_spine01__C", (0.0, 0.0, 0.14)),
    "crl_Head__C": ("crl_neck__C", (0.0, 0.0, 0.05)),
    "crl_eye__L": ("crl_Head__C", (0.05, -0.02, 0.05)),
    "crl_eye__R": ("crl_Head__C", (0.05, 0.02, 0.05)),
    "crl_shoulder__R": ("crl_spine01__C", (0.0, 0.03, 0.11)),
    "crl_arm__R": ("crl_shoulder__R", (0.0, 0.08, 0.0)),
    "crl_foreArm__R": ("crl_arm__R", (0.0, 0.02, -0.16)),
    "crl_hand__R": ("crl_foreArm__R", (0.0, 0.01, -0.15)),
    **_hand("R"),
    "crl_thigh__R": ("crl_hips__C", (0.0, 0.05, -0.02)),
    "crl_leg__R": ("crl_thigh__R", (0.0, 0.0, -0.24)),
    "crl_foot__R": ("crl_leg__R", (0.0, 0.0, -0.23)),
    "crl_toe__R": ("crl_foot__R", (0.08, 0.0, -0.03)),
    "crl_toeEnd__R": ("crl_toe__R", (0.04, 0.0, 0.0)),
    "crl_thigh__L": ("crl_hips__C", (0.0, -0.05, -0.02)),
    "crl_leg__L": ("crl_thigh__L", (0.0, 0.0, -0.24)),
    "crl_foot__L": ("crl_leg__L", (0.0, 0.0, -0.23)),
    "crl_toe__L": ("crl_foot__L", (0.08, 0.0, -0.03)),
    "crl_toeEnd__L": ("crl_toe__L", (0.04, 0.0, 0.0)),
}
# Places on a vehicle as shares of its box's half sizes, from the box's centre.
_WHEEL_BONES = ("Wheel_Front_Left", "Wheel_Front_Right", "Wheel_Rear_Left", "Wheel_Rear_Right")
_VEHICLE_COMPONENTS = {
    "VehicleMesh": (0.0, 0.0, -1.0),
    "front-blinker-l-1": (1.0, -0.75, -0.1),
    "front-blinker-r-1": (1.0, 0.75, -0.1),
    "back-blinker-l-1": (-1.0, -0.75, -0.1),
    "back-blinker-r-1": (-1.0, 0.75, -0.1),
}
_VEHICLE_SOCKETS = {
    "roof": (0.0, 0.0, 1.0),
    "hood": (0.7, 0.0, 0.1),
    "front_bumper": (1.0, 0.0, -0.5),
    "rear_bumper": (-1.0, 0.0, -0.5),
    "driver_head": (0.05, -0.4, 0.5),
}


GivenPose = tuple[float, dict[str, Pose]]
"""How far a pose from outside shows (0..1), and the bones beside their parents."""


class UnknownPartError(LookupError):
    """An actor has no part of this name."""


def compose(parent: Pose, child: Pose) -> Pose:
    """World pose of a child given relative to its parent."""
    a, b, c = np.empty(9), np.empty(9), np.empty(9)
    for (pitch, yaw, roll), matrix in ((parent[1], a), (child[1], b)):
        write_rotation(math.radians(roll), math.radians(pitch), math.radians(yaw), matrix)
    multiply(a, b, c)
    location = a.reshape(3, 3) @ np.array(child[0]) + np.array(parent[0])
    roll, pitch, yaw = angles_of(c)
    x, y, z = (float(value) for value in location)
    return (x, y, z), (math.degrees(pitch), math.degrees(yaw), math.degrees(roll))


class Bodies(Protocol):
    """Where actors are; the episode is one."""

    def pose(self, actor: Actor) -> Pose:
        """Where an actor is, as CARLA writes it."""

    def row(self, actor: Actor) -> np.void:
        """An actor's row, writable."""


class Skeletons:
    """Answers where the parts of actors are, and keeps the poses that clients gave to walkers' bones."""

    def __init__(self, episode: Bodies) -> None:
        self._episode = episode
        self._posed: dict[int, dict[str, Pose]] = {}
        self._blend: dict[int, float] = {}

    def forget(self, actor: Actor) -> None:
        """Drop what was kept of an actor."""
        self._posed.pop(actor.id, None)
        self._blend.pop(actor.id, None)

    def _on_box(self, actor: Actor, shares: Sequence[float]) -> Pose:
        centre, extent, _ = actor.box
        x, y, z = (float(c + share * e) for c, share, e in zip(centre, shares, extent))
        return (x, y, z), _NO_ROTATION

    def _in_world(self, actor: Actor, pose: Pose, wanted: bool) -> Pose:
        return compose(self._episode.pose(actor), pose) if wanted else pose

    def component_names(self, actor: Actor) -> list[str]:
        """Names of an actor's parts."""
        return list(_VEHICLE_COMPONENTS) if actor.is_vehicle else ["RootComponent"]

    def component(self, actor: Actor, name: str, in_world: bool) -> Pose:
        """Pose of a part in the world or in the actor's frame.

        Raises:
            UnknownPartError: There is no such part.
        """
        names = self.component_names(actor)
        if name not in names:
            raise UnknownPartError(f"{actor.type_id} has no component '{name:.100}'; it has {', '.join(names)}")
        shares = _VEHICLE_COMPONENTS.get(name)
        pose = self._on_box(actor, shares) if shares else ((0.0, 0.0, 0.0), _NO_ROTATION)
        return self._in_world(actor, pose, in_world)

    def bone_names(self, actor: Actor) -> list[str]:
        """Names of an actor's bones."""
        if actor.is_walker:
            return list(_WALKER_BONES)
        return ["Vehicle_Base", *_WHEEL_BONES] if actor.is_vehicle else []

    def bones(self, actor: Actor, in_world: bool) -> list[Pose]:
        """Poses of the bones, in the order of their names."""
        if actor.is_walker:
            poses = [component for _, component, _ in self._walker_bones(actor)]
        elif actor.is_vehicle:
            poses = [((0.0, 0.0, 0.0), _NO_ROTATION), *self._wheels(actor)]
        else:
            poses = []
        return [self._in_world(actor, pose, in_world) for pose in poses]

    def _wheels(self, actor: Actor) -> list[Pose]:
        row = self._episode.row(actor)
        return [
            (
                (float(row["wheel_x"][i]), float(row["wheel_y"][i]), float(row["wheel_radius"][i])),
                (wheel_pitch_angle(row, i), float(wheel_steer_angle(row, i)), 0.0),
            )
            for i in range(len(_WHEEL_BONES))
        ]

    def _walker_bones(self, actor: Actor) -> list[tuple[str, Pose, Pose]]:
        """Name, pose in the actor's frame and pose beside the parent bone of every bone."""
        height = 2.0 * actor.box[1][2]
        posed = self._posed.get(actor.id, {})
        blend = self._blend.get(actor.id, 0.0)
        leg, arm = (math.degrees(angle) for angle in limb_angles(walk_pose(self._episode.row(actor))))
        swing = {"crl_thigh__R": leg, "crl_thigh__L": -leg, "crl_arm__R": arm, "crl_arm__L": -arm}
        found: dict[str, Pose] = {}
        bones = []
        for name, (parent, shares) in _WALKER_BONES.items():
            x, y, z = (share * height for share in shares)
            relative: Pose = ((x, y, z), (swing.get(name, 0.0), 0.0, 0.0))
            if name in posed and blend > 0.0:
                relative = _blended(relative, posed[name], blend)
            component = compose(found[parent], relative) if parent else relative
            found[name] = component
            bones.append((name, component, relative))
        return bones

    def walker_bones(self, actor: Actor) -> list[tuple[str, Pose, Pose, Pose]]:
        """Name, world pose, pose in the actor's frame and pose beside the parent bone of every bone."""
        world = self._episode.pose(actor)
        return [(name, compose(world, own), own, relative) for name, own, relative in self._walker_bones(actor)]

    def pose_walker(self, actor: Actor, bones: dict[str, Pose]) -> None:
        """Give some bones a pose beside their parents; shown as far as `blend` says.

        Raises:
            UnknownPartError: There is no such bone.
        """
        for name in bones:
            if name not in _WALKER_BONES:
                raise UnknownPartError(f"{actor.type_id} has no bone '{name:.100}'")
        self._posed.setdefault(actor.id, {}).update(bones)

    def blend(self, actor: Actor, share: float) -> None:
        """Mix the given pose (1) with the walker's own (0)."""
        self._blend[actor.id] = share

    def given_poses(self) -> dict[int, GivenPose]:
        """What clients gave to walkers, by their ids."""
        return {number: (self._blend.get(number, 0.0), dict(bones)) for number, bones in self._posed.items()}

    def pose_from_animation(self, actor: Actor) -> None:
        """Start posing from how the walker stands now."""
        self._posed[actor.id] = {name: relative for name, _, relative in self._walker_bones(actor)}

    def posture(self, actor: Actor) -> Joints | None:
        """Where the `JOINTS` of a walker are in its own frame, to the centimetre; None if no given pose shows."""
        if self._blend.get(actor.id, 0.0) == 0.0 or actor.id not in self._posed:
            return None
        places = {name: component[0] for name, component, _ in self._walker_bones(actor)}
        return tuple((round(x, 2), round(y, 2), round(z, 2)) for x, y, z in (places[name] for name in JOINTS))

    def socket_names(self, actor: Actor) -> list[str]:
        """Names of the places where something can be attached."""
        return list(_VEHICLE_SOCKETS) if actor.is_vehicle else self.bone_names(actor)

    def sockets(self, actor: Actor, in_world: bool) -> list[Pose]:
        """Poses of the sockets, in the order of their names."""
        if not actor.is_vehicle:
            return self.bones(actor, in_world)
        return [self._in_world(actor, self._on_box(actor, shares), in_world) for shares in _VEHICLE_SOCKETS.values()]

    def place(self, actor: Actor, name: str) -> Pose | None:
        """Pose of a socket, a bone or a part in the actor's frame; None if it has none of this name."""
        for names, poses in (
            (self.socket_names(actor), self.sockets(actor, in_world=False)),
            (self.bone_names(actor), self.bones(actor, in_world=False)),
        ):
            if name in names:
                return poses[names.index(name)]
        return self.component(actor, name, in_world=False) if name in self.component_names(actor) else None


def _blended(own: Pose, given: Pose, share: float) -> Pose:
    def mix(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
        x, y, z = (p + share * (q - p) for p, q in zip(a, b))
        return x, y, z

    return mix(own[0], given[0]), mix(own[1], given[1])
