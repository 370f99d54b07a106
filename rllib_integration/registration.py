"""Makes the environment known to Gymnasium by its id."""

from __future__ import annotations

import gymnasium

ENVIRONMENT_ID = "rllib_integration/Carla-v0"


def register_environments() -> None:
    """Register `rllib_integration/Carla-v0` for `gymnasium.make` and `gymnasium.make_vec`.

    Importing `rllib_integration` calls it; calling it again does nothing.
    """
    if ENVIRONMENT_ID not in gymnasium.registry:
        gymnasium.register(
            ENVIRONMENT_ID,
            entry_point="rllib_integration.carla_env:CarlaEnv",
            vector_entry_point="rllib_integration.vector_env:CarlaVectorEnv",
        )
