"""trio's servers: ``serve_listeners`` and streams, a task for each connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio
from trio.abc import Listener, Stream

from peers.net.serving import BACKLOG, END, HOST, RESPONSE, SIZE, announce, main, tls_context


async def echo() -> None:
    await serve(echo_back, await trio.open_tcp_listeners(0, host=HOST, backlog=BACKLOG))


async def tls() -> None:
    context = tls_context()
    listeners = await trio.open_ssl_over_tcp_listeners(
        0, context, host=HOST, https_compatible=True, backlog=BACKLOG
    )
    await serve(echo_back, listeners)


async def http() -> None:
    await serve(answer, await trio.open_tcp_listeners(0, host=HOST, backlog=BACKLOG))


async def serve(
    handler: Callable[[Stream], Awaitable[None]], listeners: Sequence[Listener[Stream]]
) -> None:
    tcp = getattr(listeners[0], "transport_listener", listeners[0])
    announce(tcp.socket.getsockname()[1])
    await trio.serve_listeners(handler, listeners)


async def echo_back(stream: Stream) -> None:
    while data := await stream.receive_some(SIZE):
        await stream.send_all(data)


async def answer(stream: Stream) -> None:
    head = b""
    while data := await stream.receive_some(SIZE):
        *heads, head = (head + data).split(END)
        for _ in heads:
            await stream.send_all(RESPONSE)


SERVERS = (echo, tls, http)

if __name__ == "__main__":
    main(SERVERS, lambda server: trio.run(lambda: server))
