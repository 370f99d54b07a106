"""Racing a small car round a closed track, from a camera or a virtual lidar."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias, cast

import carla
import cv2
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from ppo_example import ppo_actions, ppo_augmentations, ppo_starts
from ppo_example.ppo_rewards import find_reward, read_reward
from ppo_example.ppo_state import Course, RaceState, Wheels
from rllib_integration.annotations import Record, Settings
from rllib_integration.base_experiment import BaseExperiment
from rllib_integration.config.merging import ConfigError, Rule, merge, positive
from rllib_integration.planes import join, plane_of
from rllib_integration.sensors import SensorFactory
from rllib_integration.sensors.actor_roster import ActorRoster
from rllib_integration.tracks import Track, TrackError, TrackPose, TrackProgress

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore

Seen: TypeAlias = NDArray[np.float32] | NDArray[np.uint8]
"""Distances to the track's border, or pictures; both with the hero's speed."""

WHERE = "env_config.experiment.others"
OTHERS: Record = {
    "track": {
        "through": [],  # "x,y,z" of places on a closed route; none = the town itself is a ring
        "whole_road": None,  # whether the track spans all lanes side by side; null = for a ring, not for a route
    },
    **ppo_starts.STARTS,
    "laps": 1,  # laps in an episode; 0 = no limit
    "reward": "metres",  # one of ppo_rewards.REWARDS, or a function of your own as my_module:reward_function
    "action": ppo_actions.ACTION,
    "framestack": 4,  # pictures in an observation, oldest first
    "picture": "plain",  # or "edges": local contrast, which is alike in all weathers
    "max_time_episode": 10000,  # steps
    "max_time_stuck": 5.5,  # s without moving before the episode ends
    "out_lane_threshold": 0.0,  # m from the middle at which it ends; 0 = when all wheels are off the track
    "min_crash_impulse": 100.0,  # N s, least impulse of a collision that ends the episode
    "augmentations": ppo_augmentations.AUGMENTATIONS,
}
_RULES = {
    "track.through": Rule(list, accepts=lambda places: len(places) != 1, expected="a list of two 'x,y,z' or more"),
    "track.whole_road": Rule(bool, type(None)),
    **ppo_starts.RULES,
    "laps": Rule(int, accepts=lambda laps: laps >= 0, expected="a whole number, 0 or more"),
    "reward": Rule(str, accepts=bool, expected="the name of a reward, or 'my_module:reward_function'"),
    **{f"action.{name}": rule for name, rule in ppo_actions.RULES.items()},
    "framestack": positive("a whole number, 1 or more", int),
    "picture": Rule(str, accepts=("plain", "edges").__contains__, expected="'plain' or 'edges'"),
    "max_time_episode": positive("a whole number of steps, 1 or more", int),
    "max_time_stuck": positive("a number of seconds above 0", float),
    "out_lane_threshold": Rule(float, accepts=lambda metres: metres >= 0.0, expected="metres, 0 or more"),
    "min_crash_impulse": Rule(float, accepts=lambda impulse: impulse >= 0.0, expected="an impulse in N s, 0 or more"),
    **{f"augmentations.{name}": rule for name, rule in ppo_augmentations.RULES.items()},
}
_ELSEWHERE = {"reward_name": f"{WHERE}.reward"}

LIDAR, CAMERA = "sensor.virtual_lidar", "sensor.camera.rgb"
COLLISION = "sensor.other.collision"
FASTEST_SHOWN = 20.0  # [m/s]
_SETTLING_TIME = 1.0  # [s] after the start in which collisions do not count
_STUCK = 0.01  # [m/s] below which the hero counts as not moving
_USUAL_CONTRAST, _NOISE = 64.0, 0.5  # standard deviations of `edges`, and of a plain surface
_NUMBERS = 5  # beside the rays: offset, direction, speed, speed along the car, steering


class PPOExperiment(BaseExperiment):
    """Drives laps; the episode ends when all wheels are off the track, in a crash, or when the hero is stuck.

    With a `sensor.virtual_lidar` the observation is float32 (rays + 5,): its rays, then the offset from the track's
    middle (share of half the width), the angle to the track (share of 90 degrees), the speed and the speed along the
    car (shares of 20 m/s), and the steering (share of what the actions allow), all positive to the right. With a
    `sensor.camera.rgb` it is uint8 (height, width, channels): the newest pictures or their `edges`, oldest first, and
    a plane whose brightness shows the speed.

    Args:
        config: The `experiment` section; `OTHERS` are the settings under `others`, with their defaults.

    Raises:
        ConfigError: A setting is unknown or can't be used, there is no such reward, or the hero has neither sensor.
    """

    def __init__(self, config: Settings | None = None) -> None:
        super().__init__(config)
        given = dict(self.config["others"])
        if "reward_name" in given and "reward" not in given:  # as DeepRacer programs for CARLA call it
            given["reward"] = given.pop("reward_name")
        self.others = merge(OTHERS, given, WHERE, rules=_RULES, elsewhere=_ELSEWHERE)
        self.config["others"] = self.others
        self.reward = find_reward(self.others["reward"], f"{WHERE}.reward")
        self.sensor = self.find_sensor(LIDAR, CAMERA)
        self._sees_rays = self.config["hero"]["sensors"][self.sensor]["type"] == LIDAR
        self.actions = ppo_actions.Actions(self.others["action"])
        self.augmentations = ppo_augmentations.Augmentations(self.others["augmentations"])
        self.starts = ppo_starts.Starts(self.others)
        self._courses: dict[tuple[str, str], Course] = {}
        self._wheels: dict[str, Wheels] = {}
        self._core: CarlaCore | None = None
        self._most_steering = self._widest_steering()
        self.reset()

    def _widest_steering(self) -> float:
        action = self.others["action"]
        bounds = action["discrete_steer"] if action["discrete"] else action["continuous_steer_range"]
        return max(max(abs(bound) for bound in bounds), 1e-6)

    @property
    def max_steer(self) -> float:
        """Degrees that the hero's front wheels turn at full lock."""
        return self._begin[2].max_steer

    # The episode

    def prepare_world(self, core: CarlaCore, config: Record) -> None:
        """Draw the episode's differences, before the hero is spawned."""
        self._core = core
        self.augmentations.prepare(core, config)
        self._is_placed = bool(config["hero"]["spawn_points"])
        self.told = dict(self.augmentations.told)

    def place_hero(self, core: CarlaCore) -> None:
        """Move the hero to its start, unless the configuration names spawn points, and set the course."""
        assert core.metrics is not None
        self._core = core
        wheels = self._wheels_of(core.hero)
        if self._is_placed:
            course = self._course_along(core)
        else:
            course = self._course(core, self.starts.direction(core.rng))
            self.told["start"] = self.starts.place(core, course.track)
        self.told["direction"] = "backward" if course is self._courses.get((core.town, "backward")) else "forward"
        self.augmentations.lay_slippery_areas(core, course.track)
        self.told |= self.augmentations.told
        core.metrics.track = self._progress = TrackProgress(course.track)
        interface = core.sensor_interface
        roster = ActorRoster(core.hero.get_world(), core.hero, interface.memory, interface.ask)
        self._begin = (course, core.hero, wheels, roster)

    def _wheels_of(self, hero: carla.Vehicle) -> Wheels:
        if hero.type_id not in self._wheels:
            self._wheels[hero.type_id] = Wheels(hero)
        return self._wheels[hero.type_id]

    def _course(self, core: CarlaCore, direction: str) -> Course:
        """The town's track in one direction.

        Raises:
            ConfigError: The town has no such track.
        """
        if (core.town, direction) not in self._courses:
            settings = self.others["track"]
            try:
                places = [_read_place(text) for text in settings["through"]]
                track = Track.of_map(core.map, places, settings["whole_road"])
            except TrackError as error:
                raise ConfigError(f"{WHERE}.track: {error}") from error
            self._courses[core.town, direction] = Course(track if direction == "forward" else track.reversed())
        return self._courses[core.town, direction]

    def _course_along(self, core: CarlaCore) -> Course:
        """The course in the hero's direction."""
        pose = core.hero.get_transform()
        forward = self._course(core, "forward")
        place = pose.location
        on_track = forward.track.locate(place.x, place.y, place.z, pose.rotation.yaw)
        return forward if abs(on_track.heading_error) <= 90.0 else self._course(core, "backward")

    def reset(self) -> None:
        """Forget the last episode."""
        self.steps = 0
        self.control = carla.VehicleControl()
        self.state: Record | None = None
        self.end_reason: str | None = None
        self.info: Record = {}
        self._stuck_for = 0.0
        self._crashed = False
        self._race: RaceState | None = None
        self._frames: list[NDArray[np.uint8]] = []

    # Actions

    def get_action_space(self) -> spaces.Space:
        """Acceleration (3 = full throttle, -8 = full brake) and steering (positive to the left), or their numbers."""
        return self.actions.space

    def get_actions(self) -> list[tuple[float, float]]:
        """The (acceleration, steering) pairs of discrete actions."""
        return self.actions.pairs

    def compute_action(self, action: object) -> carla.VehicleControl:
        """The control of an action, with the configured noise."""
        assert self._core is not None
        control = self.actions.control(action, self.control.steer)
        self.control = self.augmentations.perturb(control, self._core.rng)
        return self.control

    # Observations

    def get_observation_space(self) -> spaces.Box:
        """The rays and five numbers, or the pictures and a plane."""
        shown = SensorFactory.space(self.config["hero"]["sensors"][self.sensor]).shape
        assert shown is not None
        if self._sees_rays:
            return spaces.Box(-2.0, 2.0, (shown[0] + _NUMBERS,), np.float32)
        height, width, channels = shown
        return spaces.Box(0, 255, (height, width, channels * self.others["framestack"] + 1), np.uint8)

    def get_observation(self, sensor_data: Record) -> tuple[Seen, Record]:
        """The sensor's newest data, and the hero's motion."""
        assert self._core is not None
        core, pose = self._core, self._progress.pose
        assert pose is not None
        self.info = {}
        if self._race is None:
            course, hero, wheels, roster = self._begin
            self._race = RaceState(course, self._progress, hero, wheels, roster)
            self.info["randomisation"] = self.told
        else:
            seconds = self._note_step(core)
            self.state = self._race.read(self.control, seconds, self._crashed, self._is_stuck())
        hero = cast(carla.Vehicle, core.hero)
        transform, velocity = hero.get_transform(), hero.get_velocity()
        speeds = velocity.length(), velocity.dot(transform.get_forward_vector())
        picture = sensor_data[self.sensor][1]
        return self._show_rays(picture, pose, speeds) if self._sees_rays else self._stack(picture, speeds[1]), self.info

    def _show_rays(
        self, rays: NDArray[np.float32], pose: TrackPose, speeds: tuple[float, float]
    ) -> NDArray[np.float32]:
        numbers = (
            2.0 * pose.lateral / pose.width,
            pose.heading_error / 90.0,
            speeds[0] / FASTEST_SHOWN,
            speeds[1] / FASTEST_SHOWN,
            self.control.steer / self._most_steering,
        )
        return np.clip(np.concatenate([rays, np.array(numbers, np.float32)]), -2.0, 2.0)

    def _stack(self, picture: NDArray[np.uint8], speed: float) -> NDArray[np.uint8]:
        count = self.others["framestack"]
        if self.others["picture"] == "edges":
            picture = edges(picture)
        self._frames = [*self._frames, picture][-count:] if self._frames else [picture] * count
        return join([*self._frames, plane_of(picture, speed / FASTEST_SHOWN)])

    # Ends and rewards

    def _note_step(self, core: CarlaCore) -> float:
        """Count a step; returns its length in seconds."""
        self.steps += 1
        assert core.world is not None
        seconds = core.world.get_snapshot().timestamp.delta_seconds * core.config["ticks_per_step"]
        self.augmentations.pass_time(core, seconds)
        hero = cast(carla.Vehicle, core.hero)
        along = hero.get_velocity().dot(hero.get_transform().get_forward_vector())
        self._stuck_for = self._stuck_for + seconds if along < _STUCK else 0.0
        sensors, events = core.sensor_interface.sensors, core.sensor_interface.events
        impulses = (
            impulse
            for name, happened in events.items()
            if name in sensors and sensors[name].type_id == COLLISION
            for _, (_, impulse) in happened
        )
        settled = self.steps * seconds > _SETTLING_TIME
        self._crashed = settled and max(impulses, default=-1.0) >= self.others["min_crash_impulse"]
        return seconds

    def _is_stuck(self) -> bool:
        return self._stuck_for >= self.others["max_time_stuck"]

    def get_done_status(self, observation: Seen, core: CarlaCore) -> bool:
        """Whether the hero left the track, crashed, or is stuck."""
        state = self.state
        assert state is not None
        limit = self.others["out_lane_threshold"]
        if limit:
            state["is_offtrack"] = state["distance_from_center"] > limit
        for reason, flag in (("off_track", "is_offtrack"), ("collision", "is_crashed"), ("stuck", "is_stuck")):
            if state[flag]:
                self.end_reason = self.end_reason or reason
        self._fill_info(state, core)
        return self.end_reason is not None

    def get_truncated_status(self, observation: Seen, core: CarlaCore) -> bool:
        """Whether the laps are done or the time is up; such a state still has a value."""
        reason = None
        if 0 < self.others["laps"] <= self._progress.laps:
            reason = "laps_done"
        elif self.steps >= self.others["max_time_episode"]:
            reason = "time_limit"
        if reason is not None and self.end_reason is None:
            self.info["end"] = reason
        return reason is not None

    def compute_reward(self, observation: Seen, core: CarlaCore) -> float | dict[str, float]:
        """The reward function's value for the state."""
        assert self.state is not None
        return read_reward(self.reward(self.state), f"The reward function {self.others['reward']}")

    def _fill_info(self, state: Settings, core: CarlaCore) -> None:
        assert core.metrics is not None
        self.info |= {
            "town": core.town,
            "state": state,
            "control": (self.control.throttle, self.control.brake, self.control.steer),
            "position": (state["x"], -state["y"]),
            "distance": core.metrics.distance,
            "speed": 3.6 * state["speed"],
            "in_lane": bool(state["all_wheels_on_track"]),
            "off_road": bool(state["is_offtrack"]),
        }
        if self.end_reason is not None:
            self.info["end"] = self.end_reason


def edges(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Local contrast: each pixel's difference from the mean of the 9 by 9 pixels around it.

    Lines of a road look alike at noon, at night and in fog; a plain surface is black.

    Args:
        picture: Grey or in colours, (height, width, channels).

    Returns:
        uint8 of the same shape; the differences are scaled to a standard deviation of 64.
    """
    pixels = picture.astype(np.float32)
    differences = pixels - cv2.blur(pixels, (9, 9)).reshape(pixels.shape)
    scale = _USUAL_CONTRAST / (differences.std() + _NOISE)
    return np.asarray(cv2.convertScaleAbs(differences, alpha=scale), np.uint8).reshape(picture.shape)


def _read_place(text: object) -> carla.Location:
    try:
        x, y, z = (float(part) for part in str(text).split(","))
    except ValueError:
        raise ConfigError(f"{WHERE}.track.through has {text!r}, but it has to be 'x,y,z' in metres.") from None
    if not all(math.isfinite(part) for part in (x, y, z)):
        raise ConfigError(f"{WHERE}.track.through has {text!r}, but it has to be 'x,y,z' in metres.")
    return carla.Location(x, y, z)
