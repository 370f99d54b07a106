"""What the user's code did wrong in an env runner, told to the run, which then ends with it.

RLlib takes every exception of an env runner for a fault of its process: it starts the runner again, into the same
mistake, and keeps the reason to itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.actor import exit_actor
from ray.experimental import internal_kv

from rllib_integration.errors import IntegrationError
from rllib_integration.failures import Failure, UserCodeFailure, original_error
from rllib_integration.sensors import SensorTimeoutError
from rllib_integration.servers import ServerError

_RECOVERABLE = (ServerError, SensorTimeoutError)  # with another simulator it may go better


@contextmanager
def ending_the_run(worker_index: int | None) -> Iterator[None]:
    """Within it, a mistake in the user's code ends the run, and not this process alone, which Ray would start again.

    Args:
        worker_index: The env runner's; 0 or None is the one in the run's own process, where an exception ends the run.
    """
    try:
        yield
    except Exception as error:
        if worker_index and tell_run(error):
            exit_actor()
        raise


def tell_run(error: Exception) -> bool:
    """Tell the run of an exception that would come again: of the user's own code, or with a sentence of this library's.

    Args:
        error: What ends the sampling in an env runner's process.

    Returns:
        Whether it is of this kind.
    """
    failure, original = Failure.of(error), original_error(error)
    is_mistake = isinstance(original, IntegrationError) and not isinstance(original, _RECOVERABLE)
    if not is_mistake and not failure.place:
        return False
    internal_kv._internal_kv_put(_key(), failure.to_json().encode(), overwrite=False)
    return True


def raise_what_was_told() -> None:
    """Raise what an env runner of this run has told.

    Raises:
        UserCodeFailure: One has.
    """
    told = internal_kv._internal_kv_get(_key())
    if told:
        raise UserCodeFailure(Failure.from_json(told.decode()))


def _key() -> bytes:
    """Where Ray keeps it; processes of one run, and they alone, have the same job."""
    return f"rllib_integration/{ray.get_runtime_context().get_job_id()}/failure".encode()
