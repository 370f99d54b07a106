"""The remote calls of CARLA, one function a call, grouped as CARLA groups them; importing any group registers all."""

from minicarla.rpc.calls import (  # noqa: F401
    batch,
    debug,
    pushes,
    recorder,
    refused,
    scenery,
    sensors,
    traffic,
    vehicles,
    walkers,
    world,
)
