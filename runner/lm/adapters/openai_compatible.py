"""Providers that speak the chat-completions API, over HTTP with server-sent events."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from email.utils import parsedate_to_datetime
from time import time

import httpx
import msgspec

from runner.engine.errors import InvalidConfig
from runner.lm.adapters.chat_completions import (
    ChatAnswer,
    excerpt,
    reported_error,
    request_body,
    settings_of,
)
from runner.lm.adapters.sse import EventDecoder
from runner.lm.errors import LMTimeout, TransportError, UnexpectedResponse
from runner.lm.types import LMProfile, LMRequest, LMResponse

CONNECT_TIMEOUT = 10.0
# Longer bodies than this are no error message and no chat completion.
LONGEST_BODY = 16 * 2**20

_encode = msgspec.json.Encoder().encode


class OpenAICompatibleAdapter:
    """One HTTP client for all profiles: it keeps connections open by origin."""

    def __init__(self) -> None:
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def stream(
        self, request: LMRequest, profile: LMProfile
    ) -> AsyncGenerator[str | LMResponse, None]:
        body = request_body(request, profile, settings_of(profile))
        url, headers = _url(profile), _headers(profile)
        client = await self._client(url.scheme)
        answer = ChatAnswer()
        try:
            async with client.stream(
                "POST",
                url,
                content=_encode(body),
                headers=headers,
                timeout=httpx.Timeout(profile.timeout, connect=CONNECT_TIMEOUT, pool=None),
            ) as response:
                async for text in _read(response, answer):
                    yield text
        except httpx.TimeoutException as error:
            raise LMTimeout(f"The provider did not answer in time ({_name(error)}).") from error
        except httpx.HTTPError as error:
            raise TransportError(
                f"The connection to the provider failed: {_name(error)}"
            ) from error
        yield answer.response()

    def health(self, profile: LMProfile) -> tuple[bool, str]:
        try:
            host = _url(profile).host
            _headers(profile)
            settings_of(profile)
        except InvalidConfig as error:
            return False, error.message
        if not profile.model:
            return False, "No model is named."
        return True, f"Set up for {host}{'' if profile.api_key else ', without a key'}."

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def _client(self, scheme: str) -> httpx.AsyncClient:
        """The client for http or https. Reading the certificates takes too long for the event loop."""
        if scheme not in self._clients:
            if scheme == "https":
                context = await asyncio.to_thread(httpx.create_ssl_context, trust_env=False)
            else:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
            if scheme not in self._clients:
                limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
                self._clients[scheme] = httpx.AsyncClient(
                    verify=context, trust_env=False, limits=limits
                )
        return self._clients[scheme]


async def _read(response: httpx.Response, answer: ChatAnswer) -> AsyncIterator[str]:
    """Pieces of text, from a stream or (where a provider does not stream) from one JSON body."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status_code != 200:
        raise reported_error(
            _error_object(await _body(response), response),
            response.status_code,
            _retry_after(response.headers.get("retry-after", "")),
        )
    if kind == "application/json":
        if text := answer.feed(await _body(response)):
            yield text
    elif kind == "text/event-stream":
        async for text in _events(response, answer):
            yield text
    else:
        body = excerpt(await _body(response))
        raise UnexpectedResponse(f"The provider sent {kind or 'no content type'}: {body}")


async def _events(response: httpx.Response, answer: ChatAnswer) -> AsyncIterator[str]:
    decoder = EventDecoder()
    async for received in response.aiter_bytes():
        for _, data in decoder.feed(received):
            if data != b"[DONE]" and (text := answer.feed(data)):
                yield text


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


def _retry_after(value: str) -> float | None:
    """Seconds, from a header that holds seconds or a date."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except ValueError:
        return None


def _url(profile: LMProfile) -> httpx.URL:
    try:
        url = httpx.URL(profile.base_url.rstrip("/") + "/chat/completions")
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidConfig(
            f"LM profile '{profile.name}' has no usable base URL. It begins with http:// or https:// "
            "and ends before /chat/completions."
        )
    return url


def _headers(profile: LMProfile) -> dict[str, str]:
    headers = {"content-type": "application/json", "accept": "text/event-stream"}
    if not profile.api_key:
        return headers
    # Here, because the HTTP library would show the key in its message, in a form that no mask finds.
    if not (profile.api_key.isascii() and profile.api_key.isprintable()):
        raise InvalidConfig(
            f"The key of LM profile '{profile.name}' has characters that are in no key, such as a "
            "line break. Enter it again."
        )
    return headers | {"authorization": f"Bearer {profile.api_key}"}


def _name(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
