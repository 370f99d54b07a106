"""What a defect's file brings along."""

from __future__ import annotations

from typing import NamedTuple

from minicarla.protocol.rpc_framing import Request
from minicarla.rpc.deferrals import Wait
from minicarla.rpc.session import Client


class Answered(NamedTuple):
    """A call that was carried out and whose answer has not left yet.

    Attributes:
        method: The call.
        changes_traffic: Whether it spawned or ended an actor of which the client's threads are to hear first.
        is_synchronous: Whether the world is.
    """

    method: str
    changes_traffic: bool
    is_synchronous: bool


class Quirk:
    """Keeps one defect of CARLA's client from doing harm. Each of these does nothing unless a quirk says otherwise."""

    def before(self, client: Client, request: Request) -> Wait | None:
        """What a request has to wait for before it is carried out."""
        return None

    def observe(self, client: Client, method: str) -> None:
        """A call is about to be carried out."""

    def after(self, client: Client, answered: Answered) -> Wait | None:
        """What an answer has to wait for."""
        return None

    def ticked(self, client: Client) -> None:
        """A client's tick was carried out, and all subscribers were sent its frame."""

    def frame_is_out(self) -> None:
        """All subscribers were sent a frame of an asynchronous world."""
