"""Log lines about calls that nobody waits for, without letting a client flood the log."""

from __future__ import annotations

import logging
from collections import Counter

logger = logging.getLogger(__name__)

_MAX_KINDS = 1000


class Complaints:
    """Logs the 1st, 2nd, 4th, 8th, ... complaint about each method."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def log(self, method: str, text: str) -> bool:
        """Say what went wrong with a call; returns whether it was said."""
        if method not in self._counts and len(self._counts) >= _MAX_KINDS:
            return False
        self._counts[method] += 1
        count = self._counts[method]
        if count & (count - 1):
            return False
        logger.warning("%.80s: %.500s%s", method, text, f" ({count} times)" if count > 1 else "")
        return True
