"""Several heroes in one world: multi-agent environments for RLlib and PettingZoo.

Each hero runs an experiment that was written for a single hero, unchanged.
"""
