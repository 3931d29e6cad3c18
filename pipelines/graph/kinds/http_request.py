"""http_request: a request to an approved host."""

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field, field_validator

from pipelines.graph.graph import Port
from pipelines.graph.kinds.kind import Body, Config, Kind, Ports, TemplateText, template_variables

HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z")
# They decide where a request goes, where it ends or who it is from; the last two are the credential's.
RESERVED = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"}
    | {"expect", "proxy-authorization", "authorization", "cookie"}
)
SITE = re.compile(r"https?://[^/?#\s{}@\\]+(?=[/?#]|\Z)")
BODIES = ("POST", "PUT", "PATCH", "DELETE")
NOT_IDEMPOTENT = ("POST", "PATCH")  # RFC 9110, section 9.2.2


class HttpRequest(Config):
    """Scheme and host are written out, so nothing that flows through a pipeline chooses them."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: TemplateText = Field(
        max_length=4_000,
        description="https://api.example.com/items/{{ id }}; values are escaped for an address.",
    )
    headers: dict[str, str] = Field({}, max_length=50, description="Header by name.")
    credential: str | None = Field(
        None, max_length=100, description="Its key is sent as a bearer token, to its own host only."
    )
    timeout: float = Field(30, gt=0, le=600, description="Seconds for the whole exchange.")
    max_bytes: int = Field(
        1_000_000, ge=1, le=20_000_000, description="A longer answer fails the step."
    )
    on_status: Literal["fail", "report"] = Field(
        "fail", description="A status of 400 or more: fail ends the step, report gives it."
    )

    @property
    def site(self) -> str:
        """Scheme, host and port, as they are written in the address."""
        found = SITE.match(self.url)
        assert found is not None
        return found[0]

    @field_validator("url")
    @classmethod
    def _names_its_host(cls, url: str) -> str:
        if "{%" in url:
            raise ValueError(
                "An address has values in it, {{ name }}, and neither loops nor conditions."
            )
        if not SITE.match(url):
            raise ValueError(
                "An address begins with http:// or https:// and a host that is written out: no "
                "user name, and no {{ … }} before the first / behind the host."
            )
        return url

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not HEADER.match(name):
                raise ValueError(f"'{name}' is not the name of a header.")
            if name.lower() in RESERVED:
                raise ValueError(
                    f"The header '{name}' can't be set here. Keys go in as a credential."
                )
            if not value.isascii() or not value.isprintable() or len(value) > 8_000:
                raise ValueError(f"The header '{name}' has a value that no header can carry.")
        return headers


def _check(config: HttpRequest) -> Iterator[tuple[str, str]]:
    if "body" in template_variables(config.url) and config.method in BODIES:
        yield "url", "The address reads 'body', which is the request's own body. Rename it."


def _inputs(config: HttpRequest, body: Body) -> Ports:
    named = tuple(Port(name=name) for name in template_variables(config.url))
    if config.method not in BODIES:
        return named
    own = Port(name="body", required=False, description="A text, or values sent as JSON.")
    return (*(port for port in named if port.name != own.name), own)


def _outputs(config: HttpRequest, body: Body) -> Ports:
    return (
        Port(name="status", type="int"),
        Port(name="body", description="Values where the answer is JSON, else a text."),
        Port(name="headers", type="dict[str, str]"),
    )


HTTP_REQUEST = Kind(
    name="http_request",
    title="HTTP request",
    description="Sends a request to a host that an administrator has approved.",
    group="data",
    config=HttpRequest,
    check=_check,
    inputs=_inputs,
    outputs=_outputs,
    backends=frozenset({"native"}),
    repeatable=lambda config: config.method not in NOT_IDEMPOTENT,
)
