"""What all servers share: where they listen, what they answer, the line that they print.

A server is a function that listens on a free port of 127.0.0.1, calls ``announce`` with it, and
serves until it is killed. It may assume that who connects is well-behaved.
"""

import json
import os
import resource
import ssl
import sys
from collections.abc import Callable
from inspect import isawaitable
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
BACKLOG = 1024
SIZE = 65536  # of a read
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!"
END = b"\r\n\r\n"  # of the head of a request, which has no body


def main(servers: tuple[Callable[[], Any], ...], run: Callable[[Any], Any]) -> None:
    """Run the server that the command line names."""
    allow_many_connections()
    server = next(server for server in servers if server.__name__ == sys.argv[1])
    serving = server()
    if isawaitable(serving):
        run(serving)


def allow_many_connections() -> None:
    """Go does the same for every program."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def announce(port: int) -> None:
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(json.dumps({"port": port, "gil": gil}), flush=True)


def tls_context(kind: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
    folder = Path(os.environ["BENCH_CERTIFICATE"])
    context = kind(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context
