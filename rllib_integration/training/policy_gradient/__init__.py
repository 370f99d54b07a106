"""A2C, ACKTR and hindsight policy gradients on RLlib's PPO."""
