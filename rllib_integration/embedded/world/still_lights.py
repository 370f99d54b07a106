import numpy as np
LIGHT=np.dtype([("state","u1"),("frozen","u1"),("green","f4"),("yellow","f4"),("red","f4"),("elapsed","f4")],align=True)
class TrafficLights:
    def __init__(self,town): self.rows=np.zeros(sum(s.is_traffic_light for s in town.signals),LIGHT)
    def tick(self,dt): pass
