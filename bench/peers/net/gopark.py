"""gopark's servers: a goroutine for each connection, on nothing but the public face."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gopark import go, net, run
from peers.measure import PROCS
from peers.net.serving import BACKLOG, END, HOST, RESPONSE, announce, main, tls_context


async def echo() -> None:
    await serve(net.listen("tcp", (HOST, 0), backlog=BACKLOG), echo_back)


async def tls() -> None:
    await serve(net.listen_tls("tcp", (HOST, 0), tls_context(), backlog=BACKLOG), echo_back)


async def http() -> None:
    await serve(net.listen("tcp", (HOST, 0), backlog=BACKLOG), answer)


async def serve(listener: net.Listener, handler: Callable[[net.Conn], Awaitable[None]]) -> None:
    announce(listener.local_addr[1])
    async with listener:
        async for conn in listener:
            go(handler(conn))


async def echo_back(conn: net.Conn) -> None:
    async with conn:
        while data := await conn.read():
            await conn.write(data)


async def answer(conn: net.Conn) -> None:
    async with conn:
        try:
            while True:
                await conn.read_until(END)
                await conn.write(RESPONSE)
        except net.IncompleteReadError:  # the client has closed
            pass


SERVERS = (echo, tls, http)

if __name__ == "__main__":
    main(SERVERS, lambda server: run(server, procs=PROCS))
