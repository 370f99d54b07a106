"""Background traffic: of CARLA's Traffic Manager in a process of its own, or of the embedded server."""
