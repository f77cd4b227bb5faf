"""A SOCKS5 proxy: gopark run examples/socks5.py [HOST:PORT]

    curl --proxy socks5h://127.0.0.1:1080 https://example.org/

It has the part of RFC 1928 that clients use: connections over TCP, to names and to addresses of
both versions of IP.  It asks nobody who they are, so let it listen only where you trust everybody.
Ctrl-C ends it.

A connection has two goroutines, one for each direction.  The end of one direction is passed on, and
the other one continues; a failure of either ends both.
"""

from __future__ import annotations

import errno
import socket
import sys
import time
from contextlib import suppress
from ipaddress import ip_address

import gopark
from gopark import TaskGroup, go, net

PATIENCE = 30.0  # seconds for the handshake, and for the connection that is asked for

VERSION, CONNECT, NO_AUTHENTICATION, NONE_ACCEPTABLE = 5, 1, 0, 0xFF
IPV4, NAME, IPV6 = 1, 3, 4
GRANTED, FAILED, NO_NETWORK, NO_HOST, REFUSED, NO_COMMAND, NO_KIND = 0, 1, 3, 4, 5, 7, 8
CODES = {errno.ENETUNREACH: NO_NETWORK, errno.EHOSTUNREACH: NO_HOST, errno.ECONNREFUSED: REFUSED}


class Refused(Exception):
    """What the client asks for cannot be had; its argument is the code that says why."""


async def serve(client: net.Conn) -> None:
    async with client:
        with suppress(OSError, EOFError):  # the client is gone, or it speaks something else
            client.set_deadline(time.monotonic() + PATIENCE)
            await greet(client)
            try:
                server = await connect(client)
            except Refused as refused:
                await client.write(reply(refused.args[0]))
                return
            async with server:
                await client.write(reply(GRANTED, server.local_addr))
                client.set_deadline(None)
                await relay(client, server)


async def greet(client: net.Conn) -> None:
    """The client names the ways to authenticate that it knows; the proxy picks one, or none."""
    version, count = await client.read_exactly(2)
    if version != VERSION:
        raise EOFError("not SOCKS5")
    known = NO_AUTHENTICATION in await client.read_exactly(count)
    await client.write(bytes([VERSION, NO_AUTHENTICATION if known else NONE_ACCEPTABLE]))
    if not known:
        raise EOFError("the client wants to authenticate")


async def connect(client: net.Conn) -> net.Conn:
    """Do what the client asks for."""
    address = await read_request(client)
    try:
        return await net.dial("tcp", address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise Refused(code_of(error)) from error


async def read_request(client: net.Conn) -> tuple[str, int]:
    _, command, _, kind = await client.read_exactly(4)
    if kind == IPV4:
        host = socket.inet_ntop(socket.AF_INET, await client.read_exactly(4))
    elif kind == IPV6:
        host = socket.inet_ntop(socket.AF_INET6, await client.read_exactly(16))
    elif kind == NAME:
        [length] = await client.read_exactly(1)
        host = (await client.read_exactly(length)).decode("latin-1")
    else:
        raise Refused(NO_KIND)
    port = int.from_bytes(await client.read_exactly(2), "big")
    if command != CONNECT:
        raise Refused(NO_COMMAND)
    return host, port


def code_of(error: Exception) -> int:
    if isinstance(error, (socket.gaierror, TimeoutError, ValueError)):
        return NO_HOST
    return CODES.get(getattr(error, "errno", 0), FAILED)


def reply(code: int, local: tuple[str, int] = ("0.0.0.0", 0)) -> bytes:
    """`local` is the proxy's end of the connection that it has made."""
    host, port = local
    ip = ip_address(host)
    kind = IPV4 if ip.version == 4 else IPV6
    return bytes([VERSION, code, 0, kind]) + ip.packed + port.to_bytes(2, "big")


async def relay(client: net.Conn, server: net.Conn) -> None:
    try:
        async with TaskGroup() as group:
            await group.go(pump(client, server))
            await group.go(pump(server, client))
    except* OSError:
        pass  # one of them is gone, and now the other will be


async def pump(source: net.Conn, sink: net.Conn) -> None:
    while data := await source.read():
        await sink.write(data)
    sink.close_write()


async def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:1080"
    async with net.listen("tcp", address) as listener:
        print(f"proxy on {listener.addr}", flush=True)
        try:
            async for client in listener:
                go(serve(client))
        except KeyboardInterrupt:
            print("bye")


if __name__ == "__main__":
    gopark.run(main)
