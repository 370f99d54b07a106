"""Situations on the hero's way, after the scenario types of the CARLA Leaderboard."""
