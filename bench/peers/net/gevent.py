"""gevent's servers: its ``StreamServer`` with plain sockets, a greenlet for each connection."""

from __future__ import annotations

from collections.abc import Callable

from gevent.server import StreamServer
from gevent.socket import socket
from gevent.ssl import SSLContext

from peers.net.serving import BACKLOG, END, HOST, RESPONSE, SIZE, announce, main, tls_context


def echo() -> None:
    serve(echo_back)


def tls() -> None:
    serve(echo_back, ssl_context=tls_context(SSLContext))


def http() -> None:
    serve(answer)


def serve(handler: Callable[[socket, object], None], **options: object) -> None:
    server = StreamServer((HOST, 0), handler, backlog=BACKLOG, **options)
    server.start()
    announce(server.server_port)
    server.serve_forever()


def echo_back(sock: socket, _: object) -> None:
    while data := sock.recv(SIZE):
        sock.sendall(data)


def answer(sock: socket, _: object) -> None:
    head = b""
    while data := sock.recv(SIZE):
        *heads, head = (head + data).split(END)
        for _ in heads:
            sock.sendall(RESPONSE)


SERVERS = (echo, tls, http)

if __name__ == "__main__":
    main(SERVERS, lambda server: server)
