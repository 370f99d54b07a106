"""Recordings: written while the world ticks, replayed, reported on."""
