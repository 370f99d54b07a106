"""Light, sky and air from CARLA's 14 weather parameters."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

SKY_SIZE = 256
"""Texels along one side of the sky, which is an octahedral map of the upper half of all directions."""

_STARS = 1400

SUN_COSINE = math.cos(math.radians(0.9))


class Light(NamedTuple):
    """What lights a scene; colours are linear and scaled so that 1 is as bright as a picture shows.

    Attributes:
        sun: float64 (3,), unit vector towards the sun (or, at night, the moon).
        sun_colour, sky_colour, ground_colour, fog_colour: float32 (3,): direct light, light from above, light from
            below, colour of the far air.
        haze: [1/m] extinction of clear air.
        fog: [1/m] extinction of fog at the ground.
        fog_start: [m] where fog begins.
        fog_falloff: [1/m] how fast fog thins with height.
        wet: 0..1, how wet surfaces are.
        puddles: 0..1, share of the road that stands under water.
        rain: 0..1.
        night: 0..1, 1 when lamps and windows are lit.
        sky: float32 (SKY_SIZE, SKY_SIZE, 3).
        sun_disc: float32 (3,), brightness of the disc of the sun or moon.
        stars: 0..1, how bright the stars are.
    """

    sun: NDArray[np.float64]
    sun_colour: NDArray[np.float32]
    sky_colour: NDArray[np.float32]
    ground_colour: NDArray[np.float32]
    fog_colour: NDArray[np.float32]
    haze: float
    fog: float
    fog_start: float
    fog_falloff: float
    wet: float
    puddles: float
    rain: float
    night: float
    sky: NDArray[np.float32]
    sun_disc: NDArray[np.float32]
    stars: float


def _smooth(low: float, high: float, value: float) -> float:
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return share * share * (3.0 - 2.0 * share)


def sane_weather(weather: Mapping[str, float]) -> dict[str, float]:
    """The weather within the ranges that mean anything; what is not a number counts as 0."""
    limits = {"sun_altitude_angle": (-90.0, 90.0), "sun_azimuth_angle": (-3600.0, 3600.0), "fog_distance": (0.0, 1e5)}
    sane = {}
    for name, value in weather.items():
        low, high = limits.get(name, (0.0, 100.0))
        sane[name] = min(max(value, low), high) if value == value else 0.0
    return sane


def weather_key(weather: Mapping[str, float]) -> tuple[int, ...]:
    """Weather rounded to steps that nobody sees, so that slowly changing weather is not baked anew every tick."""
    steps = {"sun_altitude_angle": 0.25, "sun_azimuth_angle": 0.5, "fog_falloff": 0.02, "fog_distance": 0.5}
    steps |= dict.fromkeys(("scattering_intensity", "mie_scattering_scale", "rayleigh_scattering_scale"), 0.01)
    return tuple(round(weather[name] / steps.get(name, 1.0)) for name in sorted(weather))


def sun_direction(weather: Mapping[str, float]) -> NDArray[np.float64]:
    """Unit vector (3,) towards the sun; azimuth counts from x towards y."""
    altitude, azimuth = math.radians(weather["sun_altitude_angle"]), math.radians(weather["sun_azimuth_angle"])
    level = math.cos(altitude)
    return np.array([level * math.cos(azimuth), level * math.sin(azimuth), math.sin(altitude)])


def make_light(weather: Mapping[str, float]) -> Light:
    """Bake light and sky for a weather."""
    altitude = weather["sun_altitude_angle"]
    cloud = min(max(weather["cloudiness"] / 100.0, 0.0), 1.0)
    rain = min(max(weather["precipitation"] / 100.0, 0.0), 1.0)
    cover = max(cloud, 0.6 * rain)
    day = _smooth(-8.0, 10.0, altitude)
    low_sun = day * (1.0 - _smooth(2.0, 22.0, altitude))
    dust = min(max(weather["dust_storm"] / 100.0, 0.0), 1.0)
    sun = sun_direction(weather)
    density = min(max(weather["fog_density"] / 100.0, 0.0), 1.0)
    direct = _smooth(-1.0, 8.0, altitude) * (1.0 - 0.93 * cover**1.6) * (1.0 - 0.9 * dust) * (1.0 - 0.7 * density)
    sun_colour = 2.5 * direct * np.array([1.0, 0.94 - 0.32 * low_sun, 0.86 - 0.62 * low_sun])
    if altitude < -4.0:  # the moon stands opposite, high enough to light from the side
        sun = np.array([-sun[0], -sun[1], max(-sun[2], 0.35)])
        sun /= np.linalg.norm(sun)
        sun_colour = np.array([0.018, 0.024, 0.036]) * (1.0 - 0.8 * cover)
    sky = _sky(weather, sun_direction(weather), day, low_sun, cover, dust)
    mean = sky.reshape(-1, 3).mean(axis=0)
    fog_colour = 0.75 * sky[[0, -1, 0, -1], [0, 0, -1, -1]].mean(axis=0) + 0.25 * mean
    fog_colour = fog_colour * (1.0 - dust) + dust * np.array([0.42, 0.3, 0.17]) * (0.05 + 0.95 * day)
    return Light(
        sun=sun,
        sun_colour=sun_colour.astype(np.float32),
        sky_colour=(1.15 * mean + 0.002).astype(np.float32),
        ground_colour=(0.35 * mean + 0.05 * sun_colour + 0.001).astype(np.float32),
        fog_colour=fog_colour.astype(np.float32),
        haze=0.00035 + 0.002 * rain,
        fog=0.075 * density**1.7 + 0.03 * dust,
        fog_start=max(weather["fog_distance"], 0.0),
        fog_falloff=0.02 * min(max(weather["fog_falloff"], 0.0), 10.0),
        wet=min(max(weather["wetness"] / 100.0, 0.6 * rain, 0.0), 1.0),
        puddles=min(max(weather["precipitation_deposits"] / 100.0, 0.0), 1.0),
        rain=rain,
        night=1.0 - _smooth(-4.0, 4.0, altitude),
        sky=sky.astype(np.float32),
        sun_disc=(_disc(sun_colour, altitude) * _sun_seen(cover, density)).astype(np.float32),
        stars=(1.0 - day) * (1.0 - cover) ** 2 * (1.0 - density) ** 2 * (1.0 - dust),
    )


def _disc(sun_colour: NDArray[np.float64], altitude: float) -> NDArray[np.float64]:
    """Brightness of the disc in the sky: of the sun, of the moon, or of neither right after sunset."""
    if altitude > -2.0:
        return 12.0 * sun_colour
    return np.array([0.75, 0.75, 0.68]) if altitude < -4.0 else np.zeros(3)


def _sun_seen(cover: float, fog: float) -> float:
    """Share of the sun's disc that clouds and fog let through; the light around it is part of the sky."""
    return (1.0 - _smooth(0.3, 0.75, cover)) * (1.0 - _smooth(0.05, 0.4, fog))


def _directions() -> NDArray[np.float64]:
    """Unit vectors (SKY_SIZE, SKY_SIZE, 3) of the texels: the square's middle is the zenith, its border the horizon."""
    steps = (np.arange(SKY_SIZE) + 0.5) / SKY_SIZE * 2.0 - 1.0
    u, v = np.meshgrid(steps, steps)
    x, y = 0.5 * (u + v), 0.5 * (u - v)
    z = np.maximum(1.0 - np.abs(x) - np.abs(y), 0.0)
    directions = np.stack([x, y, z], axis=-1)
    return directions / np.linalg.norm(directions, axis=-1, keepdims=True)


def _sky(
    weather: Mapping[str, float], sun: NDArray[np.float64], day: float, low_sun: float, cover: float, dust: float
) -> NDArray[np.float64]:
    view = _directions()
    up = np.clip(view[..., 2], 0.0, 1.0)[..., None]
    towards = np.clip(view @ sun, -1.0, 1.0)[..., None]
    scatter = 0.75 + 0.25 * weather["scattering_intensity"]
    rayleigh = min(max(weather["rayleigh_scattering_scale"] / 0.0331, 0.0), 3.0)
    mie = min(max(weather["mie_scattering_scale"] / 0.03, 0.0), 6.0)
    zenith = np.array([0.10, 0.22, 0.52]) ** (0.6 + 0.4 * rayleigh)
    horizon = np.array([0.46, 0.60, 0.78])
    clear = horizon + (zenith - horizon) * (1.0 - (1.0 - up) ** 3.2)
    glow = (1.0 - up) ** 3 * (0.35 + 0.65 * np.clip(towards, 0.0, 1.0) ** 2)
    clear = clear * (1.0 - 0.45 * low_sun) + low_sun * glow * np.array([1.05, 0.42, 0.12])
    halo = 0.5 * np.clip(towards, 0.0, 1.0) ** 24 + 0.7 * np.clip(towards, 0.0, 1.0) ** 350
    clear = clear + halo * (1.0 - cover) * mie**0.5 * np.array([1.0, 0.85 - 0.3 * low_sun, 0.65 - 0.4 * low_sun])
    night = np.array([0.006, 0.009, 0.018]) * (1.0 + 1.5 * (1.0 - up) ** 2)
    sky = scatter * day * clear + (1.0 - day) * night
    grey = np.array([0.50, 0.53, 0.57]) * (0.62 + 0.38 * up) * (1.0 - 0.45 * cover**3)
    lit = day * (grey + 0.25 * low_sun * np.array([0.5, 0.2, 0.05])) + (1.0 - day) * np.array([0.008, 0.009, 0.012])
    white = lit * (1.0 + 0.75 * (1.0 - cover))
    alpha = _clouds(view, cover)
    sky = sky * (1.0 - alpha) + alpha * (white * (1.0 - cover) + lit * cover)
    storm = np.array([0.42, 0.3, 0.17]) * (0.05 + 0.95 * day)
    return sky * (1.0 - 0.9 * dust) + 0.9 * dust * storm


@functools.cache
def stars() -> NDArray[np.float64]:
    """The stars, the same every night: float64 (n, 4), unit vectors towards them and their brightness, 0..1."""
    dice = np.random.Generator(np.random.SFC64(5))
    towards = dice.standard_normal((_STARS, 3))
    towards[:, 2] = np.abs(towards[:, 2])
    towards /= np.linalg.norm(towards, axis=1)[:, None]
    low = np.clip(towards[:, 2] * 4.0, 0.0, 1.0)
    return np.column_stack([towards, (0.25 + 0.75 * dice.random(_STARS) ** 4) * low])


def _clouds(view: NDArray[np.float64], cover: float) -> NDArray[np.float64]:
    """Opacity (..., 1) of clouds on a plane above; at full cover the sky is closed."""
    height = np.maximum(view[..., 2], 0.03)
    x, y = view[..., 0] / (height + 0.15), view[..., 1] / (height + 0.15)
    dice = np.random.Generator(np.random.SFC64(11))
    noise = np.zeros(x.shape, np.float32)
    for octave, share in ((1, 0.5), (2, 0.28), (4, 0.14), (8, 0.08)):
        texture = dice.random((64, 64)).astype(np.float32)
        at = [np.mod(axis * octave * 1.6 + 7.0 * octave, 62.0).astype(np.float32) for axis in (x, y)]
        noise += share * cv2.remap(texture, at[0], at[1], cv2.INTER_CUBIC)
    edge = 0.68 - 0.62 * cover
    alpha = np.clip((noise - edge) / 0.16, 0.0, 1.0)
    alpha = alpha * min(1.0, 0.35 + cover) * np.clip(view[..., 2] * 6.0, 0.0, 1.0)
    return np.maximum(alpha, max(0.0, (cover - 0.7) / 0.3))[..., None]
