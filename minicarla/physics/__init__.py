"""How everything moves: compiled kernels over the structured arrays of `state`, entered once a tick through `step`.

Vehicles (`vehicle`, `drivetrain`, `tyres`, `ackermann`), walkers (`walker`), props (`prop`), what they hit
(`collisions`, `obstacles`) and what they stand on (`ground`). `parameters` and `telemetry` translate to CARLA's terms.
The package knows no actors, no clients and no bytes.
"""
