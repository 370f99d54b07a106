"""What a client does first must not wait for a compiler."""

from __future__ import annotations

import json
import subprocess
import sys

_PROGRAM = """
import json, sys
from rllib_integration.embedded.kernel_cache import use_own_folder
use_own_folder()
from numba.core.dispatcher import Dispatcher
from rllib_integration.embedded.rpc.server import Server
from rllib_integration.embedded.world.clock import Clock
from rllib_integration.embedded.world.simulation import Simulation
from rllib_integration.embedded.world.spawning import SpawnError, spawn

def kernels():
    modules = [module for name, module in sys.modules.items() if name.startswith("rllib_integration.embedded")]
    found = {id(k): k for module in modules for k in vars(module).values() if isinstance(k, Dispatcher)}
    return {f"{k.__module__}.{k.__name__}": len(k.signatures) for k in found.values()}

simulation = Simulation()
server = Server(simulation, "127.0.0.1", 0, 0, Clock())
simulation.load("Minitown")
simulation.warm_up()
before = kernels()
library = simulation.library
x, y, z, yaw = (float(value) for value in simulation.episode.town.spawn_points[0][[0, 1, 2, 4]])
pose = ((x, y, z), (0.0, yaw, 0.0))
car = spawn(simulation, library.find("vehicle.tesla.model3"), {}, pose)
try:
    spawn(simulation, library.find("vehicle.tesla.model3"), {}, pose)
except SpawnError:
    pass
spawn(simulation, library.find("walker.pedestrian.0001"), {}, ((x + 10.0, y, z + 1.0), (0.0, 0.0, 0.0)))
spawn(simulation, library.find("sensor.other.imu"), {}, ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)), parent=car)
for _ in range(3):
    server.tick(0.05)
after = kernels()
print(json.dumps({"known": len(before), "late": [name for name in after if after[name] != before.get(name, 0)]}))
"""


def test_the_kernels_of_spawning_and_ticking_are_compiled_before_the_server_listens():
    finished = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=300)
    result = json.loads(finished.stdout)
    assert result["known"] > 20
    assert result["late"] == []
