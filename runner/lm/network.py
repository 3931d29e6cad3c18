"""Where a connection may lead: a name is resolved, every address that it has is checked, and the
connection is made to a checked address, so that no second look-up can lead elsewhere (DNS rebinding).

The name was approved by a person. Public addresses are what they had in mind; that the name leads to
this machine or into a private network must have been approved too. An address that is written out says
itself where it leads, and `localhost` too. Addresses of the link (cloud machines have their metadata
there), multicast and the unspecified address are no places of a service.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from typing import Any

import httpcore
import httpx

from runner.lm.errors import AddressRefused

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address
type Resolve = Callable[[str, int], Awaitable[list[str]]]

_THIS_MACHINE = frozenset({"localhost", "localhost."})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, in the system's order."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


async def checked_addresses(
    host: str, port: int, *, private_network: bool, resolve: Resolve = resolve
) -> list[str]:
    """The addresses that a connection may be made to. Raises AddressRefused, and OSError or UnicodeError
    for a name that is not found."""
    addresses = [host] if _address(host) is not None else await resolve(host, port)
    if problem := problem_of(host, addresses, private_network=private_network):
        raise AddressRefused(problem)
    return addresses


def problem_of(host: str, addresses: Iterable[str], *, private_network: bool) -> str | None:
    """Why no connection may be made to this host with these addresses; None when it may."""
    written_out = host in _THIS_MACHINE or _address(host) is not None
    for text in addresses:
        address = _address(text)
        if address is None:
            return f"'{host}' has an address that can't be read."
        real = _inner(address)
        if real.is_link_local or real.is_multicast or real.is_unspecified:
            return f"'{host}' leads to {text}, which is no place of a service."
        if not (real.is_global or private_network or written_out):
            return (
                f"'{host}' leads to {text}, which is this machine or a private network. An "
                "administrator can approve that for the host."
            )
    return None


@lru_cache(maxsize=256)
def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return None


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(address.packed[-4:])
        return address.ipv4_mapped or address.sixtofour or address
    return address


class CheckedNetwork(httpcore.AnyIOBackend):
    """Makes connections to checked addresses only."""

    def __init__(self, *, private_network: bool, resolve: Resolve = resolve) -> None:
        self._private_network = private_network
        self._resolve = resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._addresses(host, port, timeout)
        connect = super().connect_tcp
        *others, last = addresses
        for address in others:
            try:
                return await connect(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError:
                continue  # a name may have an address that this machine has no route to
        return await connect(last, port, timeout, local_address, socket_options)

    async def _addresses(self, host: str, port: int, timeout: float | None) -> list[str]:
        try:
            async with asyncio.timeout(timeout):
                found = await checked_addresses(
                    host, port, private_network=self._private_network, resolve=self._resolve
                )
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"'{host}' was not found in time") from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"'{host}' was not found: {error}") from error
        if not found:
            raise httpcore.ConnectError(f"'{host}' has no address")
        return found


class CheckedTransport(httpx.AsyncHTTPTransport):
    """httpx over a checked network."""

    def __init__(
        self, context: ssl.SSLContext, *, private_network: bool, resolve: Resolve = resolve
    ) -> None:
        super().__init__(verify=context, trust_env=False)
        # httpx has no public way to say how connections are made; httpcore, on which it stands, has. A
        # test holds both to it.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=None,  # the gateway counts calls by profile
            max_keepalive_connections=20,
            keepalive_expiry=30.0,
            network_backend=CheckedNetwork(private_network=private_network, resolve=resolve),
        )
