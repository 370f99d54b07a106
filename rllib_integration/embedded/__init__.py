"""A CARLA server with no Unreal Engine: `python -m rllib_integration.embedded`."""
