"""A CARLA server with no Unreal Engine: `python -m minicarla`."""
