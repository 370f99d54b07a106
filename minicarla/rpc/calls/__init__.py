"""The remote calls of CARLA, one function a call, grouped as CARLA groups them."""
