"""Background traffic, driven by CARLA's Traffic Manager in a process of its own."""
