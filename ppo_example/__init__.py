"""A second example: PPO drives a small car round a race track, from a camera or a virtual lidar."""
