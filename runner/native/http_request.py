"""http_request: a request to an approved host.

What flows through a pipeline chooses neither the host nor a header. A name is resolved, checked and
pinned (runner/lm/network.py); a redirect is followed only within its origin; a key goes to the host it
is bound to and nowhere else, and is masked wherever the answer repeats it.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import quote, unquote

import httpx
import msgspec

from pipelines.graph.kinds.http_request import BODIES, HttpRequest
from pipelines.graph.sandbox import SandboxError, render
from runner.engine.attempts import in_time
from runner.engine.errors import InvalidConfig, InvalidInput, RunnerError
from runner.engine.executor import Call
from runner.lm.masking import Masker
from runner.lm.network import CheckedTransport

MAX_REDIRECTS = 5
FETCH_TIMEOUT = 30.0  # seconds
FETCH_BYTES = 10_000_000
LARGE = 500_000  # bytes of JSON above which reading it leaves the event loop
_KEPT_BACK = frozenset({"set-cookie", "set-cookie2", "www-authenticate", "proxy-authenticate"})


class HostNotApproved(RunnerError):
    """Requests go to approved hosts only."""

    code = "host_not_approved"


class RequestFailed(RunnerError):
    """The exchange with the host broke off."""

    code = "transport"
    retryable = True


class BadStatus(RunnerError):
    """The host answered with an error. `details` has status and body."""

    code = "http_status"


class ServerStatus(BadStatus):
    """The host answered with an error that may pass."""

    retryable = True


class AnswerRefused(RunnerError):
    """The host's answer is larger than allowed, encoded, or leads elsewhere."""

    code = "unexpected_response"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An origin that requests may go to; `private_network`: its name may lead to an address that is
    not public."""

    origin: str
    private_network: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A secret for one origin."""

    origin: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """Where http_request nodes may send to, and the credentials they may name."""

    approved: Mapping[str, Site] = field(default_factory=dict)
    keys: Mapping[str, Key] = field(default_factory=dict)


class HTTPRequests:
    """Sends the requests of one host's http_request nodes."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites
        self._masker = Masker(key.secret for key in sites.keys.values())

    async def send(self, call: Call) -> Mapping[str, Any]:
        """`status`, `body` and `headers` of the answer."""
        config: HttpRequest = call.config
        request, site = self._request(config, call.inputs)
        exchange = self._exchange(request, site, config.timeout, config.max_bytes)
        answer = await in_time(exchange, config.timeout, call.path)
        masked: Mapping[str, Any] = self._masker.value(answer)
        if config.on_status == "fail" and masked["status"] >= 400:
            raise _bad_status(masked)
        return masked

    async def fetch(self, url: str, parameters: Mapping[str, str]) -> Any:
        """What an approved address answers a GET with; BadStatus for an error."""
        site = self._site(origin_of(url))
        plain = {"accept-encoding": "identity"}
        request = httpx.Request("GET", httpx.URL(url, params=parameters), headers=plain)
        exchange = self._exchange(request, site, FETCH_TIMEOUT, FETCH_BYTES)
        answer = await in_time(exchange, FETCH_TIMEOUT, url)
        if answer["status"] >= 400:
            raise _bad_status(answer)
        return answer["body"]

    def _request(
        self, config: HttpRequest, inputs: Mapping[str, Any]
    ) -> tuple[httpx.Request, Site]:
        url = _filled(config.url, inputs)
        origin = origin_of(url)
        site = self._site(origin)
        headers = {"accept-encoding": "identity", **config.headers}
        if config.credential is not None:
            headers["authorization"] = f"Bearer {self._key(config.credential, origin)}"
        content, kind = _content(inputs.get("body")) if config.method in BODIES else (None, "")
        if kind and not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = kind
        return httpx.Request(config.method, url, headers=headers, content=content), site

    def _site(self, origin: str) -> Site:
        site = self._sites.approved.get(origin)
        if site is None:
            raise HostNotApproved(
                f"{origin} is not an approved host. Ask an administrator to approve it."
            )
        return site

    def _key(self, name: str, origin: str) -> str:
        key = self._sites.keys.get(name)
        if key is None:
            raise InvalidConfig(
                f"There is no credential '{name}' here. Store one, or choose another."
            )
        if key.origin != origin:
            raise InvalidConfig(
                f"The credential '{name}' is for {key.origin} and goes nowhere else; the request is "
                f"for {origin}."
            )
        return key.secret

    async def _exchange(
        self, request: httpx.Request, site: Site, seconds: float, max_bytes: int
    ) -> dict[str, Any]:
        context = await _tls(request.url.scheme)
        transport = CheckedTransport(context, private_network=site.private_network)
        timeout = httpx.Timeout(seconds)
        async with httpx.AsyncClient(
            transport=transport, trust_env=False, timeout=timeout
        ) as client:
            try:
                for _ in range(MAX_REDIRECTS + 1):
                    response = await client.send(request, stream=True)
                    try:
                        if not response.has_redirect_location:
                            return await _read(response, max_bytes)
                        request = _redirected(request, response, site)
                    finally:
                        await response.aclose()
            except httpx.HTTPError as error:
                name = type(error).__name__
                text = self._masker.text(str(error))
                raise RequestFailed(
                    f"The request to {site.origin} failed: {name} {text}".rstrip()
                ) from None
        raise AnswerRefused(f"{site.origin} redirects more than {MAX_REDIRECTS} times.")


def origin_of(url: str) -> str:
    """Scheme, host and port in one spelling, as approvals are kept; InvalidConfig for what is none."""
    try:
        parsed = httpx.URL(url)
        host = parsed.raw_host.decode("ascii").rstrip(".").lower()
        port = parsed.port
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise InvalidConfig(f"'{url[:200]}' is not an address.") from None
    if parsed.scheme not in ("http", "https") or not host or parsed.userinfo:
        raise InvalidConfig(f"'{url[:200]}' is not an address such as https://api.example.com/v1.")
    host = f"[{host}]" if ":" in host else host
    shown = "" if port in (None, {"http": 80, "https": 443}[parsed.scheme]) else f":{port}"
    return f"{parsed.scheme}://{host}{shown}"


def _filled(template: str, inputs: Mapping[str, Any]) -> str:
    """The address, with every value escaped: no value adds a path, a query or a host."""
    values = {}
    for name, value in inputs.items():
        if isinstance(value, str | int | float):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            values[name] = quote(text.encode("utf-8", "replace"), safe="")
        elif name != "body":
            raise InvalidInput(
                f"input field '{name}': an address holds texts and numbers, not {value!r:.60}."
            )
    try:
        url = render(template, values)
    except SandboxError as error:
        raise InvalidConfig(f"The address can't be filled in. {error}", line=error.line) from None
    path = url.partition("#")[0].partition("?")[0]
    if any(unquote(part) in (".", "..") for part in path.split("/")):
        raise InvalidInput(
            f"A part of the address would be '.' or '..', which leads out of {path}."
        )
    return url


def _content(body: Any) -> tuple[bytes | None, str]:
    if body is None:
        return None, ""
    if isinstance(body, str):
        return body.encode("utf-8", "replace"), "text/plain; charset=utf-8"
    return msgspec.json.encode(body), "application/json"


async def _tls(scheme: str) -> ssl.SSLContext:
    if scheme == "https":  # reading the certificates takes too long for the event loop
        return await asyncio.to_thread(_certificates)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody


@cache
def _certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _redirected(request: httpx.Request, response: httpx.Response, site: Site) -> httpx.Request:
    """The next request, when the redirect stays where it is and only reads."""
    target = request.url.join(response.headers["location"])
    if request.method not in ("GET", "HEAD"):
        raise AnswerRefused(
            f"{site.origin} redirects a {request.method}, which is not sent twice. It leads to "
            f"{_shown(target)}: set the address to that, if it is right."
        )
    if target.userinfo or origin_of(str(target)) != site.origin:
        raise AnswerRefused(
            f"{site.origin} redirects to another host, {_shown(target)}, which is not followed."
        )
    return httpx.Request(request.method, target, headers=request.headers)


def _shown(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.host}{url.path}"[:200]


async def _read(response: httpx.Response, max_bytes: int) -> dict[str, Any]:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise AnswerRefused("The answer is compressed, though it was asked for as it is.")
    parts, length = [], 0
    async for part in response.aiter_raw():
        parts.append(part)
        length += len(part)
        if length > max_bytes:
            raise AnswerRefused(
                f"The answer is longer than {max_bytes:,} bytes. Ask for less, or raise max_bytes."
            )
    return {
        "status": response.status_code,
        "body": await _value(b"".join(parts), response.headers.get("content-type", "")),
        "headers": {
            name.lower(): value
            for name, value in response.headers.items()
            if name.lower() not in _KEPT_BACK
        },
    }


async def _value(body: bytes, content_type: str) -> Any:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            if len(body) > LARGE:
                return await asyncio.to_thread(msgspec.json.decode, body)
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # it is a text, whatever it says that it is
    return body.decode("utf-8", "replace")


def _bad_status(answer: Mapping[str, Any]) -> BadStatus:
    status, body = answer["status"], answer["body"]
    text = body if isinstance(body, str) else msgspec.json.encode(body).decode()
    passes = status == 429 or status >= 500
    kind = ServerStatus if passes else BadStatus
    return kind(f"The host answered with status {status}: {text[:300]}", status=status, body=body)
