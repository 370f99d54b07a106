"""Walks pedestrians inside the server: along sidewalks, over crossings, around each other, to one random place
after another.

Each tick, before physics, it places its walkers where a client's navigation would. Who is knocked over is left to
physics, which lets him get up and walk back. The same world and the same seed give the same ways, bit for bit.
"""

from minicarla.world.pedestrians.pedestrian import PEDESTRIAN
from minicarla.world.pedestrians.pedestrians import Pedestrians
from minicarla.world.pedestrians.walking import begin, walk
from minicarla.world.pedestrians.ways import Search, begin_search

__all__ = ["PEDESTRIAN", "Pedestrians", "Search", "begin", "begin_search", "walk"]
