"""Bytes and values: RPC framing, stream framing and wire layouts of CARLA 0.9.16. Knows no simulation."""
