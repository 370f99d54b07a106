"""Train driving policies in CARLA with RLlib."""
