"""The errors that a remote call may end with without being a fault of the server."""

from __future__ import annotations

from rllib_integration.embedded.physics.parameters import PhysicsControlError
from rllib_integration.embedded.protocol.values import MalformedValueError
from rllib_integration.embedded.rpc.registry import RemoteError
from rllib_integration.embedded.sensing import SensorError
from rllib_integration.embedded.town import TownError
from rllib_integration.embedded.world.blueprints import BlueprintError
from rllib_integration.embedded.world.episode import ActorNotFoundError
from rllib_integration.embedded.world.recordings import RecordingError
from rllib_integration.embedded.world.settings import SettingsError
from rllib_integration.embedded.world.skeletons import UnknownPartError
from rllib_integration.embedded.world.spawning import SpawnError

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
