"""Processes that this library starts: supervised, watched, and ended with their parent."""
