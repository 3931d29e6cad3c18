"""Refuses WebSockets that another site's page opens.

Browsers send cookies with such a request and let it through, so the server must look where it comes
from. Channels' own check compares host names alone: another application on another port of the same
host would pass, and so would a request without an Origin.
"""

from collections.abc import Collection
from typing import Any

from django.http.request import split_domain_port, validate_host

type Scope = dict[str, Any]


class OriginCheck:
    """Lets a WebSocket through when its origin is one of `origins`: scheme, host and port, exactly.

    Without any, it must be the address that the request itself was sent to, on one of `hosts`.
    """

    def __init__(self, app: Any, *, origins: Collection[str], hosts: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._hosts = list(hosts)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket" and not self.allows(scope):
            await receive()  # the handshake
            await send({"type": "websocket.close", "code": 4403})
            return
        await self._app(scope, receive, send)

    def allows(self, scope: Scope) -> bool:
        origin, host = _only(scope, b"origin"), _only(scope, b"host")
        if origin is None or host is None:
            return False
        if self._origins:
            return origin in self._origins
        # A host of our own, so that a name which an attacker points at this machine does not count.
        return validate_host(split_domain_port(host)[0], self._hosts) and origin == f"http://{host}"


def _only(scope: Scope, name: bytes) -> str | None:
    """The header, if it is there once."""
    found = [value for header, value in scope["headers"] if header == name]
    if len(found) != 1:
        return None
    return str(found[0].decode("latin-1"))
