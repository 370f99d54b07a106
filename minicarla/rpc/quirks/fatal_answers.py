"""Defect: a client ends when one of its own threads cannot use an answer.

Most calls are made by the user's own thread, where an error becomes an exception. Those here are made by threads that
belong to the client, a Traffic Manager's or that of the world stream, where an error, or a value that cannot be
decoded, ends the whole process.

Nothing waits here: such a call is answered with the last good value. Test: `tests/minicarla/test_rpc_reply_guard.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from minicarla.protocol.shapes import are_finite, are_texts, are_whole, is_box, is_number, parts
from minicarla.protocol.values import PackValue
from minicarla.rpc.calls.descriptions import settings_to_wire
from minicarla.rpc.registry import Returns
from minicarla.world.settings import EpisodeSettings, Weather

_NO_BOX: list[PackValue] = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 0]


class MalformedReplyError(ValueError):
    """The answer to a call does not have the layout that the client decodes."""


def _are_settings(value: object) -> bool:
    flags, numbers = (0, 1, 3, 7, 10), (4, 6, 8, 9)
    fields = parts(value, 11)
    step = fields[2]
    return (
        all(type(fields[place]) is bool for place in flags)
        and are_finite([fields[place] for place in numbers], len(numbers))
        and type(fields[5]) is int
        and (step == [False] or (parts(step, 2)[0] is True and are_finite(step[1:], 1)))  # type: ignore[index]
    )


def _are_lamps(value: object) -> bool:
    return isinstance(value, list) and all(are_whole(*parts(pair, 2)) for pair in value)


def _is_response(value: object) -> bool:
    (response,) = parts(value, 1)
    kind, content = parts(response, 2)
    return are_whole(content) if kind == 1 else kind == 0 and are_texts(*parts(content, 1))


def _are_responses(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_response, value))


def _is_street_light(value: object) -> bool:
    number, location, intensity, group, colour, active = parts(value, 6)
    return (
        are_whole(number, group, *parts(colour, 3))
        and are_finite(location, 3)
        and is_number(intensity)
        and type(active) is bool
    )


def _are_street_lights(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_street_light, value))


class _Guard(NamedTuple):
    """What one call has to answer.

    Attributes:
        fits: Whether the client can decode a value.
        instead: Answers for it before it ever succeeded.
        returns: The form of its answer.
        to_everybody: Whether all clients make the call on such a thread, not only those with a Traffic Manager.
    """

    fits: Callable[[object], bool]
    instead: PackValue
    returns: Returns = Returns.VALUE
    to_everybody: bool = False


_GUARDS = {
    "get_episode_settings": _Guard(_are_settings, settings_to_wire(EpisodeSettings())),
    "get_weather_parameters": _Guard(lambda value: are_finite(value, 14), [*vars(Weather()).values()]),
    "get_vehicle_light_states": _Guard(_are_lamps, []),
    "get_actor_bounding_box": _Guard(is_box, _NO_BOX),
    "apply_batch": _Guard(_are_responses, [], Returns.BARE),
    "set_actor_simulate_physics": _Guard(lambda value: True, None, Returns.VOID),
    "query_lights_state": _Guard(_are_street_lights, [], to_everybody=True),
}
_KEPT = ("get_episode_settings", "get_weather_parameters")


class ReplyGuard:
    """Checks the answers that may not fail, and answers for the calls that did."""

    def __init__(self) -> None:
        self._last: dict[str, PackValue] = {}

    def check(self, method: str, result: PackValue) -> None:
        """Look at an answer before it leaves.

        Raises:
            MalformedReplyError: It would end a client.
        """
        guard = _GUARDS.get(method)
        # What is asked for most is mostly the same object as before.
        if guard is None or (method in self._last and self._last[method] is result):
            return
        if not guard.fits(result):
            raise MalformedReplyError(f"unexpected values in {result!r:.200}")
        if method in _KEPT:
            self._last[method] = result

    def instead_of_failure(self, method: str, has_traffic_manager: bool) -> tuple[Returns, PackValue] | None:
        """Form and value of an answer that no client ends of; None for calls that may fail.

        Args:
            method: The call that failed.
            has_traffic_manager: Whether the calling client runs one.
        """
        guard = _GUARDS.get(method)
        if guard is None or not (guard.to_everybody or has_traffic_manager):
            return None
        return guard.returns, self._last.get(method, guard.instead)
