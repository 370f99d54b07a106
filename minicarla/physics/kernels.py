"""How kernels are compiled: once, kept on disk, and without shortcuts that would change a bit of the result.

`fastmath` and `parallel` stay off, so that the same input gives the same trajectory on every run. Division by zero
gives IEEE infinities instead of a Python exception: no kernel needs the check, and the code is smaller without it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from minicarla.kernels.cache import njit

Record: TypeAlias = Any
"""A row of a structured array: numpy's own type of it knows nothing of its fields, which kernels use as attributes."""

_EXACT: dict[str, object] = {"error_model": "numpy"}
_BARE: dict[str, object] = {**_EXACT, "_nrt": False, "no_cpython_wrapper": True}

entry = njit(**_EXACT)
"""For what Python calls, and for what makes arrays or returns them."""

bare_entry = njit(**_EXACT, _nrt=False)
"""For what Python calls, and what neither makes arrays nor returns them: no reference counts."""

kernel = njit(**_BARE)
"""For what only kernels call: no Python wrapper to compile, and no reference counts. It must neither make arrays nor
return them."""

inlined = njit(**_BARE, forceinline=True)
"""For small kernels that every substep of every vehicle calls."""
