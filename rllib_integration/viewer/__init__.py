"""Shows worlds and runs in a browser: `python3 -m rllib_integration.viewer`."""
