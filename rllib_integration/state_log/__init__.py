"""The state log: a line for each step of a training run and its evaluations."""
