"""Where a connection may lead: resolved, checked, and made to what was checked."""

import ssl

import httpcore
import httpx
import pytest

from runner.lm.errors import AddressRefused
from runner.lm.network import CheckedNetwork, CheckedTransport, problem_of


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("93.184.216.34", False),
        ("2606:4700::1111", False),
        ("10.0.0.5", True),
        ("192.168.1.1", True),
        ("172.16.0.1", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("fd00::1", True),
        ("100.64.0.1", True),
        ("::ffff:10.0.0.1", True),
        ("64:ff9b::7f00:1", True),
        ("2002:7f00:1::", True),
    ],
)
def test_a_name_leads_to_public_addresses_only(address: str, refused: bool) -> None:
    problem = problem_of("api.example.com", [address], private_network=False)
    assert (problem is not None) is refused
    if refused:
        assert problem and "An administrator can approve that" in problem
        assert problem_of("api.example.com", [address], private_network=True) is None


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1%eth0", "0.0.0.0", "::", "224.0.0.1"],
)
def test_no_approval_leads_to_what_is_no_place_of_a_service(address: str) -> None:
    for host in ("api.example.com", address):
        assert problem_of(host, [address], private_network=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "10.0.0.5", "localhost"])
def test_an_address_that_is_written_out_says_itself_where_it_leads(host: str) -> None:
    address = "127.0.0.1" if host == "localhost" else host
    assert problem_of(host, [address], private_network=False) is None


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f.1", "127.0.0.1.nip.example"])
def test_what_only_resolves_to_this_machine_is_a_name(host: str) -> None:
    assert problem_of(host, ["127.0.0.1"], private_network=False)


def test_one_private_address_among_public_ones_is_refused() -> None:
    addresses = ["93.184.216.34", "10.0.0.1"]
    assert problem_of("api.example.com", addresses, private_network=False)


class Resolver:
    """Answers once with a public address, then with a private one: DNS rebinding."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return [self.answers.pop(0)]


async def test_the_connection_is_made_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []

    async def connect(self: object, host: str, *_: object, **__: object) -> None:
        made.append(host)

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    network = CheckedNetwork(private_network=False, resolve=Resolver("93.184.216.34", "127.0.0.1"))
    await network.connect_tcp("api.example.com", 443)
    with pytest.raises(AddressRefused):
        await network.connect_tcp("api.example.com", 443)
    assert made == ["93.184.216.34"]


async def test_httpx_connects_through_it() -> None:
    resolver = Resolver("10.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    transport = CheckedTransport(context, private_network=False, resolve=resolver)
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(AddressRefused):
            await client.get("http://api.example.com/")
    assert resolver.asked == ["api.example.com"]


async def test_a_name_that_is_not_found_is_a_failed_connection() -> None:
    async def nowhere(host: str, port: int) -> list[str]:
        raise OSError("Name or service not known")

    network = CheckedNetwork(private_network=False, resolve=nowhere)
    with pytest.raises(httpcore.ConnectError, match=r"'api\.example\.com' was not found"):
        await network.connect_tcp("api.example.com", 443)
