"""Numba kernels: compiled, kept on disk, called with little overhead."""
