"""How the sensors' kernels are compiled."""

from __future__ import annotations

KERNEL: dict[str, object] = {
    "error_model": "numpy",
    "fastmath": {"contract", "arcp", "nsz", "afn", "reassoc"},
}
"""Options of a kernel that may allocate arrays. Reordered sums are no harm in a picture; infinities stay exact."""

BARE: dict[str, object] = {**KERNEL, "_nrt": False}
"""Options of a kernel that allocates nothing. Without reference counts, the named tuples that carry dozens of arrays
cost nothing to hand on; with them, shading a pixel takes ten times as long."""

INNER: dict[str, object] = {**BARE, "no_cpython_wrapper": True}
"""Options of what only such kernels call: there is no wrapper to compile with which Python could call it."""

INLINE: dict[str, object] = {**INNER, "forceinline": True}
"""Options of what such a kernel calls for every pixel."""
