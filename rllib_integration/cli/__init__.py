"""The command line: `carla-rllib`, and what the scripts at the top of the repository share with it."""
