"""Which remote calls exist, and how each answers."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from minicarla.protocol.values import PackValue

Function = TypeVar("Function", bound="Callable[..., PackValue | Unfinished]")


class RemoteError(Exception):
    """A remote call cannot be fulfilled; the text goes to the client, which raises RuntimeError with it."""


class Returns(enum.Enum):
    """What the client expects of a call's answer."""

    VALUE = enum.auto()
    VOID = enum.auto()
    BARE = enum.auto()


class Unfinished:
    """What a call returns that takes long: the server goes on with it, in turns with what others ask for."""

    def go_on(self, seconds: float) -> PackValue | Unfinished:
        """Work for about so long; returns the call's result, or itself if some is left."""
        raise NotImplementedError


class RemoteCall(NamedTuple):
    """One remote call.

    Attributes:
        function: Called with the server and the arguments.
        returns: The form of its answer.
        at_least: Fewest arguments.
        at_most: Most arguments.
    """

    function: Callable[..., PackValue | Unfinished]
    returns: Returns
    at_least: int
    at_most: int


REMOTE_CALLS: dict[str, RemoteCall] = {}


def _register(function: Function, returns: Returns) -> Function:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    required = sum(parameter.default is parameter.empty for parameter in parameters)
    REMOTE_CALLS[function.__name__] = RemoteCall(function, returns, required, len(parameters))
    return function


def value(function: Function) -> Function:
    """Register a call of the function's name that answers with the function's result."""
    return _register(function, Returns.VALUE)


def void(function: Function) -> Function:
    """Register a call of the function's name that answers with nothing but success."""
    return _register(function, Returns.VOID)


def bare(function: Function) -> Function:
    """Register a call whose result carries its own envelopes."""
    return _register(function, Returns.BARE)
