"""Driving and reaching goals with A2C, ACKTR, PPO and hindsight replay.

Observations, actions and rewards of several projects can be chosen by name.
"""
