"""Addresses: what people write, what the system takes, and what is shown.

An address is text, as in Go (``"example.org:80"``, ``"[::1]:80"``, ``":0"``), or a tuple
``(host, port)``; that of a Unix socket is a path, ``"@name"`` in Linux's abstract namespace.
"""

from __future__ import annotations

import os
import socket
from typing import Any, NamedTuple, TypeAlias

from ._errors import AddrError

Address: TypeAlias = "str | bytes | os.PathLike[str] | tuple[str, int | str]"


class Addr(NamedTuple):
    """The address of one end of a connection: ``(host, port)``.

    ``str(addr)`` is what `dial` and `listen` take, as they take the tuple itself.

    Attributes:
        host: a numeric address, an IPv6 one perhaps with its zone (``fe80::1%eth0``); the path
            of a Unix socket, ``""`` if it has none.
        port: the port; 0 for a Unix socket.
    """

    host: str
    port: int = 0

    def __str__(self) -> str:
        return join_host_port(self.host, self.port)


class UnixAddr(Addr):
    """The address of a Unix socket."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.host


class Network(NamedTuple):
    """What the name of a network stands for."""

    name: str
    family: int  # AF_UNSPEC: IPv4 and IPv6
    kind: int


NETWORKS = {
    network.name: network
    for network in (
        Network("tcp", socket.AF_UNSPEC, socket.SOCK_STREAM),
        Network("tcp4", socket.AF_INET, socket.SOCK_STREAM),
        Network("tcp6", socket.AF_INET6, socket.SOCK_STREAM),
        Network("udp", socket.AF_UNSPEC, socket.SOCK_DGRAM),
        Network("udp4", socket.AF_INET, socket.SOCK_DGRAM),
        Network("udp6", socket.AF_INET6, socket.SOCK_DGRAM),
        Network("unix", socket.AF_UNIX, socket.SOCK_STREAM),
        Network("unixgram", socket.AF_UNIX, socket.SOCK_DGRAM),
    )
}


def network(name: str, *kinds: int) -> Network:
    """The network of that name, if its sockets are of one of these kinds."""
    found = NETWORKS.get(name)
    if found is None or found.kind not in kinds:
        names = ", ".join(n.name for n in NETWORKS.values() if n.kind in kinds)
        raise ValueError(f"unknown network {name!r}: one of {names} is needed")
    return found


# -- text ---------------------------------------------------------------------


def split_host_port(address: str) -> tuple[str, str]:
    """``"host:port"`` or ``"[host]:port"`` as ``(host, port)`` (Go: ``net.SplitHostPort``).

    Raises AddrError if it is neither.
    """
    if address.startswith("["):
        host, bracket, rest = address[1:].partition("]")
        if not bracket:
            raise AddrError(f"address {address!r}: missing ']'")
        _, colon, port = rest.partition(":")
        if _ or not colon:
            raise AddrError(f"address {address!r}: missing port")
    else:
        host, colon, port = address.rpartition(":")
        if not colon:
            raise AddrError(f"address {address!r}: missing port")
        if ":" in host:
            raise AddrError(f"address {address!r}: too many colons; IPv6 is written as [::1]:80")
    if ":" in port:
        raise AddrError(f"address {address!r}: too many colons")
    for bracket in "[]":
        if bracket in host or bracket in port:
            raise AddrError(f"address {address!r}: unexpected {bracket!r}")
    return host, port


def join_host_port(host: str, port: int | str) -> str:
    """``"host:port"``, or ``"[host]:port"`` if the host has a colon (Go: ``net.JoinHostPort``)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def port_number(port: int | str, kind: int = socket.SOCK_STREAM) -> int:
    """A port's number, from its number or its name; ``""`` is 0 (Go: ``net.LookupPort``).

    Raises AddrError if there is no such port.
    """
    number = port
    if isinstance(number, str):
        if number == "":
            return 0
        if not (number.isascii() and number.isdigit()):
            protocol = "tcp" if kind == socket.SOCK_STREAM else "udp"
            try:
                return socket.getservbyname(number, protocol)
            except (OSError, ValueError):
                raise AddrError(f"port {port!r}: {protocol} has none of that name") from None
        number = int(number) if len(number) <= 20 else 65536
    elif not isinstance(number, int):
        raise TypeError(f"a port is a number or a name, not {port!r}")
    if not 0 <= number <= 65535:
        raise AddrError(f"port {port!r}: must be 0 to 65535")
    return number


def host_port(network: Network, address: Any) -> tuple[str, int]:
    """The host, which may be a name, and the number of the port."""
    if isinstance(address, str):
        host, port = split_host_port(address)
    elif isinstance(address, tuple) and len(address) == 2 and isinstance(address[0], str):
        host, port = address
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
    else:
        raise TypeError(f"an address is text such as 'host:80', or (host, port), not {address!r}")
    return host, port_number(port, network.kind)


# -- what the system takes and gives ------------------------------------------


def unix_sockaddr(address: Any) -> str | bytes:
    """A path for ``bind`` and ``connect``."""
    if isinstance(address, tuple) and address:
        address = address[0]
    path = os.fspath(address)
    at, nul = ("@", "\0") if isinstance(path, str) else (b"@", b"\0")
    if path.startswith(at):
        path = nul + path[1:]
    elif nul in path[1:] and not path.startswith(nul):
        raise AddrError(f"the path of a Unix socket holds a NUL: {path!r}")
    return path  # type: ignore[no-any-return]


def from_sockaddr(family: int, sockaddr: Any) -> Addr:
    """What ``getsockname`` and the like gave."""
    if family == socket.AF_UNIX:
        path = os.fsdecode(sockaddr or "")
        return UnixAddr("@" + path[1:] if path.startswith("\0") else path)
    host, port = sockaddr[:2]
    if family == socket.AF_INET6:
        if host.startswith("::ffff:") and "." in host:
            host = host[7:]  # IPv4, on a socket that serves both
        elif sockaddr[3] and "%" not in host:
            host = f"{host}%{_zone(sockaddr[3])}"
    return Addr(host, port)


def _zone(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return str(index)
