"""Where numba keeps the server's compiled kernels: a folder of the user's cache that belongs to these sources.

numba looks only at the file of the function that is called when it decides whether a cached kernel is still good.
A kernel that calls functions of other files would run old code after an update, so every state of the sources has
a folder of its own. It also serves installations that can't be written to. Two installations share no kernels: numba
keys them by the path of their source, too.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import platformdirs

VARIABLE = "NUMBA_CACHE_DIR"


def use_own_folder() -> None:
    """Names the folder to numba, which reads the variable when it is imported; a folder set by the user stays."""
    os.environ.setdefault(VARIABLE, str(kernel_folder()))


def kernel_folder() -> Path:
    """The folder for the sources as they are now."""
    package = Path(__file__).parent
    digest = hashlib.sha1(str(package).encode())
    for path in sorted(package.rglob("*.py")):
        source = path.read_bytes()
        if b"njit" in source or path.parent.name == "physics":
            digest.update(path.relative_to(package).as_posix().encode())
            digest.update(source)
    return Path(platformdirs.user_cache_dir("rllib_integration")) / f"kernels-{digest.hexdigest()[:12]}"
