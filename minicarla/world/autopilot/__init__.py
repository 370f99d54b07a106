"""Drives vehicles inside the server: along lanes, behind others, to the lines of lights and signs, through junctions.

Each tick, before physics, it sets the pedals and the wheels of its vehicles as a client would; physics does the rest.
The same world and the same seed give the same traffic, bit for bit.

A driver turns at random and changes lanes by the Traffic Manager's rules. It follows the vehicle ahead, stops at red
lights and at signs, and slows down for bends. It reserves its way through a junction before it enters: until it has
passed, no other driver gets a lane that crosses it. Of several that wait, the first to come is the first to go.
"""

from minicarla.world.autopilot.autopilot import Autopilot
from minicarla.world.autopilot.driver import DRIVER
from minicarla.world.autopilot.driving import drive
from minicarla.world.autopilot.manners import Manners

__all__ = ["DRIVER", "Autopilot", "Manners", "drive"]
