"""A CARLA server with no Unreal Engine: `python -m rllib_integration.embedded`."""

from rllib_integration.embedded.kernel_cache import use_own_folder

use_own_folder()
