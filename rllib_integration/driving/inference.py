"""Drives a trained policy: episodes, what became of them, and a video of them."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rllib_integration.arguments import INTERRUPTED, add_overrides, positive_int
from rllib_integration.config import ConfigError
from rllib_integration.env_config import load_config
from rllib_integration.helper import find_latest_checkpoint

if TYPE_CHECKING:
    from rllib_integration.carla_env import CarlaEnv

Policy = Callable[[Any], Any]


@dataclass
class DrivenEpisode:
    """What became of an episode.

    Attributes:
        number: From 1.
        steps: Decisions made.
        total_reward: The undiscounted return.
        distance: As the experiment tells it [m]; None if it does not.
        mean_speed: [km/h]; None if the experiment does not tell speeds.
        end: Why it ended.
        town: Where it was.
    """

    number: int
    steps: int = 0
    total_reward: float = 0.0
    distance: float | None = None
    mean_speed: float | None = None
    end: str = "unknown"
    town: str = ""

    def __str__(self) -> str:
        distance = "-" if self.distance is None else f"{self.distance:.1f} m"
        speed = "-" if self.mean_speed is None else f"{self.mean_speed:.1f} km/h"
        return (
            f"episode {self.number:>3} | {self.town} | return {self.total_reward:8.2f} | {self.steps:>5} steps | "
            f"distance {distance} | mean speed {speed} | end: {self.end}"
        )


def drive(
    env: CarlaEnv,
    policy: Policy,
    *,
    episodes: int | None = None,
    steps: int | None = None,
    seed: int | None = None,
    video: VideoWriter | None = None,
) -> Iterator[DrivenEpisode]:
    """Drive episode after episode and yield each one when it has ended.

    Args:
        env: The environment; with `video`, made with `render_mode="rgb_array"`.
        policy: Observation -> action.
        episodes: Number of episodes; None drives on.
        steps: Number of decisions of all episodes together; None sets no bound.
        seed: Of the first episode, and by it of all later ones.
        video: Takes a picture after every decision.
    """
    left = steps
    number = 0
    while (episodes is None or number < episodes) and (left is None or left > 0):
        number += 1
        episode = _drive_one(env, policy, number, left, seed if number == 1 else None, video)
        if left is not None:
            left -= episode.steps
        yield episode


def _drive_one(
    env: CarlaEnv, policy: Policy, number: int, most_steps: int | None, seed: int | None, video: VideoWriter | None
) -> DrivenEpisode:
    observation, info = env.reset(seed=seed)
    episode = DrivenEpisode(number)
    speeds = []
    ended = False
    while not ended and (most_steps is None or episode.steps < most_steps):
        observation, reward, terminated, truncated, info = env.step(policy(observation))
        ended = terminated or truncated
        episode.steps += 1
        episode.total_reward += reward
        episode.distance = info.get("distance", episode.distance)
        if "speed" in info:
            speeds.append(float(info["speed"]))
        if video is not None:
            video.add(env.render())
    episode.mean_speed = float(np.mean(speeds)) if speeds else None
    episode.town = str(info.get("town") or env.core.map.name.rsplit("/", 1)[-1])
    if info.get("server_restarted"):
        episode.end = "the server was lost"
    elif ended:
        episode.end = str(info.get("end") or ("terminated" if terminated else "truncated"))
    else:
        episode.end = "the steps asked for are done"
    return episode


class VideoWriter:
    """Writes pictures of one size into an MP4 file.

    Args:
        path: The file; its name ends in .mp4.
        frames_per_second: Of the film.

    Raises:
        ConfigError: the file can't be written.
    """

    def __init__(self, path: str | Path, frames_per_second: float) -> None:
        self.path = Path(path).expanduser()
        if self.path.suffix.lower() != ".mp4":
            raise ConfigError(f"--video {path}: the file's name has to end in .mp4.")
        if not self.path.parent.is_dir():
            raise ConfigError(f"--video {path}: there is no folder {self.path.parent}.")
        self.frames_per_second = frames_per_second
        self._writer: Any = None

    def add(self, picture: np.ndarray | None) -> None:
        """Append a picture, uint8 (H, W, 3), RGB."""
        import cv2

        if picture is None:
            return
        height, width = picture.shape[:2]
        if self._writer is None:
            self._writer = cv2.VideoWriter(
                str(self.path), cv2.VideoWriter.fourcc(*"mp4v"), self.frames_per_second, (width, height)
            )
            if not self._writer.isOpened():
                raise ConfigError(f"--video {self.path}: OpenCV could not open the file for writing.")
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None


def add_driving_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that both inference scripts share."""
    parser.add_argument("configuration_file", help="YAML file that the policy was trained with")
    parser.add_argument("--episodes", type=positive_int, metavar="N", help="drive N episodes (default: until Ctrl-C)")
    parser.add_argument("--steps", type=positive_int, metavar="N", help="drive N decisions at most")
    parser.add_argument("--seed", type=int, help="seed of the episodes")
    parser.add_argument("--video", metavar="FILE.mp4", help="film the drive")
    add_overrides(parser, "env_config.experiment.town=Town03")


def run_driving(arguments: argparse.Namespace, load_policy: Callable[[], Policy]) -> int:
    """Drive as the parsed flags say, print every episode and a summary.

    Args:
        arguments: Of a parser with `add_driving_arguments`.
        load_policy: Makes the policy, once the configuration is known to be right.

    Returns:
        The exit status: 0, 130 after Ctrl-C, 1 after an error of which a sentence was printed.
    """
    driven: list[DrivenEpisode] = []
    try:
        with _environment(arguments) as (env, video):
            policy = load_policy()
            settings = {"episodes": arguments.episodes, "steps": arguments.steps, "seed": arguments.seed}
            for episode in drive(env, policy, **settings, video=video):
                driven.append(episode)
                print(episode, flush=True)
    except KeyboardInterrupt:
        _print_summary(driven)
        return INTERRUPTED
    except (ValueError, RuntimeError, OSError) as error:
        print(f"Error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    _print_summary(driven)
    return 0


@contextlib.contextmanager
def _environment(arguments: argparse.Namespace) -> Iterator[tuple[CarlaEnv, VideoWriter | None]]:
    from rllib_integration.carla_env import CarlaEnv

    document = load_config(arguments.configuration_file, arguments.overrides)
    if arguments.video:
        _add_picture(document["env_config"]["experiment"]["hero"]["sensors"])
    env = CarlaEnv(document["env_config"], render_mode="rgb_array" if arguments.video else None)
    video = None
    try:
        if arguments.video:
            video = VideoWriter(arguments.video, env.metadata["render_fps"])
        yield env, video
    finally:
        if video is not None:
            video.close()
        env.close()


def _add_picture(sensors: dict[str, Any]) -> None:
    """Give the hero a coloured bird view for the film, last and so not observed, where it has none to show."""
    for sensor in sensors.values():
        is_picture = sensor.get("type") == "sensor.birdview" and sensor.get("format", "rgb") == "rgb"
        if is_picture or sensor.get("type") == "sensor.camera.rgb":
            return
    sensors["film"] = {"type": "sensor.birdview", "size": 300, "radius": 20, "route": True}


def _print_summary(episodes: list[DrivenEpisode]) -> None:
    if not episodes:
        return
    distances = [episode.distance for episode in episodes if episode.distance is not None]
    ends: dict[str, int] = {}
    for episode in episodes:
        ends[episode.end] = ends.get(episode.end, 0) + 1
    said = ", ".join(f"{reason} {count}" for reason, count in sorted(ends.items()))
    median = f", median distance {np.median(distances):.1f} m" if distances else ""
    mean = float(np.mean([episode.total_reward for episode in episodes]))
    print(f"{len(episodes)} episodes: mean return {mean:.2f}{median}; ends: {said}", flush=True)


def resolve_checkpoint(path: str) -> Path:
    """A checkpoint's or policy's folder: the one given, or the newest one of the run folder that is given.

    A run's best checkpoint is `best` in its folder.

    Raises:
        ConfigError: there is none.
    """
    given = Path(path).expanduser()
    if not given.exists():
        raise ConfigError(f"There is no checkpoint {given}.")
    given = given.resolve()
    if given.is_dir() and not given.name.startswith("checkpoint_") and not (given / "weights.pth").is_file():
        newest = find_latest_checkpoint(given)
        if newest is None:
            raise ConfigError(f"There is no checkpoint in {given}; give a checkpoint_... folder or a run's folder.")
        return Path(newest)
    return given
