"""Names of hosts to addresses, by the system's ``getaddrinfo``.

That call blocks, so a name is looked up in a goroutine of its own: its P goes on, and who
waits for the answer can be called off, though the call itself cannot.  An address in numbers
is understood at once.
"""

from __future__ import annotations

import socket
from typing import Any

from ..runtime.proc import go
from ._addr import Network, network
from ._errors import AddrError

Target = tuple[int, Any]  # the address family, and the address as the system takes it


async def lookup_host(host: str) -> list[str]:
    """The addresses of a host, in the order to try them (Go: ``net.LookupHost``).

    Raises socket.gaierror, an OSError, if there is none.
    """
    found = await resolve(network("tcp", socket.SOCK_STREAM), host, 0)
    return list(dict.fromkeys(sockaddr[0] for _, sockaddr in found))


async def resolve(network: Network, host: str, port: int, flags: int = 0) -> list[Target]:
    """The addresses of `host`, of the network's family; ``""`` is this machine."""
    found = numeric(network, host, port, flags)
    if found is None:
        # Its exception comes as a value: nobody takes it if the wait is called off.
        answer = await go(_try_lookup, network, host, port, flags, name=f"lookup {host}")
        if isinstance(answer, Exception):
            raise answer
        found = answer
    return found


def numeric(network: Network, host: str, port: int, flags: int = 0) -> list[Target] | None:
    """The same for an address in numbers, or none; None for a name."""
    try:
        return lookup(network, host, port, flags | socket.AI_NUMERICHOST)
    except socket.gaierror as exc:
        if exc.errno == socket.EAI_NONAME:
            return None
        raise


def lookup(network: Network, host: str, port: int, flags: int = 0) -> list[Target]:
    """``getaddrinfo``, which blocks."""
    try:
        found = socket.getaddrinfo(
            host or None, port, network.family, network.kind, 0, flags | socket.AI_NUMERICSERV
        )
    except socket.gaierror as exc:
        raise socket.gaierror(exc.errno, f"lookup {host}: {exc.strerror}") from None
    except ValueError as exc:  # a NUL, or what IDNA cannot encode
        raise AddrError(f"host {host!r}: {exc}") from None
    return [(family, sockaddr) for family, _, _, _, sockaddr in found]


def _try_lookup(network: Network, host: str, port: int, flags: int) -> list[Target] | Exception:
    try:
        return lookup(network, host, port, flags)
    except Exception as exc:
        return exc
