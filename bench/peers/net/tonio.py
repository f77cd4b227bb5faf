"""TonIO's servers, in its async/await notation: listeners and streams, a task for each connection.

One runtime thread for each P of the row.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import tonio
from tonio.colored import net
from tonio.colored.net import SocketListener, SocketStream
from tonio.colored.net.tls import TLSListener, TLSStream, open_tls_over_tcp_listeners

from peers.measure import PROCS
from peers.net.serving import BACKLOG, END, HOST, RESPONSE, SIZE, announce, main, tls_context

Stream = SocketStream | TLSStream


async def echo() -> None:
    await serve(echo_back, await net.open_tcp_listeners(0, host=HOST, backlog=BACKLOG))


async def tls() -> None:
    listeners = await open_tls_over_tcp_listeners(
        0, tls_context(), host=HOST, https_compatible=True, backlog=BACKLOG
    )
    await serve(echo_back, listeners)


async def http() -> None:
    await serve(answer, await net.open_tcp_listeners(0, host=HOST, backlog=BACKLOG))


async def serve(
    handler: Callable[[Stream], Awaitable[None]], listeners: list[SocketListener | TLSListener]
) -> None:
    tcp = getattr(listeners[0], "transport", listeners[0])
    announce(tcp.socket.getsockname()[1])
    await net.serve_listeners(handler, listeners)


async def echo_back(stream: Stream) -> None:
    with stream:
        while data := await stream.receive_some(SIZE):
            await stream.send_all(data)


async def answer(stream: Stream) -> None:
    head = b""
    with stream:
        while data := await stream.receive_some(SIZE):
            *heads, head = (head + data).split(END)
            for _ in heads:
                await stream.send_all(RESPONSE)


SERVERS = (echo, tls, http)

if __name__ == "__main__":
    main(SERVERS, lambda server: tonio.run(server, threads=PROCS))
