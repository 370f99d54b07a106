"""Machine images and instances on EC2 for training on a Ray cluster."""
