"""The simulated world: episode, actors, blueprints, clock, weather, recordings. Knows no sockets."""
