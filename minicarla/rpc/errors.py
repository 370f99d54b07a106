"""The errors that a remote call may end with without being a fault of the server."""

from __future__ import annotations

from minicarla.physics.parameters import PhysicsControlError
from minicarla.protocol.values import MalformedValueError
from minicarla.rpc.registry import RemoteError
from minicarla.sensing import SensorError
from minicarla.town import TownError
from minicarla.world.blueprints import BlueprintError
from minicarla.world.episode import ActorNotFoundError
from minicarla.world.recording.file_format import RecordingError
from minicarla.world.settings import SettingsError
from minicarla.world.skeletons import UnknownPartError
from minicarla.world.spawning import SpawnError

EXPECTED_ERRORS = (
    RemoteError,
    MalformedValueError,
    ActorNotFoundError,
    BlueprintError,
    PhysicsControlError,
    RecordingError,
    SpawnError,
    SensorError,
    SettingsError,
    TownError,
    UnknownPartError,
)
