"""What a `static.prop.mesh` looks like: programs name one of CARLA's mesh assets, which this server does not have."""

from __future__ import annotations

from collections.abc import Container

_VEHICLES = {
    "ambulance": "ford.ambulance", "audia2": "audi.a2", "auditt": "audi.tt", "carlacola": "carlamotors.carlacola",
    "charger": "dodge.charger_2020", "citroenc3": "citroen.c3", "cooper": "mini.cooper_s",
    "cybertruck": "tesla.cybertruck", "etron": "audi.etron", "firetruck": "carlamotors.firetruck",
    "fordcrown": "ford.crown", "grandtourer": "bmw.grandtourer", "impala": "chevrolet.impala",
    "jeep": "jeep.wrangler_rubicon", "leon": "seat.leon", "lincoln": "lincoln.mkz_2020",
    "lincoln2017": "lincoln.mkz_2017", "mercedesccc": "mercedes.coupe_2020", "mercedescoupe": "mercedes.coupe",
    "micra": "nissan.micra", "microlino": "micro.microlino", "mini2021": "mini.cooper_s_2021",
    "mustang": "ford.mustang",
    "nissanpatrol": "nissan.patrol", "nissanpatrol2021": "nissan.patrol_2021", "prius": "toyota.prius",
    "sprinter": "mercedes.sprinter", "teslam3": "tesla.model3", "volkswagent2": "volkswagen.t2",
    "volkswagent22021": "volkswagen.t2_2021",
}  # fmt: skip
"""Vehicle blueprints by what the names of their parked meshes hold."""


def blueprint_shown(mesh_path: str, blueprint_ids: Container[str]) -> str | None:
    """The blueprint that looks like a mesh asset.

    Args:
        mesh_path: Unreal's path of the asset, like "/Game/Carla/Static/Vehicles/.../SM_LincolnParked.SM_LincolnParked".
        blueprint_ids: Ids of all blueprints; a prop's mesh is named as the prop is.

    Returns:
        Its id, or None where the path names nothing known.
    """
    name = mesh_path.rsplit("/", 1)[-1].split(".", 1)[0].lower()
    name = name.removeprefix("sm_").replace("_", "").replace("parked", "")
    if "vehicle" in mesh_path.lower():
        found = max((key for key in _VEHICLES if key in name), key=len, default=None)
        return f"vehicle.{_VEHICLES[found]}" if found else None
    prop = f"static.prop.{name}"
    return prop if name and prop in blueprint_ids else None
