"""Where the time of an environment's decisions goes."""
