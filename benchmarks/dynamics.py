"""How policies drive cars that they were never trained on: what `dynamics_randomisation` buys.

    python benchmarks/dynamics.py drive ~/ray_results/carla_rllib/randomised [--routes 8] [--workers 1]

Drives policies of `dqn_drive.yaml` (shipped ones, runs' folders or checkpoints) greedily and from rest along random
routes in towns that they never saw, each with the same routes, on six cars. Prints a line for each car and policy:
routes finished, metres, decisions outside of the lane, reward of a decision, and how the others ended. One policy takes
some five minutes of one processor.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import carla

from dqn_example.drive_route import DriveRoute
from rllib_integration.annotations import Record, Settings
from rllib_integration.cli.configurations import find_configuration, policy_path
from rllib_integration.cli.evaluate import FIRST_SEED, load_on_cpu
from rllib_integration.cli.flags import positive_int
from rllib_integration.config.merging import overlay
from rllib_integration.config_file import load_config
from rllib_integration.driving.evaluation import driving_summary
from rllib_integration.driving.policies import find_policy
from rllib_integration.driving.trials import Task, drive_settings, drive_tasks

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore

TOWNS = ("Town02", "Town03", "Town10HD")
CARS: dict[str, Settings] = {
    "as trained": {},
    "30 % less friction": {"dynamics_randomisation": {"tyre_friction": [0.7, 0.7]}},
    "before calibration": {"type": "benchmarks.dynamics:DriveOldCar"},
    "Nissan Patrol": {"hero": {"blueprint": "vehicle.nissan.patrol"}},
    "lorry": {"hero": {"blueprint": "vehicle.carlamotors.carlacola"}},
    "0.4 s later": {"dynamics_randomisation": {"control_delay": [2, 2]}},  # two decisions
}
"""What each car changes in the experiment's settings."""
FINISHED = "route_done"
HEAD = ("car", "policy", "finished", "mean m", "worst 10 %", "off lane %", "km/h", "reward", "others ended by")

_OLD_TORQUE = ((0.0, 223.8), (2342.5, 373.0), (4685.0, 373.0), (5442.5, 321.1), (6200.0, 281.9))
_OLD_GEARS = (4.844, 3.445, 2.450, 1.742, 1.239, 0.881)
_OLD_SHARES = (0.284, 0.8)
_OLD_BRAKES = (1920.6, 1920.6, 1152.4, 1152.4)


def old_car(control: carla.VehiclePhysicsControl) -> carla.VehiclePhysicsControl:
    """The embedded server's MKZ as it was before it was calibrated to CARLA's, changed in place.

    Its engine hardly drags, its brakes are twice as strong, it changes gears late, and it is heavier.
    """
    changed: Any = control  # the client's stubs take its attributes for read-only
    changed.mass, changed.drag_coefficient, changed.max_rpm = 1790.0, 0.27, 6200.0
    changed.torque_curve = [carla.Vector2D(*point) for point in _OLD_TORQUE]
    changed.damping_rate_full_throttle = 0.032
    changed.damping_rate_zero_throttle_clutch_engaged = 0.318
    changed.damping_rate_zero_throttle_clutch_disengaged = 0.418
    changed.gear_switch_time, changed.final_ratio = 0.25, 4.0
    changed.forward_gears = [carla.GearPhysicsControl(ratio, *_OLD_SHARES) for ratio in _OLD_GEARS]
    changed.center_of_mass = carla.Vector3D(0.285, 0.0, -0.211)
    wheels: list[Any] = list(control.wheels)
    for wheel, brake in zip(wheels, _OLD_BRAKES):
        wheel.radius, wheel.max_brake_torque = 35.0, brake
        wheel.lat_stiff_max_load, wheel.lat_stiff_value, wheel.long_stiff_value = 2.0, 17.0, 1000.0
    changed.wheels = wheels
    return control


class DriveOldCar(DriveRoute):
    """The task of `dqn_drive.yaml` with `old_car`."""

    def place_hero(self, core: CarlaCore) -> None:
        """Makes the hero the old car before it starts."""
        assert core.hero is not None
        core.hero.apply_physics_control(old_car(core.hero.get_physics_control()))
        super().place_hero(core)


def drive(
    document: Settings, policies: Mapping[str, str], car: str, routes: int, metres: float, workers: int
) -> list[Record]:
    """The records of all episodes with a car.

    Args:
        document: The configuration of `dqn_drive.yaml`.
        policies: Name -> where it is.
        car: One of `CARS`.
        routes: How many in each town.
        metres: Their length.
        workers: Processes, each with a server of its own.
    """
    env_config, towns = drive_settings(document, TOWNS)
    experiment = overlay(overlay(env_config["experiment"], {"route": {"length": metres}}), CARS[car])
    tasks = [
        Task(policy, town, FIRST_SEED + number) for policy in policies for town in towns for number in range(routes)
    ]
    settings = {**env_config, "experiment": experiment}
    return list(drive_tasks(settings, policies, load_on_cpu, tasks, workers=workers, gamma=0.97))


def row(car: str, policy: str, records: Sequence[Settings]) -> str:
    """A line of the table."""
    found = driving_summary(records)
    reward = sum(record["return"] for record in records) / sum(record["steps"] for record in records)
    finished = sum(record["end"] == FINISHED for record in records)
    ends = ", ".join(
        f"{name} {round(share * len(records))}" for name, share in found["ends"].items() if name != FINISHED
    )
    metres, worst, off_lane = f"{found['mean']:.0f}", f"{found['worst_tenth']:.0f}", f"{100 * found['off_lane']:.2f}"
    cells = (car, policy, f"{finished} of {len(records)}", metres, worst, off_lane, f"{found['speed']:.1f}")
    return line((*cells, f"{reward:.3f}", ends))


def line(cells: Sequence[str]) -> str:
    """Cells of a line of the table, in its columns."""
    texts, numbers, last = cells[:2], cells[2:-1], cells[-1]
    return "".join([*(f"{text:<20}" for text in texts), *(f"{number:>11}" for number in numbers), f"  {last}"])


def main() -> None:
    """Prints the table, a line when it is known."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else None, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("policies", nargs="+", metavar="POLICY", help="shipped policies, runs' folders or checkpoints")
    parser.add_argument("--routes", type=positive_int, default=8, help="in each of three towns (default: 8)")
    parser.add_argument("--metres", type=float, default=300.0, help="length of a route (default: 300)")
    parser.add_argument("--workers", type=positive_int, default=1, help="processes (default: 1)")
    parser.add_argument("--output", type=Path, help="JSON file for the records of all episodes")
    options = parser.parse_args()
    document = load_config(find_configuration("drive"), ("env_config.carla.server=embedded",))
    policies = {Path(text).name: str(find_policy(policy_path(text)).path) for text in options.policies}
    if len(policies) < len(options.policies):
        parser.error("two policies have the same name: rename the folder of one of them")
    print(line(HEAD), flush=True)
    found: dict[str, list[Record]] = {}
    for car in CARS:
        found[car] = drive(document, policies, car, options.routes, options.metres, options.workers)
        for policy in policies:
            print(row(car, policy, [record for record in found[car] if record["policy"] == policy]), flush=True)
    if options.output:
        options.output.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
