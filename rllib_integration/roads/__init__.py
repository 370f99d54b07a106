"""What a client knows of a town's roads: lanes, routes, the road ahead."""
