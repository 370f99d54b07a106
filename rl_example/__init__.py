"""Driving and reaching goals with A2C, ACKTR, PPO and hindsight: the observations, actions and rewards of several
projects as choices."""
