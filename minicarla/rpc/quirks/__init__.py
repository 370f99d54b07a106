"""Defects of CARLA's client that a server can keep from doing harm, one a file."""
