"""The state of the race after a step, the argument of reward functions.

Keys of AWS DeepRacer's reward functions have AWS's meaning and units
(https://docs.aws.amazon.com/deepracer/latest/developerguide/deepracer-reward-function-input.html): metres, m/s and
degrees, x and y in a right-handed frame (CARLA's y with the other sign), angles counter-clockwise, so that headings
and steering to the left are positive. Reward functions written for AWS DeepRacer work unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import carla
import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Record
from rllib_integration.sensors.actor_roster import ActorRoster, ActorStates
from rllib_integration.tracks import Track, TrackPose, TrackProgress

WAYPOINT_SPACING = 2.0  # [m]
VEHICLE_FRONT = 24.0  # [m] along the track within which another vehicle counts as in front
AWS_KEYS = (
    *("all_wheels_on_track", "x", "y", "closest_objects", "closest_waypoints", "distance_from_center", "is_crashed"),
    *("is_left_of_center", "is_offtrack", "is_reversed", "heading", "objects_distance", "objects_heading"),
    *("objects_left_of_center", "objects_location", "objects_speed", "progress", "speed", "steering_angle", "steps"),
    *("track_length", "track_width", "waypoints"),
)
"""The keys of AWS DeepRacer's reward functions."""

MORE_KEYS = (
    *("way_orientation_angle", "delta_yaw", "speed_longitudinal", "speed_longitudinal_waypoint", "current_wp_index"),
    *("is_vehicle_front", "is_stuck", "step", "laps", "metres", "seconds", "steering_change"),
)
"""Further keys:

`way_orientation_angle`: direction of the track here. `delta_yaw`: angle between it and the heading, 0 to 180.
`speed_longitudinal`: along the car's own axis, `speed_longitudinal_waypoint`: along the track.
`current_wp_index`: the nearest waypoint. `is_vehicle_front`: another vehicle is on the track within 24 m ahead.
`is_stuck`: the hero has not moved for some seconds. `step`: as `steps`. `laps`: whole laps since the start.
`metres`: distance along the track in this step. `seconds`: length of the step. `steering_change`: change of
`steering_angle` in this step."""

LONG_KEYS = frozenset({"waypoints"})
"""Keys with long, constant values, which are not logged."""


def opposite(yaw: float) -> float:
    """CARLA's yaw (degrees, clockwise) as an angle counter-clockwise in [-180, 180)."""
    return (-yaw + 180.0) % 360.0 - 180.0


class Course:
    """A track in one direction, with waypoints for reward functions.

    Args:
        track: The track, in the direction of travel.

    Attributes:
        track: As given.
        waypoints: (x, y) of its middle, evenly spaced, the last one equal to the first.
    """

    def __init__(self, track: Track) -> None:
        self.track = track
        self.waypoints = [(float(x), float(-y)) for x, y in track.milestones(WAYPOINT_SPACING)]

    def around(self, distance: float) -> tuple[int, int, int]:
        """Indices of the waypoints behind and ahead of a distance [m] along the track, and of the nearest one."""
        count = len(self.waypoints) - 1
        at = distance / self.track.length * count
        behind = min(int(at), count - 1)
        return behind, behind + 1, round(at) % count


class Wheels:
    """The places where a vehicle's wheels touch the ground.

    Args:
        vehicle: The vehicle; its physics are read from the server.

    Attributes:
        offsets: float64 (n, 2), metres ahead and to the right of the vehicle's origin.
        max_steer: Steering angle of the front wheels at full lock [degrees].
    """

    def __init__(self, vehicle: carla.Vehicle) -> None:
        physics, pose = vehicle.get_physics_control(), vehicle.get_transform()
        forward, right = pose.get_forward_vector(), pose.get_right_vector()
        rows = []
        for wheel in physics.wheels:
            offset = wheel.position * 0.01 - pose.location  # positions are in cm
            rows.append((offset.x * forward.x + offset.y * forward.y, offset.x * right.x + offset.y * right.y))
        box = vehicle.bounding_box.extent
        self.offsets = np.array(rows, np.float64).reshape(-1, 2)
        if not len(rows) or not (np.abs(self.offsets) <= (box.x + 0.5, box.y + 0.5)).all():
            # The positions are missing or outdated: use the corners of the box.
            self.offsets = np.array([(a * box.x, b * box.y) for a in (1, -1) for b in (-1, 1)], np.float64)
        self.max_steer = max((wheel.max_steer_angle for wheel in physics.wheels), default=0.0) or 70.0

    def lateral(self, pose: TrackPose, curvature: float) -> NDArray[np.float64]:
        """Distance of each wheel from the track's middle [m], positive to the right; float64 (n,)."""
        turn = math.radians(pose.heading_error)
        c, s = math.cos(turn), math.sin(turn)
        ahead = self.offsets[:, 0] * c - self.offsets[:, 1] * s
        right = self.offsets[:, 0] * s + self.offsets[:, 1] * c
        # In a bend to the right, the middle is further right ahead of and behind the vehicle.
        return pose.lateral + right - 0.5 * curvature * ahead * ahead


class RaceState:
    """Reads the state of one episode, step by step.

    Args:
        course: The track, in the direction of travel.
        progress: The hero's progress, updated by the library.
        hero: The vehicle.
        wheels: Its wheels.
        roster: The other actors.
    """

    def __init__(
        self, course: Course, progress: TrackProgress, hero: carla.Vehicle, wheels: Wheels, roster: ActorRoster
    ) -> None:
        self._course, self._progress, self._hero = course, progress, hero
        self._wheels, self._roster = wheels, roster
        self._travelled = progress.travelled
        self._start = progress.pose.distance if progress.pose is not None else 0.0
        self._steering = 0.0
        self._steps = 0

    def read(self, control: carla.VehicleControl, seconds: float, is_crashed: bool, is_stuck: bool) -> Record:
        """The state after a step: `AWS_KEYS` and `MORE_KEYS`.

        Args:
            control: The hero's control in the step.
            seconds: Length of the step.
            is_crashed: Whether the hero hit something in the step.
            is_stuck: Whether the hero has not moved for too long.
        """
        pose = self._progress.pose
        assert pose is not None
        self._steps += 1
        transform, velocity = self._hero.get_transform(), self._hero.get_velocity()
        state = {
            **self._place(pose, transform),
            **self._motion(pose, transform, velocity, control, seconds),
            **self._objects(pose),
            "is_crashed": is_crashed,
            "is_stuck": is_stuck,
            "steps": self._steps,
            "step": self._steps,
        }
        self._travelled = self._progress.travelled
        return state

    def _place(self, pose: TrackPose, transform: carla.Transform) -> Record:
        track = self._course.track
        behind, ahead, nearest = self._course.around(pose.distance)
        off = np.abs(self._wheels.lateral(pose, track.curvature(pose.distance))) > pose.width / 2.0
        return {
            "x": transform.location.x,
            "y": -transform.location.y,
            "heading": opposite(transform.rotation.yaw),
            "way_orientation_angle": opposite(pose.yaw),
            "delta_yaw": abs(pose.heading_error),
            "distance_from_center": abs(pose.lateral),
            "is_left_of_center": pose.lateral < 0.0,
            "all_wheels_on_track": not bool(off.any()),
            "is_offtrack": bool(off.all()),
            "is_reversed": track.is_clockwise,
            "closest_waypoints": [behind, ahead],
            "current_wp_index": nearest,
            "waypoints": self._course.waypoints,
            "track_length": track.length,
            "track_width": pose.width,
            "progress": 100.0 * self._progress.progress,
            "laps": self._progress.laps,
        }

    def _motion(
        self,
        pose: TrackPose,
        transform: carla.Transform,
        velocity: carla.Vector3D,
        control: carla.VehicleControl,
        seconds: float,
    ) -> Record:
        yaw = math.radians(pose.yaw)
        # Subtracted from 0.0, so that straight on is not -0.0.
        steering, before = 0.0 - control.steer * self._wheels.max_steer, self._steering
        self._steering = steering
        return {
            "speed": math.hypot(velocity.x, velocity.y),
            "speed_longitudinal": velocity.dot(transform.get_forward_vector()),
            "speed_longitudinal_waypoint": velocity.x * math.cos(yaw) + velocity.y * math.sin(yaw),
            "steering_angle": steering,
            "steering_change": steering - before,
            "metres": self._progress.travelled - self._travelled,
            "seconds": seconds,
        }

    def _objects(self, pose: TrackPose) -> Record:
        """The other actors on the track; distances are along the track from the hero's start."""
        others = self._roster.read(pose.x, pose.y, self._course.track.length)
        places, on_track = self._places(others)
        velocities = self._roster.velocities()[on_track]
        poses = others.poses[on_track]
        from_start = [(place.distance - self._start) % self._course.track.length for place in places]
        ahead = [(place.distance - pose.distance) % self._course.track.length for place in places]
        return {
            "objects_distance": from_start,
            "objects_heading": [opposite(math.degrees(yaw)) for yaw in poses[:, 3]],
            "objects_left_of_center": [place.lateral < 0.0 for place in places],
            "objects_location": [(float(x), float(-y)) for x, y in poses[:, :2]],
            "objects_speed": [float(speed) for speed in np.hypot(velocities[:, 0], velocities[:, 1])],
            "closest_objects": [int(np.argmax(ahead)), int(np.argmin(ahead))] if ahead else [0, 0],
            "is_vehicle_front": min(ahead, default=math.inf) < VEHICLE_FRONT,
        }

    def _places(self, others: ActorStates) -> tuple[list[TrackPose], NDArray[np.bool_]]:
        """Poses of the actors on the track, and a mask of these actors."""
        track = self._course.track
        places = [track.locate(x, y, z, math.degrees(yaw)) for x, y, z, yaw in others.poses.tolist()]
        on_track = np.array([abs(place.lateral) < place.width / 2.0 for place in places], bool)
        return [place for place, is_on in zip(places, on_track) if is_on], on_track


def sample_state(waypoints: Sequence[tuple[float, float]] = ((0.0, 0.0), (2.0, 0.0), (4.0, 0.0))) -> Record:
    """A state with all keys, for checking reward functions."""
    flags = dict.fromkeys(("is_crashed", "is_offtrack", "is_reversed", "is_stuck", "is_vehicle_front"), False)
    numbers = dict.fromkeys(
        ("x", "y", "heading", "way_orientation_angle", "delta_yaw", "steering_angle", "steering_change"), 0.0
    )
    speeds = dict.fromkeys(("speed", "speed_longitudinal", "speed_longitudinal_waypoint"), 4.0)
    lists: dict[str, list[Any]] = {
        "objects_distance": [], "objects_heading": [], "objects_left_of_center": [], "objects_location": [],
        "objects_speed": [],
    }  # fmt: skip
    return {
        **flags, **numbers, **speeds, **lists, "all_wheels_on_track": True, "is_left_of_center": True,
        "distance_from_center": 0.5, "progress": 1.0, "steps": 1, "step": 1, "laps": 0, "metres": 0.8, "seconds": 0.2,
        "track_length": 330.0, "track_width": 7.0, "closest_waypoints": [0, 1], "closest_objects": [0, 0],
        "current_wp_index": 0, "waypoints": list(waypoints),
    }  # fmt: skip
