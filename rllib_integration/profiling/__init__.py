"""Measures the time of an environment's decisions, by process and by part of the program."""
