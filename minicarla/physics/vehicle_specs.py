"""What is known of the real vehicles behind CARLA's blueprints.

Masses, engines and wheelbases are rounded from the makers' public data sheets of the model that a blueprint
shows, with one occupant; sizes come from the blueprint itself. A blueprint that is not listed gets the values of
its sort (`CLASS_SPECS`), scaled to its size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class VehicleSpec:
    """Data sheet of a vehicle.

    Attributes:
        mass: With an occupant [kg].
        power: Highest power [kW].
        torque: Highest torque at the engine [N m].
        max_rpm: Highest engine speed [1/min].
        wheelbase: Distance of the axles [m].
        wheel_radius: [m].
        top_speed: [km/h].
        drag: Drag coefficient.
        drive: Which wheels are driven: "front", "rear" or "all".
        gears: Forward gears.
        spread: Ratio of the lowest to the highest gear.
        electric: Full torque from standstill.
        max_steer: Steering angle of the inner front wheel at full lock [degrees]; CARLA gives 70 to all on four wheels.
        front_overhang: From the front axle to the front end [m]; None where both ends reach as far beyond their axles.
        sort: car, van, truck, bus, motorcycle or bicycle.
    """

    mass: float
    power: float
    torque: float
    max_rpm: float
    wheelbase: float
    wheel_radius: float
    top_speed: float
    drag: float = 0.30
    drive: str = "front"
    gears: int = 6
    spread: float = 5.5
    electric: bool = False
    max_steer: float = 70.0
    front_overhang: float | None = None
    sort: str = "car"

    @property
    def two_wheeler(self) -> bool:
        """Whether it stays upright by itself instead of rolling on its suspension."""
        return self.sort in ("motorcycle", "bicycle")


_CAR = VehicleSpec(1500, 120, 250, 6000, 2.70, 0.33, 205)
_VAN = VehicleSpec(2400, 120, 360, 4500, 3.60, 0.35, 160, drag=0.38, drive="rear", front_overhang=1.0, sort="van")
_TRUCK = VehicleSpec(
    9000,
    230,
    1300,
    2600,
    4.30,
    0.50,
    115,
    drag=0.65,
    drive="rear",
    gears=10,
    spread=12.0,
    front_overhang=1.4,
    sort="truck",
)
_BUS = VehicleSpec(8500, 165, 700, 3000, 5.30, 0.45, 115, drag=0.60, drive="rear", spread=7.0, sort="bus")
_MOTORCYCLE = VehicleSpec(
    290, 65, 90, 9000, 1.45, 0.31, 200, drag=0.60, drive="rear", spread=3.2, max_steer=45.0, sort="motorcycle"
)
# A rider who is helped by a motor, "rpm" is the cadence: the steepest streets of the towns rise by 42 in 100, which a
# rider alone, of some 500 W, climbs more slowly than the Traffic Manager waits.
_BICYCLE = VehicleSpec(
    92, 1.2, 250, 130, 1.05, 0.34, 40, drag=0.75, drive="rear", gears=4, spread=2.5, max_steer=45.0, sort="bicycle"
)

CLASS_SPECS = {
    "car": _CAR,
    "van": _VAN,
    "truck": _TRUCK,
    "bus": _BUS,
    "motorcycle": _MOTORCYCLE,
    "bicycle": _BICYCLE,
}
"""Specification of a middling vehicle of each `base_type`."""

SPECS = {
    "vehicle.audi.a2": VehicleSpec(1030, 66, 140, 6200, 2.41, 0.30, 180, drag=0.25, gears=5, spread=4.8),
    "vehicle.audi.etron": VehicleSpec(
        2560, 300, 664, 13000, 2.93, 0.38, 200, drag=0.28, drive="all", gears=1, electric=True
    ),
    "vehicle.audi.tt": VehicleSpec(1430, 169, 370, 6500, 2.50, 0.34, 250, drag=0.30, drive="all"),
    "vehicle.bh.crossbike": replace(_BICYCLE, mass=90, wheelbase=1.02, top_speed=36),
    "vehicle.bmw.grandtourer": VehicleSpec(1570, 110, 230, 6000, 2.78, 0.33, 205),
    "vehicle.carlamotors.carlacola": VehicleSpec(
        5500, 150, 610, 3000, 3.10, 0.42, 120, drag=0.60, drive="rear", spread=7.0, sort="truck"
    ),
    "vehicle.carlamotors.european_hgv": VehicleSpec(
        15000,
        350,
        2300,
        2200,
        3.90,
        0.52,
        95,
        drag=0.60,
        drive="rear",
        gears=12,
        spread=14.0,
        front_overhang=1.4,
        sort="truck",
    ),
    "vehicle.carlamotors.firetruck": VehicleSpec(
        13500,
        300,
        1600,
        2400,
        4.60,
        0.52,
        110,
        drag=0.70,
        drive="rear",
        gears=8,
        spread=10.0,
        front_overhang=1.4,
        sort="truck",
    ),
    "vehicle.chevrolet.impala": VehicleSpec(1890, 205, 430, 5500, 3.02, 0.35, 195, drag=0.38, drive="rear", gears=4),
    "vehicle.citroen.c3": VehicleSpec(1130, 61, 120, 6200, 2.54, 0.31, 175, drag=0.31, gears=5, spread=4.8),
    "vehicle.diamondback.century": replace(_BICYCLE, mass=84, wheelbase=1.00, top_speed=45),
    "vehicle.dodge.charger_2020": VehicleSpec(1990, 276, 535, 6000, 3.05, 0.36, 245, drag=0.33, drive="rear", gears=8),
    "vehicle.dodge.charger_police": VehicleSpec(2030, 276, 535, 6000, 3.05, 0.36, 235, drag=0.34, drive="rear"),
    "vehicle.dodge.charger_police_2020": VehicleSpec(
        2050, 276, 535, 6000, 3.05, 0.36, 240, drag=0.34, drive="rear", gears=8
    ),
    "vehicle.ford.ambulance": VehicleSpec(
        4700, 227, 570, 5000, 4.00, 0.40, 150, drag=0.45, drive="rear", front_overhang=0.95, sort="van"
    ),
    "vehicle.ford.crown": VehicleSpec(1950, 186, 380, 5500, 2.92, 0.34, 205, drag=0.34, drive="rear", gears=4),
    "vehicle.ford.mustang": VehicleSpec(1450, 150, 340, 5200, 2.74, 0.33, 205, drag=0.40, drive="rear", gears=4),
    "vehicle.gazelle.omafiets": replace(_BICYCLE, mass=98, wheelbase=1.12, top_speed=30),
    "vehicle.harley-davidson.low_rider": replace(
        _MOTORCYCLE, mass=380, power=67, torque=145, max_rpm=5700, wheelbase=1.62, wheel_radius=0.32, top_speed=185
    ),
    "vehicle.jeep.wrangler_rubicon": VehicleSpec(
        2000, 150, 347, 6400, 2.42, 0.40, 175, drag=0.45, drive="all", gears=5, spread=5.0
    ),
    "vehicle.kawasaki.ninja": replace(
        _MOTORCYCLE, mass=275, power=93, torque=100, max_rpm=11500, wheelbase=1.41, top_speed=240
    ),
    "vehicle.lincoln.mkz_2017": VehicleSpec(1790, 183, 373, 6200, 2.85, 0.35, 215, drag=0.27),
    "vehicle.lincoln.mkz_2020": VehicleSpec(1790, 183, 373, 6200, 2.85, 0.35, 215, drag=0.27),
    "vehicle.mercedes.coupe": VehicleSpec(1780, 215, 400, 6300, 2.87, 0.34, 245, drag=0.26, drive="rear", gears=7),
    "vehicle.mercedes.coupe_2020": VehicleSpec(1750, 190, 400, 6300, 2.84, 0.34, 245, drag=0.26, drive="rear", gears=8),
    "vehicle.mercedes.sprinter": VehicleSpec(
        2450, 120, 360, 4600, 3.67, 0.35, 160, drag=0.35, drive="rear", front_overhang=1.0, sort="van"
    ),
    "vehicle.micro.microlino": VehicleSpec(
        600, 19, 110, 10000, 1.57, 0.27, 90, drag=0.35, drive="rear", gears=1, electric=True
    ),
    "vehicle.mini.cooper_s": VehicleSpec(1240, 128, 240, 6500, 2.47, 0.31, 220, drag=0.36),
    "vehicle.mini.cooper_s_2021": VehicleSpec(1330, 141, 280, 6500, 2.67, 0.33, 228, drag=0.34),
    "vehicle.mitsubishi.fusorosa": VehicleSpec(
        7200, 130, 430, 3600, 5.30, 0.42, 115, drag=0.32, drive="rear", spread=12.0, front_overhang=1.6, sort="bus"
    ),
    "vehicle.nissan.micra": VehicleSpec(1010, 59, 110, 6200, 2.43, 0.30, 165, drag=0.32, gears=5, spread=4.8),
    "vehicle.nissan.patrol": VehicleSpec(2350, 170, 400, 5500, 2.97, 0.40, 185, drag=0.42, drive="all"),
    "vehicle.nissan.patrol_2021": VehicleSpec(2850, 298, 560, 6000, 3.08, 0.41, 210, drag=0.37, drive="all", gears=7),
    "vehicle.seat.leon": VehicleSpec(1350, 110, 250, 6200, 2.58, 0.32, 215, drag=0.30),
    "vehicle.tesla.cybertruck": VehicleSpec(
        3100, 447, 900, 14000, 3.63, 0.44, 180, drag=0.34, drive="all", gears=1, electric=True
    ),
    "vehicle.tesla.model3": VehicleSpec(
        1845, 211, 400, 16000, 2.88, 0.35, 225, drag=0.23, drive="rear", gears=1, electric=True
    ),
    "vehicle.toyota.prius": VehicleSpec(1450, 100, 210, 6000, 2.70, 0.32, 180, drag=0.25, gears=5),
    "vehicle.vespa.zx125": replace(
        _MOTORCYCLE,
        mass=190,
        power=8,
        torque=11,
        max_rpm=8500,
        wheelbase=1.28,
        wheel_radius=0.24,
        top_speed=95,
        gears=4,
        spread=4.5,
    ),
    "vehicle.volkswagen.t2": VehicleSpec(
        1400, 50, 140, 4800, 2.40, 0.33, 130, drag=0.45, drive="rear", gears=4, spread=5.0, sort="van"
    ),
    "vehicle.volkswagen.t2_2021": VehicleSpec(
        1400, 50, 140, 4800, 2.40, 0.33, 130, drag=0.45, drive="rear", gears=4, spread=5.0, sort="van"
    ),
    "vehicle.yamaha.yzf": replace(
        _MOTORCYCLE, mass=270, power=87, torque=65, max_rpm=14500, wheelbase=1.38, top_speed=255
    ),
}
"""Specification by blueprint id."""


def vehicle_spec(blueprint_id: str, base_type: str = "car") -> VehicleSpec:
    """Specification of a blueprint.

    Args:
        blueprint_id: For instance ``vehicle.tesla.model3``.
        base_type: Its attribute of that name; decides for blueprints that are not listed.
    """
    return SPECS.get(blueprint_id) or CLASS_SPECS.get(base_type, _CAR)
