"""Several heroes in one world: RLlib's and PettingZoo's multi-agent environments, on one core.

An experiment that was written for one hero runs unchanged for each of several.
"""
