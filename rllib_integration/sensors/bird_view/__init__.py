"""The bird view: a picture of the hero's surroundings from above, painted by the client."""
