"""Providers over HTTP with server-sent events: what is sent and how it is read, whatever the API.

A redirect is never followed: it would take the key to another host.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from functools import lru_cache
from typing import NamedTuple

import httpx
import msgspec

from runner.engine.errors import InvalidConfig
from runner.lm.adapters.adapter import Part
from runner.lm.adapters.sse import EventDecoder
from runner.lm.adapters.wire import Answer, Wire, excerpt, reported_error, retry_after
from runner.lm.errors import UnexpectedResponse
from runner.lm.http_client import Answer as HTTPAnswer
from runner.lm.http_client import HTTPClient, Place
from runner.lm.types import LMProfile, LMRequest

# Longer bodies than this are no error message and no answer of a language model.
LONGEST_BODY = 16 * 2**20

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_COMMON = {
    "content-type": "application/json",
    "accept": "text/event-stream",
    "accept-encoding": "identity",
    "user-agent": "DSPex",
}

_encode = msgspec.json.Encoder().encode


class HTTPAdapter:
    """Base of the adapters that speak HTTP: they say with which wire format."""

    def __init__(self) -> None:
        self._client = HTTPClient()

    def wire(self, profile: LMProfile) -> Wire:
        """The wire format of one call; InvalidConfig where the profile's settings can't be read."""
        raise NotImplementedError

    async def stream(self, request: LMRequest, profile: LMProfile) -> AsyncGenerator[Part, None]:
        wire = self.wire(profile)
        url, headers = _url(profile, wire), _headers(profile, wire)
        body = _encode(wire.body(request, profile))
        answer = wire.answer()
        response = await self._client.post(
            url.place(profile.private_network),
            url.path,
            {"host": url.authority, **headers},
            body,
            connect_timeout=profile.connect_timeout,
        )
        try:
            async for text in _read(response, answer):
                yield text
        finally:
            response.close()
        yield answer.response()

    def health(self, profile: LMProfile) -> tuple[bool, str]:
        try:
            wire = self.wire(profile)
            host = _url(profile, wire).host
            _headers(profile, wire)
        except InvalidConfig as error:
            return False, error.message
        if not profile.model:
            return False, "No model is named."
        return True, f"Set up for {host}{'' if profile.api_key else ', without a key'}."

    async def aclose(self) -> None:
        await self._client.aclose()


async def _read(response: HTTPAnswer, answer: Answer) -> AsyncIterator[str]:
    """Pieces of text, from a stream or (where a provider does not stream) from one JSON body."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status != 200:
        raise reported_error(
            _error_object(await _body(response), response),
            response.status,
            retry_after(response.headers),
        )
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnexpectedResponse("The provider compressed its answer, though it was told not to.")
    if kind == "application/json":
        if text := answer.whole(await _body(response)):
            yield text
    elif kind == "text/event-stream":
        decoder = EventDecoder()
        while received := await response.read():
            for _, data in decoder.feed(received):
                if text := answer.event(data):
                    yield text
    else:
        body = excerpt(await _body(response))
        raise UnexpectedResponse(f"The provider sent {kind or 'no content type'}: {body}")


async def _body(response: HTTPAnswer) -> bytes:
    parts, length = [], 0
    while part := await response.read():
        parts.append(part)
        length += len(part)
        if length > LONGEST_BODY:
            raise UnexpectedResponse(f"The provider's answer is over {LONGEST_BODY >> 20} MiB.")
    return b"".join(parts)


def _error_object(body: bytes, response: HTTPAnswer) -> object:
    if response.status in _REDIRECTS:
        return "a redirect, which is not followed. Set the base URL to where it leads."
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return excerpt(body)
    if isinstance(decoded, list) and decoded:  # some gateways wrap it in a list
        decoded = decoded[0]
    if isinstance(decoded, dict):
        return decoded.get("error") or decoded
    return excerpt(body)


class _URL(NamedTuple):
    """An address in the parts that a request is made of."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str

    def place(self, private_network: bool) -> Place:
        return Place(self.scheme, self.host, self.port, private_network)


def _url(profile: LMProfile, wire: Wire) -> _URL:
    url = _parsed(profile.base_url.rstrip("/") + wire.path)
    if url is None:
        raise InvalidConfig(
            f"LM profile '{profile.name}' has no usable base URL. It begins with http:// or https:// "
            f"and ends before {wire.path}."
        )
    return url


@lru_cache(maxsize=256)
def _parsed(text: str) -> _URL | None:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return None
    if url.scheme not in _PORTS or not url.host:
        return None
    host, port = url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme]
    return _URL(url.scheme, host, port, url.netloc.decode("ascii"), url.raw_path.decode("ascii"))


def _headers(profile: LMProfile, wire: Wire) -> dict[str, str]:
    # Here, because the HTTP library would show the key in its message, in a form that no mask finds.
    if not (profile.api_key.isascii() and profile.api_key.isprintable()):
        raise InvalidConfig(
            f"The key of LM profile '{profile.name}' has characters that are in no key, such as a "
            "line break. Enter it again."
        )
    headers = _COMMON | wire.headers(profile)
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise InvalidConfig(f"LM profile '{profile.name}': {name} can't be {value!r:.60}.")
    return headers
