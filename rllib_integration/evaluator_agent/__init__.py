"""The agent's file for CARLA's Leaderboard evaluator, alone: the evaluator looks for modules of any name beside it."""
