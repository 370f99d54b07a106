"""Access control: checks of the host, the origin and the token of every request."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Guards:
    """The viewer's access rules.

    Attributes:
        opened_wider: Whether other machines can reach the viewer.
        controls: Whether worlds may be changed.
        token: Secret that other machines need to look, and every browser needs to change worlds.
    """

    opened_wider: bool
    controls: bool
    token: str

    @classmethod
    def for_address(cls, host: str, controls: bool) -> Guards:
        """The guards of a viewer that listens on an address."""
        return cls(not _is_loopback(host), controls, secrets.token_urlsafe(24))

    @property
    def needs_token(self) -> bool:
        """Whether the printed address has to contain the token."""
        return self.opened_wider or self.controls

    def may_look(self, token: str | None) -> bool:
        """Whether a browser with this token may look."""
        return not self.opened_wider or self._is_right(token)

    def may_control(self, token: str | None) -> bool:
        """Whether a browser with this token may change worlds."""
        return self.controls and self._is_right(token)

    def _is_right(self, token: str | None) -> bool:
        return hmac.compare_digest((token or "").encode(), self.token.encode())

    def check_host(self, request: web.Request) -> None:
        """Refuse requests to other host names: a hostile site may resolve its name to this machine (DNS rebinding).

        Raises:
            web.HTTPForbidden: The name is not this machine's.
        """
        name = urlsplit(f"//{request.host}").hostname or ""
        # A wider address may have any name; there the token protects the data.
        if name not in _LOOPBACK_NAMES and not (self.opened_wider and name):
            raise web.HTTPForbidden(text="This viewer is reached as localhost.")

    def check_origin(self, request: web.Request) -> None:
        """Refuse requests from pages of other sites.

        Raises:
            web.HTTPForbidden: The origin is another site.
        """
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text="Another site's page asked.")

    def check_token(self, request: web.Request) -> None:
        """Refuse requests that may not look.

        Raises:
            web.HTTPUnauthorized: The token is missing or wrong.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not self.may_look(token if scheme == "Bearer" else None):
            raise web.HTTPUnauthorized(
                text="The address of this page ends in #token=...: open the one that was printed."
            )

    def middleware(self) -> Any:
        """Checks every request, and adds the security headers to every response."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                self.check_host(request)
                self.check_origin(request)
                response = await handler(request)
            except web.HTTPException as answer:
                answer.headers.update(_HEADERS)
                raise
            if not response.prepared:
                response.headers.update(_HEADERS)
            return response

        return guard


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
