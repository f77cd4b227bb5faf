"""`checker` on a site of Python's own HTTP server, and on servers that misbehave."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("h11", reason="h11 is not installed: it is in the extra `examples`")
pytest.importorskip("rich", reason="rich is not installed: it is in the extra `examples`")

PAGES = {
    "/": '<a href="/a.html#top">a</a><a href="b/">b</a><img src="/logo.png"><a href="mailto:x@y">',
    "/a.html": '<base href="/b/"><a href="deep.html">d</a><a href="//{other}/out.html">o</a>',
    "/b/": '<a href=" ../a.html ">a</a><a href="gone.html">g</a><a href="/moved">m</a><img src>',
    "/b/deep.html": '<a href="?page=2">next</a><link href="/"><a href="/two words/ä">',
    "/b/deep.html?page=2": "the end",
    "/two%20words/%C3%A4": "",
}


class Handler(BaseHTTPRequestHandler):
    """`pages` by path; `asked` counts; everything else is a 404 or what its name says."""

    protocol_version = "HTTP/1.1"
    pages: dict[str, str]
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/moved":
            self.answer(301, "", Location="/lost")
        elif self.path == "/logo.png":
            self.answer(200, "<a href='/not-html'>", "image/png")
        elif self.path in self.pages:
            self.answer(200, self.pages[self.path])
        else:
            self.answer(404, "<a href='/from-404'>")

    def answer(self, status: int, text: str, kind: str = "text/html", **headers: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 100


@contextmanager
def serving(pages: dict[str, str], handler: type[Handler] = Handler) -> Iterator[tuple[str, list]]:
    """The server's host and port, and the list of all paths that it is asked for."""
    asked: list[str] = []
    mine = type("Mine", (handler,), {"pages": pages, "asked": asked})
    with Server(("127.0.0.1", 0), mine) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def test_every_link_is_asked_for_once(run: Callable) -> None:
    with serving({"/out.html": '<a href="/not-followed">'}) as (other, asked_elsewhere):
        pages = {path: text.replace("{other}", other) for path, text in PAGES.items()}
        with serving(pages) as (host, asked):
            done = run("checker", f"http://{host}/")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"http://{host}/b/gone.html: status 404, linked from http://{host}/b/",
        f"http://{host}/lost: status 404, linked from http://{host}/moved",
        "11 links, 2 broken",
    ]
    assert sorted(asked) == sorted([*PAGES, "/b/gone.html", "/moved", "/lost", "/logo.png"])
    assert asked_elsewhere == ["/out.html"]


def test_a_site_without_fault(run: Callable) -> None:
    with serving({"/": '<a href="/">'}) as (host, _):
        done = run("checker", f"http://{host}/")
    assert (done.returncode, done.stdout) == (0, "1 links, 0 broken\n")


@pytest.mark.parametrize("limit", [1, 4])
def test_limit(run: Callable, limit: int) -> None:
    """A page comes only when as many are being asked for as may be, and never are there more."""
    everybody = threading.Barrier(limit)
    lock, now, most = threading.Lock(), 0, 0

    class Waits(Handler):
        def do_GET(self) -> None:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            if self.path != "/":
                everybody.wait()
            with lock:
                now -= 1
            super().do_GET()

    pages = {f"/{n}": "" for n in range(8)}
    pages["/"] = "".join(f'<a href="{path}">' for path in pages)
    with serving(pages, Waits) as (host, _):
        done = run("checker", "--limit", str(limit), f"http://{host}/")
    assert done.stdout == "9 links, 0 broken\n"
    assert most == limit


@contextmanager
def odd(answer: bytes) -> Iterator[str]:
    """A server that gives one client this answer, and then keeps the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError), listener.accept()[0] as conn:
                conn.recv(65536)
                conn.sendall(answer)
                over.wait()

        over = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)  # ends an accept to which nobody came
            thread.join()


def test_nobody_there(run: Callable) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = run("checker", f"http://127.0.0.1:{port}/")
    assert done.returncode == 1
    assert "refused" in done.stdout


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"], ids=["none", "half"]
)
def test_deadline(run: Callable, answer: bytes) -> None:
    with odd(answer) as url:
        done = run("checker", "--timeout", "0.3", url)
    assert done.returncode == 1
    assert re.fullmatch(r"\S+: the time was up\n1 links, 1 broken\n", done.stdout)


@pytest.mark.parametrize(
    "nonsense", [b"\0\1\2 nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"]
)
def test_nonsense(run: Callable, nonsense: bytes) -> None:
    with odd(nonsense) as url:
        done = run("checker", url)
    assert done.returncode == 1
    assert done.stdout.endswith("1 links, 1 broken\n")


@pytest.mark.parametrize("url", ["http://[::1/", "http://host:port/", "http://" + 70 * "x" + "/"])
def test_no_address(run: Callable, url: str) -> None:
    done = run("checker", url)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 0
    assert done.stdout.endswith("1 links, 1 broken\n")
