"""Files of caches that begin with a hash of their name and of the rest.

So what a crash or a full disk has cut short is noticed, and what belongs elsewhere.
"""

from __future__ import annotations

import hashlib
from typing import IO

_SIZE = hashlib.sha256().digest_size
_BLOCK_SIZE = 1 << 20


def write_checked(file: IO[bytes], name: str, content: bytes | memoryview) -> None:
    """Write the hash and the content to an open file.

    Args:
        file: open for writing, maybe under another name yet.
        name: the file's name, without its folder.
        content: what follows the hash.

    Raises:
        OSError: the disk is full, say.
    """
    digest = hashlib.sha256(name.encode())
    digest.update(content)
    file.write(digest.digest())
    file.write(content)


def is_whole(file: IO[bytes], name: str) -> bool:
    """Whether a file holds what was written under this name; where the content begins it can be read on afterwards.

    Args:
        file: open for reading, at its beginning.
        name: the file's name, without its folder.

    Raises:
        OSError: the file cannot be read.
    """
    told, digest = file.read(_SIZE), hashlib.sha256(name.encode())
    while block := file.read(_BLOCK_SIZE):
        digest.update(block)
    file.seek(_SIZE)
    return told == digest.digest()
