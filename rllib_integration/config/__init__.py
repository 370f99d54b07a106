"""Configuration: layered YAML, checked against defaults."""
