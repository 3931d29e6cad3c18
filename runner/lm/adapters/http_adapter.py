"""Providers over HTTP with server-sent events: connections, time limits and faults, whatever the API.

A redirect is never followed (it would take the key to another host), the environment's proxies are not
used, and a name leads only where `runner/lm/network.py` lets it.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator

import httpx
import msgspec

from runner.engine.errors import InvalidConfig
from runner.lm.adapters.adapter import Part
from runner.lm.adapters.sse import EventDecoder
from runner.lm.adapters.wire import Answer, Wire, excerpt, reported_error, retry_after
from runner.lm.errors import LMTimeout, TransportError, UnexpectedResponse
from runner.lm.network import CheckedTransport
from runner.lm.types import LMProfile, LMRequest

# Longer bodies than this are no error message and no answer of a language model.
LONGEST_BODY = 16 * 2**20

_encode = msgspec.json.Encoder().encode


class HTTPAdapter:
    """Base of the adapters that speak HTTP: they say with which wire format."""

    def __init__(self) -> None:
        self._clients: dict[tuple[str, bool], httpx.AsyncClient] = {}

    def wire(self, profile: LMProfile) -> Wire:
        """The wire format of one call; InvalidConfig where the profile's settings can't be read."""
        raise NotImplementedError

    async def stream(self, request: LMRequest, profile: LMProfile) -> AsyncGenerator[Part, None]:
        wire = self.wire(profile)
        url, headers = _url(profile, wire), _headers(profile, wire)
        body = _encode(wire.body(request, profile))
        client = await self._client(url.scheme, profile.private_network)
        answer = wire.answer()
        timeout = httpx.Timeout(profile.timeout, connect=profile.connect_timeout, pool=None)
        try:
            async with client.stream(
                "POST", url, content=body, headers=headers, timeout=timeout
            ) as response:
                async for text in _read(response, answer):
                    yield text
        except httpx.TimeoutException as error:
            raise LMTimeout(_timed_out(error, profile)) from error
        except httpx.HTTPError as error:
            raise TransportError(
                f"The connection to the provider failed: {_name(error)}"
            ) from error
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
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def _client(self, scheme: str, private_network: bool) -> httpx.AsyncClient:
        """One client, so that connections stay open, for each way to connect. Reading the certificates
        takes too long for the event loop."""
        key = (scheme, private_network)
        if key not in self._clients:
            if scheme == "https":
                context = await asyncio.to_thread(httpx.create_ssl_context, trust_env=False)
            else:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
            if key not in self._clients:
                self._clients[key] = httpx.AsyncClient(
                    transport=CheckedTransport(context, private_network=private_network),
                    trust_env=False,
                )
        return self._clients[key]


async def _read(response: httpx.Response, answer: Answer) -> AsyncIterator[str]:
    """Pieces of text, from a stream or (where a provider does not stream) from one JSON body."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status_code != 200:
        raise reported_error(
            _error_object(await _body(response), response),
            response.status_code,
            retry_after(response.headers),
        )
    if kind == "application/json":
        if text := answer.whole(await _body(response)):
            yield text
    elif kind == "text/event-stream":
        decoder = EventDecoder()
        async for received in response.aiter_bytes():
            for _, data in decoder.feed(received):
                if text := answer.event(data):
                    yield text
    else:
        body = excerpt(await _body(response))
        raise UnexpectedResponse(f"The provider sent {kind or 'no content type'}: {body}")


async def _body(response: httpx.Response) -> bytes:
    parts, length = [], 0
    async for part in response.aiter_bytes():
        parts.append(part)
        length += len(part)
        if length > LONGEST_BODY:
            raise UnexpectedResponse(f"The provider's answer is over {LONGEST_BODY >> 20} MiB.")
    return b"".join(parts)


def _error_object(body: bytes, response: httpx.Response) -> object:
    if response.is_redirect:
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


def _url(profile: LMProfile, wire: Wire) -> httpx.URL:
    try:
        url = httpx.URL(profile.base_url.rstrip("/") + wire.path)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidConfig(
            f"LM profile '{profile.name}' has no usable base URL. It begins with http:// or https:// "
            f"and ends before {wire.path}."
        )
    return url


def _headers(profile: LMProfile, wire: Wire) -> dict[str, str]:
    # Here, because the HTTP library would show the key in its message, in a form that no mask finds.
    if not (profile.api_key.isascii() and profile.api_key.isprintable()):
        raise InvalidConfig(
            f"The key of LM profile '{profile.name}' has characters that are in no key, such as a "
            "line break. Enter it again."
        )
    common = {"content-type": "application/json", "accept": "text/event-stream"}
    return common | wire.headers(profile)


def _timed_out(error: httpx.TimeoutException, profile: LMProfile) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return f"No connection to the provider within {profile.connect_timeout:g} s."
    return f"The provider did not answer in time ({_name(error)})."


def _name(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
