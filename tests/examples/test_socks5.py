"""`socks5`: curl as the client, and raw sockets for what curl never does."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

BODY = bytes(range(256)) * 20_000
HELLO = b"\5\1\0"  # SOCKS5, one way to authenticate: none
needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None, reason="curl is not installed: Debian has it in the package curl"
)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(BODY)

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"]))[::-1])

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 100


@pytest.fixture
def site() -> Iterator[int]:
    """The port of a web server."""
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(serve: Callable) -> tuple[str, int]:
    _, address = serve("socks5", "127.0.0.1:0")
    return address


@pytest.fixture
def curl(proxy: tuple[str, int]) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    def curl(*args: str, scheme: str = "socks5h") -> subprocess.CompletedProcess[bytes]:
        through = f"{scheme}://127.0.0.1:{proxy[1]}"
        command = ["curl", "--silent", "--show-error", "--noproxy", "", "--proxy", through, *args]
        return subprocess.run(command, capture_output=True, timeout=100)

    return curl


@needs_curl
@pytest.mark.parametrize("scheme", ["socks5h", "socks5"])  # the proxy looks up the name, or curl
def test_download(curl: Callable, site: int, scheme: str) -> None:
    done = curl(f"http://localhost:{site}/", scheme=scheme)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == BODY


@needs_curl
def test_upload(curl: Callable, site: int, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(BODY)
    done = curl("--data-binary", f"@{tmp_path}/body", f"http://127.0.0.1:{site}/")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == BODY[::-1]


@needs_curl
def test_many_at_once(curl: Callable, site: int, tmp_path: Path) -> None:
    where = ["--parallel", "--parallel-immediate", "--output", f"{tmp_path}/#1"]
    done = curl(*where, f"http://127.0.0.1:{site}/[1-20]")
    assert done.returncode == 0
    assert [(tmp_path / str(n)).read_bytes() == BODY for n in range(1, 21)] == [True] * 20


@needs_curl
def test_what_cannot_be_had(curl: Callable) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    for url, code in ((f"http://127.0.0.1:{port}/", 5), ("http://nowhere.invalid/", 4)):
        done = curl(url)
        assert done.returncode == 97  # as curl says that a proxy has failed
        assert f"({code})".encode() in done.stderr


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def dial(proxy: tuple[str, int], listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    """A client that the proxy has connected, and the socket at the other end."""
    client = socket.create_connection(proxy)
    client.sendall(HELLO)
    assert client.recv(2, socket.MSG_WAITALL) == b"\5\0"
    client.sendall(b"\5\1\0\1\x7f\0\0\1" + listener.getsockname()[1].to_bytes(2, "big"))
    answer = client.recv(10, socket.MSG_WAITALL)
    server, peer = listener.accept()
    assert answer == b"\5\0\0\1\x7f\0\0\1" + peer[1].to_bytes(2, "big")
    return client, server


def test_each_direction_ends_for_itself(proxy: tuple, listener: socket.socket) -> None:
    client, server = dial(proxy, listener)
    with client, server:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert server.recv(100, socket.MSG_WAITALL) == b"question"
        server.sendall(b"answer")
        server.close()
        assert client.recv(100, socket.MSG_WAITALL) == b"answer"


@pytest.mark.parametrize("who", [0, 1])
def test_a_reset_ends_both(proxy: tuple, listener: socket.socket, who: int) -> None:
    ends = dial(proxy, listener)
    with ends[0], ends[1]:
        ends[who].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        ends[who].close()
        assert ends[1 - who].recv(1) == b""


def test_one_who_does_not_read_holds_up_nobody(proxy: tuple, listener: socket.socket) -> None:
    with ExitStack() as stack:
        client, _ = [stack.enter_context(end) for end in dial(proxy, listener)]
        client.setblocking(False)
        with suppress(BlockingIOError):  # all buffers on the way are full
            while True:
                client.send(bytes(65536))
        client, server = [stack.enter_context(end) for end in dial(proxy, listener)]
        client.sendall(b"hello")
        assert server.recv(5, socket.MSG_WAITALL) == b"hello"


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"\4\1", b""),
        (b"GE", b""),
        (b"\5\1\2", b"\5\xff"),
        (HELLO + b"\5\2\0\1\x7f\0\0\1\0\x50", b"\5\0\5\7\0\1\0\0\0\0\0\0"),
        (HELLO + b"\5\1\0\2", b"\5\0\5\x08\0\1\0\0\0\0\0\0"),
        (HELLO + b"\5\1\0\3\1\0\0\x50", b"\5\0\5\4\0\1\0\0\0\0\0\0"),
        (HELLO + b"\5\1\0\3\xff" + b"\xe4" * 255 + b"\0\x50", b"\5\0\5\4\0\1\0\0\0\0\0\0"),
        (HELLO + b"\5\1\0\3\x09local", b"\5\0"),
        (b"", b""),
    ],
    ids=["socks4", "http", "password", "bind", "kind", "nul", "no name", "half", "nothing"],
)
def test_nonsense(serve: Callable, said: bytes, answer: bytes) -> None:
    process, address = serve("socks5", "127.0.0.1:0")
    with socket.create_connection(address) as client, client.makefile("rb") as file:
        for byte in said:
            client.sendall(bytes([byte]))
        client.shutdown(socket.SHUT_WR)
        assert file.read() == answer
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    assert process.stdout.read() == "bye\n"
    assert process.stderr.read() == ""
