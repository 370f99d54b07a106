"""Settings of the clock and of the physics, and the weather: what `carla.WorldSettings` and friends carry."""

from __future__ import annotations

from dataclasses import dataclass, fields


class SettingsError(ValueError):
    """A setting has a value that the world cannot have."""


@dataclass(frozen=True)
class EpisodeSettings:
    """`carla.WorldSettings`, in the order of its wire form; times in seconds, distances in metres."""

    synchronous_mode: bool = False
    no_rendering_mode: bool = False
    fixed_delta_seconds: float | None = None
    substepping: bool = True
    max_substep_delta_time: float = 0.01
    max_substeps: int = 10
    max_culling_distance: float = 0.0
    deterministic_ragdolls: bool = False
    tile_stream_distance: float = 3000.0
    actor_active_distance: float = 2000.0
    spectator_as_ego: bool = True

    def __post_init__(self) -> None:
        """Refuse what the clock could not follow.

        Raises:
            SettingsError: A step is negative, not finite or longer than ten seconds, or substeps do not make sense.
        """
        step = self.fixed_delta_seconds
        if step is not None and not 0.0 <= step <= 10.0:
            raise SettingsError(f"fixed_delta_seconds must be between 0 and 10 seconds, not {step}")
        if self.substepping and not 1e-4 <= self.max_substep_delta_time <= 1.0:
            raise SettingsError(
                f"max_substep_delta_time must be between 0.0001 and 1 second, not {self.max_substep_delta_time}"
            )
        if self.substepping and not 1 <= self.max_substeps <= 1000:
            raise SettingsError(f"max_substeps must be between 1 and 1000, not {self.max_substeps}")


@dataclass(frozen=True)
class Weather:
    """`carla.WeatherParameters`, in the order of its wire form; percentages, degrees and metres as CARLA has them."""

    cloudiness: float = 10.0
    precipitation: float = 0.0
    precipitation_deposits: float = 0.0
    wind_intensity: float = 5.0
    sun_azimuth_angle: float = -1.0
    sun_altitude_angle: float = 45.0
    fog_density: float = 2.0
    fog_distance: float = 0.75
    fog_falloff: float = 0.1
    wetness: float = 0.0
    scattering_intensity: float = 1.0
    mie_scattering_scale: float = 0.03
    rayleigh_scattering_scale: float = 0.0331
    dust_storm: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """Parameters by name."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}
