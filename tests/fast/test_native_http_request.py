"""http_request: what is refused before anything is sent."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.graph.kinds.http_request import HttpRequest
from runner.engine.errors import InvalidConfig, InvalidInput
from runner.native.http_request import HostNotApproved, HTTPRequests, Key, Site, Sites, origin_of
from tests.lm_calls import a_call

HOME = "https://api.example.com"
SITES = Sites(
    approved={HOME: Site(origin=HOME), "http://127.0.0.1:1": Site(origin="http://127.0.0.1:1")},
    keys={"elsewhere": Key(origin="https://other.example.com", secret="s3cret-key")},
)


async def send(url: str, inputs: dict[str, Any] | None = None, **config: Any) -> Any:
    call = a_call(config=HttpRequest(url=url, **config), inputs=inputs or {})
    return await HTTPRequests(SITES).send(call)


@pytest.mark.parametrize(
    "url",
    [
        "{{ url }}",
        "https://{{ host }}/x",
        "https://api.example.com{{ rest }}",
        "https://api.example.com:{{ port }}/",
        "https://me@api.example.com/",
        "file:///etc/passwd",
        "gopher://x/",
        "//api.example.com/",
        "https:///x",
    ],
)
def test_an_address_writes_its_host_out(url: str) -> None:
    with pytest.raises(ValidationError, match="host that is written out"):
        HttpRequest(url=url)


@pytest.mark.parametrize("name", ["Host", "authorization", "Cookie", "a b", "x\r\ny", ""])
def test_headers_that_would_change_the_request_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="header"):
        HttpRequest(url=HOME, headers={name: "x"})


@pytest.mark.parametrize("value", ["a\r\nb: c", "ü", "\0"])
def test_values_that_no_header_carries_are_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="no header can carry"):
        HttpRequest(url=HOME, headers={"x-a": value})


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/",
        "http://api.example.com/",
        "https://api.example.com:8443/",
        "https://api.example.com.evil.com/",
        "http://127.1:1/",
        "http://[::ffff:127.0.0.1]:1/",
    ],
)
async def test_only_approved_origins_are_asked(url: str) -> None:
    with pytest.raises(HostNotApproved, match="Ask an administrator"):
        await send(url)


def test_an_origin_has_one_spelling() -> None:
    assert origin_of("HTTPS://API.Example.com.:443/x?y") == HOME
    assert origin_of("http://[::1]:80/") == "http://[::1]"


async def test_a_credential_goes_to_its_own_host_only() -> None:
    with pytest.raises(InvalidConfig, match="goes nowhere else"):
        await send(f"{HOME}/", credential="elsewhere")


async def test_a_credential_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidConfig, match="no credential 'mine'"):
        await send(f"{HOME}/", credential="mine")


async def test_an_address_holds_texts_and_numbers() -> None:
    with pytest.raises(InvalidInput, match="'id'"):
        await send(f"{HOME}/{{{{ id }}}}", {"id": {"a": 1}})


@pytest.mark.parametrize("given", [{"a": "..", "b": "x"}, {"a": ".", "b": "."}])
async def test_no_value_leads_up(given: dict[str, str]) -> None:
    address = f"{HOME}/items/{{{{ a }}}}/{{{{ b }}}}"
    with pytest.raises(InvalidInput, match="leads out of"):
        await send(address, given)
    with pytest.raises(InvalidInput, match="leads out of"):
        await send(f"{HOME}/items/{{{{ a }}}}{{{{ b }}}}/x", {"a": ".", "b": "."})


def test_an_address_has_no_loops() -> None:
    with pytest.raises(ValidationError, match="neither loops nor conditions"):
        HttpRequest(url=HOME + "/{% for a in x %}{% endfor %}")


def test_a_key_is_in_no_repr() -> None:
    assert "s3cret" not in repr(SITES)
