"""Towns for the tests of this folder: made in a cache of their own, once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from minicarla.town import BUILT_IN_TOWN, Town, load_town


@cache
def _town(name: str) -> Town:
    return load_town(name)


@pytest.fixture(scope="session")
def minitown() -> Town:
    """The built-in town."""
    return _town(BUILT_IN_TOWN)


@pytest.fixture(scope="session")
def town_named() -> Callable[[str], Town]:
    """Loads any town, each once a session."""
    return _town
