"""The ticks of a world: what makes them, how their end is noticed, and the sensor data that belong to them."""
