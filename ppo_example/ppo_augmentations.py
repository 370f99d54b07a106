"""Domain randomisation: differences between episodes, so that a policy does not overfit to one world.

Everything is off by default and drawn from the episode's seed. The `info` of `reset` lists the drawn values. Changes to
the world end with the episode.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import carla
import numpy as np

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import Rule, positive
from rllib_integration.dynamics import with_noise

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore
    from rllib_integration.tracks import Track

AUGMENTATIONS: Record = {
    "throttle_noise_std": 0.0,  # share of the pedal's travel; only while it is pressed
    "brake_noise_std": 0.0,  # the same
    "steering_noise_std": 0.0,  # share of the full lock
    "randomize_fps": False,  # whether the length of a tick is drawn from `timestep_range`
    "timestep_range": [0.025, 0.05],  # s
    "low_friction_enable": False,  # whether slippery squares lie on the track
    "low_friction_n": 1,  # how many
    "low_friction_multiplier": 0.7,  # their friction, as a share of the dry road's
    "low_friction_areas_size": 4.0,  # m, length of their sides
    "weather_change_enable": False,  # whether sun and storms follow a cycle, from a random phase
    "weather_update_freq": 10.0,  # s of simulated time between two changes
    "weather_speed_factor": 1.0,  # speed of the cycle relative to simulated time
    "camera_position_std": 0.0,  # m, along each axis
    "camera_rotation_std": 0.0,  # degrees, about each axis
    "camera_fov_std": 0.0,  # degrees
}
_NOT_NEGATIVE = Rule(float, accepts=lambda value: 0.0 <= value < math.inf, expected="a number, 0 or more")
RULES = {
    **{name: _NOT_NEGATIVE for name in AUGMENTATIONS if name.endswith("_std")},
    "timestep_range": Rule(
        list,
        accepts=lambda span: len(span) == 2 and all(isinstance(end, (int, float)) for end in span)
        and 0.0 < span[0] <= span[1] <= 0.1,
        expected="two numbers of seconds, [0.025, 0.05], above 0 and up to 0.1",
    ),
    "low_friction_n": positive("a whole number, 1 or more", int),
    "low_friction_multiplier": Rule(float, accepts=lambda value: 0.0 < value <= 1.0, expected="a share, up to 1"),
    "low_friction_areas_size": positive("a number of metres above 0", float),
    "weather_update_freq": positive("a number of seconds above 0", float),
    "weather_speed_factor": positive("a number above 0", float),
}  # fmt: skip

_CAMERAS = "sensor.camera."
_FIELD_OF_VIEW = 90.0  # [degrees] CARLA's default
_NARROWEST, _WIDEST = 10.0, 150.0  # [degrees]
_DRY_FRICTION = 3.5  # of CARLA's tyres
_AREA_HALF_HEIGHT = 1.0  # [m]

_KEPT = (
    *("fog_distance", "fog_falloff", "scattering_intensity", "mie_scattering_scale", "rayleigh_scattering_scale"),
    "dust_storm",
)  # weather parameters that the cycle does not set


class Augmentations:
    """Varies the world of one environment.

    Args:
        settings: `AUGMENTATIONS`, complete.

    Attributes:
        told: The values drawn for this episode, by name; empty if nothing is randomised.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.told: Record = {}
        self._weather: WeatherCycle | None = None

    def prepare(self, core: CarlaCore, config: Record) -> None:
        """Draw the time step, the weather's phase and the cameras' poses, before the hero is spawned."""
        settings, rng = self._settings, core.rng
        self.told = {
            name: settings[name]
            for name in ("throttle_noise_std", "brake_noise_std", "steering_noise_std")
            if settings[name]
        }
        if settings["randomize_fps"]:
            self.told["timestep"] = round(float(rng.uniform(*settings["timestep_range"])), 4)
            core.set_timestep(self.told["timestep"])
        self._weather = None
        if settings["weather_change_enable"]:
            assert core.world is not None
            start = core.world.get_weather()
            self._weather = WeatherCycle(start, rng, settings["weather_update_freq"], settings["weather_speed_factor"])
            self.told["weather"] = self._weather.told()
            core.set_weather(self._weather.parameters())
        for name, sensor in config["hero"]["sensors"].items():
            if str(sensor.get("type", "")).startswith(_CAMERAS):
                self._move_camera(name, sensor, rng)

    def _move_camera(self, name: str, sensor: Record, rng: np.random.Generator) -> None:
        place, turn, zoom = (self._settings[f"camera_{what}_std"] for what in ("position", "rotation", "fov"))
        if not (place or turn or zoom):
            return
        pose = [float(part) for part in str(sensor.get("transform", "0,0,0,0,0,0")).split(",")]
        pose = [part + float(rng.normal(0.0, std)) for part, std in zip(pose, (place,) * 3 + (turn,) * 3)]
        fov = float(sensor.get("fov", _FIELD_OF_VIEW)) + float(rng.normal(0.0, zoom))
        sensor["transform"] = ",".join(f"{part:.4f}" for part in pose)
        sensor["fov"] = round(min(max(fov, _NARROWEST), _WIDEST), 3)
        self.told[f"camera_{name}"] = {"transform": sensor["transform"], "fov": sensor["fov"]}

    def lay_slippery_areas(self, core: CarlaCore, track: Track, friction: float = _DRY_FRICTION) -> None:
        """Put slippery squares on the track.

        Args:
            core: The world.
            track: The track.
            friction: Friction of the hero's tyres on the dry road.
        """
        settings = self._settings
        if not settings["low_friction_enable"]:
            return
        half = 0.5 * settings["low_friction_areas_size"]
        self.told["low_friction_areas"] = []
        for _ in range(settings["low_friction_n"]):
            along = float(core.rng.uniform(0.0, track.length))
            pose = track.transform_at(along, float(core.rng.uniform(-0.5, 0.5)) * track.at(along)[4])
            core.spawn(
                "static.trigger.friction",
                pose,
                friction=friction * settings["low_friction_multiplier"],
                extent_x=100.0 * half,  # cm
                extent_y=100.0 * half,
                extent_z=100.0 * _AREA_HALF_HEIGHT,
            )
            self.told["low_friction_areas"].append((round(pose.location.x, 2), round(pose.location.y, 2)))

    def perturb(self, control: carla.VehicleControl, rng: np.random.Generator) -> carla.VehicleControl:
        """The control with this experiment's noise."""
        settings = self._settings
        noise = (settings[f"{name}_noise_std"] for name in ("throttle", "brake", "steering"))
        return with_noise(control, rng, *noise)

    def pass_time(self, core: CarlaCore, seconds: float) -> None:
        """Advance the weather."""
        if self._weather is not None and self._weather.pass_time(seconds):
            core.set_weather(self._weather.parameters())


class WeatherCycle:
    """The sun's path and recurring storms, as in CARLA's example of dynamic weather.

    Args:
        start: Weather at the start; parameters that the cycle does not set keep its values.
        rng: Draws the phases of the two cycles.
        interval: Seconds of simulated time between two changes.
        speed: Speed of the cycles relative to simulated time.
    """

    def __init__(self, start: carla.WeatherParameters, rng: np.random.Generator, interval: float, speed: float) -> None:
        self._start = start
        self._interval, self._speed = interval, speed
        self._waited = 0.0
        self._azimuth = float(rng.uniform(0.0, 360.0))
        self._day = float(rng.uniform(0.0, 2.0 * math.pi))
        self._storm = float(rng.uniform(-250.0, 100.0))
        self._rising = bool(rng.random() < 0.5)

    def pass_time(self, seconds: float) -> bool:
        """Advance by some seconds; returns whether the weather changes now."""
        self._waited += seconds
        if self._waited < self._interval:
            return False
        passed, self._waited = self._waited * self._speed, 0.0
        self._azimuth = (self._azimuth + 0.25 * passed) % 360.0
        self._day = (self._day + 0.008 * passed) % (2.0 * math.pi)
        self._storm += (1.3 if self._rising else -1.3) * passed
        if not -250.0 < self._storm < 100.0:
            self._storm = min(max(self._storm, -250.0), 100.0)
            self._rising = not self._rising
        return True

    def told(self) -> dict[str, float]:
        """The parameters that the cycle sets."""
        storm = self._storm
        clouds = min(max(storm + 40.0, 0.0), 90.0)
        return {
            "cloudiness": clouds,
            "precipitation": min(max(storm, 0.0), 80.0),
            "precipitation_deposits": min(max(storm + (-10.0 if self._rising else 90.0), 0.0), 85.0),
            "wetness": min(max(5.0 * storm, 0.0), 100.0),
            "wind_intensity": 5.0 if clouds <= 20.0 else 90.0 if clouds >= 70.0 else 40.0,
            "fog_density": min(max(storm - 10.0, 0.0), 30.0),
            "sun_azimuth_angle": self._azimuth,
            "sun_altitude_angle": 70.0 * math.sin(self._day) - 20.0,
        }

    def parameters(self) -> carla.WeatherParameters:
        """The weather now."""
        return carla.WeatherParameters(**{name: getattr(self._start, name) for name in _KEPT}, **self.told())
