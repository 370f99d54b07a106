"""The remote calls of CARLA 0.9.16, one function a call, grouped as CARLA groups them."""
