"""`dial`: connections to others, by the quickest of their addresses (RFC 8305)."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from .._chan import Chan
from .._group import TaskGroup
from .._select import select
from ..time import sleep
from ._addr import Address, Network, host_port, network, unix_sockaddr
from ._conn import Conn, with_tcp_defaults
from ._errors import failed
from ._limits import limited
from ._packet import PacketConn
from ._resolve import Target, resolve

if TYPE_CHECKING:
    from ..context import Context

HEAD_START = 0.25  # seconds that an attempt has before the next begins beside it
UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EINTR, errno.EALREADY})
TCP = frozenset({"tcp", "tcp4", "tcp6"})
UDP = frozenset({"udp", "udp4", "udp6"})


@overload
async def dial(
    network: Literal["tcp", "tcp4", "tcp6", "unix"],
    address: Address,
    *,
    local_addr: Address | None = None,
    timeout: float | None = None,
    ctx: Context | None = None,
) -> Conn: ...
@overload
async def dial(
    network: Literal["udp", "udp4", "udp6", "unixgram"],
    address: Address,
    *,
    local_addr: Address | None = None,
    timeout: float | None = None,
    ctx: Context | None = None,
) -> PacketConn: ...
async def dial(
    network: str,
    address: Address,
    *,
    local_addr: Address | None = None,
    timeout: float | None = None,
    ctx: Context | None = None,
) -> Conn | PacketConn:
    """Connect to `address` (Go: ``net.Dialer.DialContext``).

    If a host has several addresses they are tried in turn, IPv6 and IPv4 alternately.  Each
    has a quarter of a second before the next is tried beside it; the first that answers wins.

    Args:
        network: ``"tcp"``, ``"udp"``, each with ``4`` or ``6`` behind for one version of IP
            only; ``"unix"``, ``"unixgram"``.
        address: ``"host:port"``, ``"[::1]:port"`` or ``(host, port)``, where the port may be a
            service's name and no host means this machine; the path of a Unix socket, or
            ``"@name"`` for Linux's abstract ones.
        local_addr: the address of this end; the system chooses one unless told.
        timeout: seconds for all of it.
        ctx: a context that calls it off.

    Raises:
        TimeoutError: it took longer than `timeout`.
        OSError: the system's error; of several attempts the first one's.
        socket.gaierror: an OSError, if the host has no address.
        AddrError: a ValueError, if the address cannot be understood.
        Canceled, DeadlineExceeded: `ctx` ended.
    """
    net = _network(network)
    what = f"dial {network} {_shown(address)}"
    with limited(what, timeout, ctx):
        targets = await _targets(net, address)
        local = None if local_addr is None else await _targets(net, local_addr)
        try:
            made = await _connect_any(net, targets, local)
        except OSError as exc:
            raise failed(what, exc) from exc.__cause__
    return made


def _network(name: str) -> Network:
    return network(name, socket.SOCK_STREAM, socket.SOCK_DGRAM)


def _shown(address: Any) -> str:
    if isinstance(address, tuple) and len(address) == 2:
        return ":".join(map(str, address))
    return str(address)


async def _targets(net: Network, address: Address) -> list[Target]:
    if net.family == socket.AF_UNIX:
        return [(socket.AF_UNIX, unix_sockaddr(address))]
    return alternating(await resolve(net, *host_port(net, address)))


def alternating(targets: Sequence[Target]) -> list[Target]:
    """The families by turns, beginning with the first (RFC 8305, section 4)."""
    first = [t for t in targets if t[0] == targets[0][0]]
    others = [t for t in targets if t[0] != targets[0][0]]
    pairs = itertools.zip_longest(first, others)
    return [target for pair in pairs for target in pair if target is not None]


async def _connect_any(
    net: Network, targets: list[Target], local: list[Target] | None
) -> Conn | PacketConn:
    if len(targets) == 1:
        return await _connect(net, targets[0], local)
    outcomes: Chan[Conn | PacketConn | OSError] = Chan(len(targets))
    errors: list[OSError] = []
    won: Conn | PacketConn | None = None

    async def attempt(target: Target) -> None:
        try:
            outcomes.send_nowait(await _connect(net, target, local))
        except OSError as exc:
            outcomes.send_nowait(exc)

    try:
        async with TaskGroup() as group:
            for n, target in enumerate(targets, 1):
                await group.go(attempt(target))
                while won is None and len(errors) < n:  # somebody is under way
                    last = n == len(targets)
                    try:
                        _, outcome = await select(outcomes, timeout=None if last else HEAD_START)
                    except TimeoutError:
                        break
                    if not isinstance(outcome, OSError):
                        won = outcome
                        group.cancel()
                        break
                    errors.append(outcome)
                    if not last:
                        break
                if won is not None:
                    break
    finally:
        while len(outcomes):  # who came too late
            late = outcomes.recv_nowait()
            if not isinstance(late, OSError):
                late.close()
    if won is None:
        raise errors[0] from ExceptionGroup("each address failed", errors)
    return won


async def _connect(net: Network, target: Target, local: list[Target] | None) -> Conn | PacketConn:
    """Connect to one address.

    A connection to a free port of this machine may meet itself, if that port is the one that
    the system chose for it.  As in Go, that is tried again.
    """
    for _ in range(2):
        made = await _connect_once(net, target, local)
        if local is not None or net.name not in TCP or made.local_addr != made.remote_addr:
            return made
        made.close()
    return await _connect_once(net, target, local)


async def _connect_once(
    net: Network, target: Target, local: list[Target] | None
) -> Conn | PacketConn:
    family, sockaddr = target
    with socket.socket(family, net.kind) as sock:
        sock.setblocking(False)
        if net.name in TCP:
            with_tcp_defaults(sock)
        elif net.name in UDP:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if local is not None:
            sock.bind(_of_family(family, local))
        done = await _begin(sock, sockaddr)
        kind = Conn if net.kind == socket.SOCK_STREAM else PacketConn
        made = kind(sock.detach(), family)
    try:
        if not done:
            await made._connected()
    except BaseException:
        made.close()
        raise
    return made


def _of_family(family: int, targets: list[Target]) -> Any:
    for other, sockaddr in targets:
        if other == family:
            return sockaddr
    raise OSError(errno.EAFNOSUPPORT, "the local address is of another family")


async def _begin(sock: socket.socket, sockaddr: Any) -> bool:
    """Begin to connect.  True: that was all."""
    delay = 0.001
    while (number := sock.connect_ex(sockaddr)) == errno.EAGAIN:
        # The queue of a Unix listener is full, and no event tells when there is room again.
        await sleep(delay)
        delay = min(2 * delay, 0.05)
    if number and number not in UNDER_WAY:
        raise OSError(number, os.strerror(number))
    return number == 0
