"""asyncio's servers. ``peers.net.uvloop`` runs the same ones on its own loop.

They are protocols, the fastest that asyncio has: the loop calls a method with what has come. The
echo is there with streams too, which are what most programs use.
"""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter, Transport

from peers.net.serving import BACKLOG, END, HOST, RESPONSE, SIZE, announce, main, tls_context


class Echo(asyncio.Protocol):
    transport: Transport

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Http(Echo):
    """A request may come in pieces, and a piece may be the end of one and the start of the next."""

    head = b""

    def data_received(self, data: bytes) -> None:
        *heads, self.head = (self.head + data).split(END)
        for _ in heads:
            self.transport.write(RESPONSE)


async def echo() -> None:
    await serve(Echo)


async def tls() -> None:
    await serve(Echo, ssl=tls_context())


async def http() -> None:
    await serve(Http)


async def serve(protocol: type[Echo], **options: object) -> None:
    loop = asyncio.get_running_loop()
    await forever(await loop.create_server(protocol, HOST, 0, backlog=BACKLOG, **options))


async def streams() -> None:
    await forever(await asyncio.start_server(echo_back, HOST, 0, backlog=BACKLOG))


async def echo_back(reader: StreamReader, writer: StreamWriter) -> None:
    while data := await reader.read(SIZE):
        writer.write(data)
        await writer.drain()
    writer.close()


async def forever(server: asyncio.Server) -> None:
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


SERVERS = (echo, tls, http, streams)

if __name__ == "__main__":
    main(SERVERS, asyncio.run)
