"""An env runner's exception ends the run with itself, if it would come again."""

from __future__ import annotations

import pytest

from rllib_integration.config.merging import ConfigError
from rllib_integration.failures import UserCodeFailure
from rllib_integration.servers import ServerHangError
from rllib_integration.training import runner_failures


class Store:
    """Ray's store, of one process."""

    def __init__(self) -> None:
        self.content: dict[bytes, bytes] = {}

    def _internal_kv_put(self, key: bytes, value: bytes, overwrite: bool) -> None:
        assert not overwrite
        self.content.setdefault(key, value)

    def _internal_kv_get(self, key: bytes) -> bytes | None:
        return self.content.get(key)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()
    monkeypatch.setattr(runner_failures, "internal_kv", store)
    monkeypatch.setattr(runner_failures, "_key", lambda: b"key")
    return store


def tell(error: Exception) -> bool:
    """As an env runner does: RLlib raises a RuntimeError without a word from what a step raised."""
    try:
        try:
            raise error
        except Exception as inner:
            raise RuntimeError from inner
    except RuntimeError as wrapped:
        return runner_failures.tell_run(wrapped)


def test_a_mistake_in_the_users_code_is_told_once_with_its_line(store: Store) -> None:
    runner_failures.raise_what_was_told()  # nothing yet
    assert tell(AttributeError("no 'speeed'"))
    assert tell(ValueError("the second runner's"))
    with pytest.raises(UserCodeFailure, match=r"^AttributeError: no 'speeed'$") as caught:
        runner_failures.raise_what_was_told()
    assert f"{__file__}, line " in caught.value.failure.place


def test_a_sentence_of_the_librarys_is_told_and_a_lost_server_is_not(store: Store) -> None:
    assert not tell(ServerHangError("The server did not answer."))
    assert store.content == {}
    assert tell(ConfigError("The action is nan."))
    with pytest.raises(UserCodeFailure, match=r"^The action is nan\.$"):
        runner_failures.raise_what_was_told()
