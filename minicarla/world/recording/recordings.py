"""What is being recorded and replayed in a simulation."""

from __future__ import annotations

import logging
from pathlib import Path

import platformdirs

from minicarla.sensing import SensorError
from minicarla.world.blueprints import BlueprintError
from minicarla.world.poses import Pose
from minicarla.world.recording.file_format import RecordingError, path_of
from minicarla.world.recording.recorder import Recorder
from minicarla.world.recording.replayer import Replayer, ReplayOptions
from minicarla.world.simulation import Simulation
from minicarla.world.spawning import SpawnError

logger = logging.getLogger(__name__)


def _default_folder() -> Path:
    return Path(platformdirs.user_data_dir("carla-rllib-integration", appauthor=False)) / "recordings"


class Recordings:
    """One recording and one replay at a time, which follow a simulation.

    Args:
        simulation: The simulation.
        folder: Where recordings lie; None for the user's own folder.

    Attributes:
        options: What clients set for all replays.
    """

    def __init__(self, simulation: Simulation, folder: str | Path | None = None) -> None:
        self._simulation = simulation
        self._folder = Path(folder) if folder else _default_folder()
        self._recorder: Recorder | None = None
        self._replayer: Replayer | None = None
        self.options = ReplayOptions()
        simulation.observers.append(self)

    def path(self, name: str) -> Path:
        """Where the recording of a name lies.

        Raises:
            RecordingError: The name is no file name.
        """
        return path_of(self._folder, name)

    def record(self, name: str, additional: bool = False) -> Path:
        """Record the episode from now on; returns the file.

        Raises:
            RecordingError: The file cannot be written.
        """
        self.stop_recording()
        path = self.path(name)
        self._recorder = Recorder(path, self._simulation.episode, additional)
        return path

    def stop_recording(self) -> None:
        """End the recording, if there is one."""
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None

    def replay(self, name: str, start: float, duration: float, follow: int, offset: Pose, with_sensors: bool) -> str:
        """Play a recording from now on; returns what is played (see `Replayer` for the arguments)."""
        self.stop_replaying(keep_actors=False)
        replayer = Replayer(
            self._simulation, self.path(name), self.options, start, duration, follow, offset, with_sensors
        )
        self._replayer = replayer
        return replayer.describe()

    def stop_replaying(self, keep_actors: bool) -> None:
        """End the replay, if there is one; its actors end, too, unless they are kept."""
        if self._replayer is not None:
            self._replayer.stop(keep_actors)
            self._replayer = None

    def before_tick(self, dt: float) -> None:
        """Move the actors of the replay."""
        if self._replayer is None:
            return
        try:
            self._replayer.tick(dt)
        except (BlueprintError, SpawnError, SensorError, KeyError, TypeError, ValueError) as error:
            # Whoever wrote the file, it must not stop the world.
            logger.error("the replay ends: %s", error)
            self.stop_replaying(keep_actors=True)

    def after_tick(self) -> None:
        """Write the tick to the recording."""
        if self._recorder is None:
            return
        try:
            self._recorder.tick(self._simulation.episode)
        except RecordingError as error:
            logger.error("%s", error)
            self.stop_recording()

    def episode_ends(self) -> None:
        """Both end with the episode."""
        self.stop_recording()
        self._replayer = None
