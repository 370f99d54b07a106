"""The scenario types, by the names that they have in the CARLA Leaderboard."""

from __future__ import annotations

from rllib_integration.scenarios.scenario import Scenario
from rllib_integration.scenarios.types.blocked_intersection import BlockedIntersection
from rllib_integration.scenarios.types.control_loss import ControlLoss
from rllib_integration.scenarios.types.cut_ins import HighwayCutIn, ParkingCutIn, StaticCutIn
from rllib_integration.scenarios.types.hard_break import HardBreakRoute
from rllib_integration.scenarios.types.invading_turn import InvadingTurn
from rllib_integration.scenarios.types.junction_crossing import (
    OppositeVehicleRunningRedLight,
    OppositeVehicleTakingPriority,
)
from rllib_integration.scenarios.types.junction_turns import (
    NonSignalizedJunctionLeftTurn,
    NonSignalizedJunctionRightTurn,
    SignalizedJunctionLeftTurn,
    SignalizedJunctionRightTurn,
)
from rllib_integration.scenarios.types.object_crossing import DynamicObjectCrossing, ParkingCrossingPedestrian
from rllib_integration.scenarios.types.obstacles import (
    Accident,
    AccidentTwoWays,
    ConstructionObstacle,
    ConstructionObstacleTwoWays,
    HazardAtSideLane,
    HazardAtSideLaneTwoWays,
    ParkedObstacle,
    ParkedObstacleTwoWays,
)
from rllib_integration.scenarios.types.pedestrian_crossing import PedestrianCrossing
from rllib_integration.scenarios.types.priority_at_junction import PriorityAtJunction
from rllib_integration.scenarios.types.vehicle_turning import VehicleTurningRoute, VehicleTurningRoutePedestrian
from rllib_integration.scenarios.types.yield_to_emergency_vehicle import YieldToEmergencyVehicle

SCENARIO_TYPES: dict[str, type[Scenario]] = {
    kind.__name__: kind
    for kind in (
        *(HardBreakRoute, DynamicObjectCrossing, ParkingCrossingPedestrian, PedestrianCrossing),
        *(ParkingCutIn, StaticCutIn, HighwayCutIn),
        *(ParkedObstacle, ParkedObstacleTwoWays, Accident, AccidentTwoWays),
        *(ConstructionObstacle, ConstructionObstacleTwoWays, HazardAtSideLane, HazardAtSideLaneTwoWays),
        *(VehicleTurningRoute, VehicleTurningRoutePedestrian),
        *(OppositeVehicleRunningRedLight, OppositeVehicleTakingPriority, BlockedIntersection, PriorityAtJunction),
        *(SignalizedJunctionLeftTurn, SignalizedJunctionRightTurn),
        *(NonSignalizedJunctionLeftTurn, NonSignalizedJunctionRightTurn),
        *(ControlLoss, InvadingTurn, YieldToEmergencyVehicle),
    )
}
"""Name -> type."""
