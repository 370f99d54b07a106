"""Drives a policy: episode after episode, what became of each, and a video of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rllib_integration.config.merging import ConfigError
from rllib_integration.driving.policies import DrivingPolicy

if TYPE_CHECKING:
    from rllib_integration.carla_env import CarlaEnv


@dataclass
class DrivenEpisode:
    """What became of an episode.

    Attributes:
        number: From 1.
        steps: Decisions made.
        total_reward: The undiscounted return.
        distance: As the experiment tells it, or else what the library has measured [m]; None after the server's loss.
        mean_speed: As above [km/h].
        end: Why it ended.
        town: Where it was.
        agent: Whose it was, where several drive.
    """

    number: int
    steps: int = 0
    total_reward: float = 0.0
    distance: float | None = None
    mean_speed: float | None = None
    end: str = "unknown"
    town: str = ""
    agent: str = ""

    def __str__(self) -> str:
        distance = "-" if self.distance is None else f"{self.distance:.1f} m"
        speed = "-" if self.mean_speed is None else f"{self.mean_speed:.1f} km/h"
        who = f"{self.agent} | " if self.agent else ""
        return (
            f"episode {self.number:>3} | {self.town} | {who}return {self.total_reward:8.2f} | {self.steps:>5} steps | "
            f"distance {distance} | mean speed {speed} | end: {self.end}"
        )


def drive(
    env: CarlaEnv,
    policy: DrivingPolicy,
    *,
    episodes: int | None = None,
    steps: int | None = None,
    seed: int | None = None,
    video: VideoWriter | None = None,
    recorded: int = 0,
    replays: Path | None = None,
) -> Iterator[DrivenEpisode]:
    """Drive episode after episode and yield each one when it has ended.

    Args:
        env: The environment; with `video`, made with `render_mode="rgb_array"`.
        policy: Drives.
        episodes: Number of episodes; None drives on.
        steps: Number of decisions of all episodes together; None sets no bound.
        seed: Of the first episode, and by it of all later ones.
        video: Takes a picture after every decision.
        recorded: How many of the first episodes are recorded.
        replays: Folder that they are recorded in.
    """
    left = steps
    number = 0
    while (episodes is None or number < episodes) and (left is None or left > 0):
        number += 1
        if replays is not None and number <= recorded:
            env.record_next_episode(replays, f"Episode {number}")
        episode = _drive_one(env, policy, number, left, seed if number == 1 else None, video)
        if left is not None:
            left -= episode.steps
        yield episode


def _drive_one(
    env: CarlaEnv,
    policy: DrivingPolicy,
    number: int,
    most_steps: int | None,
    seed: int | None,
    video: VideoWriter | None,
) -> DrivenEpisode:
    observation, info = env.reset(seed=seed)
    episode = DrivenEpisode(number)
    speeds = []
    ended = False
    while not ended and (most_steps is None or episode.steps < most_steps):
        observation, reward, terminated, truncated, info = env.step(policy.act(observation)[0])
        ended = terminated or truncated
        episode.steps += 1
        episode.total_reward += reward
        episode.distance = info.get("distance", episode.distance)
        if "speed" in info:
            speeds.append(float(info["speed"]))
        if video is not None:
            video.add(env.render())
    metrics = info.get("episode_metrics") or env.episode_metrics
    if episode.distance is None and "distance" in metrics:
        episode.distance = float(metrics["distance"])
    if speeds:
        episode.mean_speed = float(np.mean(speeds))
    elif "mean_speed" in metrics:
        episode.mean_speed = 3.6 * float(metrics["mean_speed"])
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


def summary(episodes: Sequence[DrivenEpisode]) -> str:
    """One line about several episodes: mean return, median distance and how they ended."""
    distances = [episode.distance for episode in episodes if episode.distance is not None]
    ends: dict[str, int] = {}
    for episode in episodes:
        ends[episode.end] = ends.get(episode.end, 0) + 1
    said = ", ".join(f"{reason} {times}" for reason, times in sorted(ends.items()))
    median = f", median distance {np.median(distances):.1f} m" if distances else ""
    mean = float(np.mean([episode.total_reward for episode in episodes]))
    count = "1 episode" if len(episodes) == 1 else f"{len(episodes)} episodes"
    return f"{count}: mean return {mean:.2f}{median}; ends: {said}"
