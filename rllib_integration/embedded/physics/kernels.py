"""How kernels are compiled: once, kept on disk, and without shortcuts that would change a bit of the result.

`fastmath` and `parallel` stay off, so that the same input gives the same trajectory on every run. Division by zero
gives IEEE infinities instead of a Python exception: no kernel needs the check, and the code is smaller without it.
"""

from __future__ import annotations

from numba import njit

kernel = njit(cache=True, error_model="numpy")
