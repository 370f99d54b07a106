"""Bytes and values: RPC framing, stream framing and wire layouts of CARLA. Knows no simulation."""
