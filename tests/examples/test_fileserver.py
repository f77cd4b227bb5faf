"""`fileserver`: curl and wrk as clients, and raw sockets for what they never do."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("h11", reason="h11 is not installed: it is in the extra `examples`")

BIG = bytes(range(256)) * 20_000


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(program) is None,
        reason=f"{program} is not installed: Debian has it in the package {program}",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is served, and beside it what must never be."""
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "site"
    (folder / "with index").mkdir(parents=True)
    (folder / "with index" / "index.html").write_text("<p>the index")
    (folder / "list").mkdir()
    for name in ("a&b.txt", "javascript:1", "ünï", os.fsdecode(b"\xff"), "folder/file"):
        path = folder / "list" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"content of {path.name.encode(errors='replace').decode()}")
    (folder / "big").write_bytes(BIG)
    (folder / "empty").touch()
    (folder / "small.txt").write_text("small")
    (folder / "packed.tar.gz").write_text("packed")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture
def server(serve: Callable, folder: Path) -> tuple[subprocess.Popen[str], tuple[str, int]]:
    return serve("fileserver", folder, "127.0.0.1:0")


@pytest.fixture
def curl(server: tuple) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """`curl(path, option, ...)`; %{...} in an option is what curl knows of the answer."""
    _, (host, port) = server

    def curl(path: str, *options: str) -> subprocess.CompletedProcess[bytes]:
        command = ["curl", "--silent", "--show-error", "--noproxy", "*", *options]
        url = f"http://{host}:{port}{path}"
        return subprocess.run([*command, url], capture_output=True, timeout=100)

    return curl


def raw(server: tuple, request: bytes) -> bytes:
    """Everything that comes back when this is sent, and then the end."""
    _, address = server
    with socket.create_connection(address) as sock, sock.makefile("rb") as file:
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        return file.read()


@needs("curl")
class TestCurl:
    def test_file(self, curl: Callable) -> None:
        done = curl("/big")
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == BIG
        assert curl("/empty").stdout == b""
        assert curl("/small.txt?query").stdout == b"small"

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/small.txt", b"text/plain"),
            ("/big", b"application/octet-stream"),
            ("/packed.tar.gz", b"application/octet-stream"),
            ("/list/", b"text/html; charset=utf-8"),
        ],
    )
    def test_type(self, curl: Callable, path: str, kind: bytes) -> None:
        assert curl(path, "-o", os.devnull, "-w", "%{content_type}").stdout == kind

    def test_head(self, curl: Callable) -> None:
        done = curl("/big", "--head", "-w", "%{size_download}")
        assert f"Content-Length: {len(BIG)}\r\n".encode() in done.stdout
        assert done.stdout.endswith(b"\r\n0")

    @pytest.mark.parametrize(
        ("wanted", "part", "place"),
        [
            ("0-0", slice(0, 1), "0-0"),
            ("300-999", slice(300, 1000), "300-999"),
            ("5119000-", slice(5119000, None), f"5119000-{len(BIG) - 1}"),
            ("-5", slice(-5, None), f"{len(BIG) - 5}-{len(BIG) - 1}"),
            ("-99999999", slice(None), f"0-{len(BIG) - 1}"),
            ("5-99999999", slice(5, None), f"5-{len(BIG) - 1}"),
        ],
    )
    def test_range(self, curl: Callable, wanted: str, part: slice, place: str) -> None:
        head, _, body = curl("/big", "-r", wanted, "-i").stdout.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 206 Partial Content\r\n")
        assert f"Content-Range: bytes {place}/{len(BIG)}\r\n".encode() in head
        assert body == BIG[part]

    @pytest.mark.parametrize("wanted", ["99999999-", "-0", "9-8"])
    def test_range_that_is_not_there(self, curl: Callable, wanted: str) -> None:
        head = curl("/big", "-r", wanted, "-i").stdout
        assert head.startswith(b"HTTP/1.1 416 ")
        assert f"Content-Range: bytes */{len(BIG)}\r\n".encode() in head

    @pytest.mark.parametrize("wanted", ["0-1,5-6", "x-y", "-"])
    def test_range_that_is_not_understood(self, curl: Callable, wanted: str) -> None:
        assert curl("/big", "-H", f"Range: bytes={wanted}").stdout == BIG

    def test_resume(self, curl: Callable, tmp_path: Path) -> None:
        (tmp_path / "part").write_bytes(BIG[:1000])
        assert curl("/big", "-C", "-", "-o", f"{tmp_path}/part").returncode == 0
        assert (tmp_path / "part").read_bytes() == BIG

    def test_tags(self, curl: Callable, tmp_path: Path, folder: Path) -> None:
        """What the client has is sent again only if it has changed."""
        tag = str(tmp_path / "tag")
        assert curl("/small.txt", "--etag-save", tag).stdout == b"small"
        known = ("--etag-compare", tag, "-w", "%{http_code}")
        assert curl("/small.txt", *known).stdout == b"304"
        range_if = ("-r", "1-2", "-H", f"If-Range: {(tmp_path / 'tag').read_text().strip()}")
        assert curl("/small.txt", *range_if).stdout == b"ma"
        (folder / "small.txt").write_text("changed")
        assert curl("/small.txt", *known).stdout == b"changed200"
        assert curl("/small.txt", *range_if).stdout == b"changed"

    def test_folder(self, curl: Callable) -> None:
        assert curl("/with%20index/").stdout == b"<p>the index"
        done = curl("/with%20index?x", "-w", "%{http_code} %{redirect_url}", "-o", os.devnull)
        assert re.fullmatch(rb"301 http://[^/]+/with%20index/", done.stdout)
        assert curl("/with%20index", "-L").stdout == b"<p>the index"
        done = curl("//with%20index", "-w", "%{redirect_url}", "-o", os.devnull, "--path-as-is")
        assert re.fullmatch(rb"http://127[^/]+/with%20index/", done.stdout)

    def test_list(self, curl: Callable) -> None:
        page = curl("/list/").stdout.decode()
        links = dict(re.findall(r'<a href="([^"]*)">([^<]*)</a>', page))
        assert links == {
            "./a%26b.txt": "a&amp;b.txt",
            "./folder/": "folder/",
            "./javascript%3A1": "javascript:1",
            "./%C3%BCn%C3%AF": "ünï",
            "./%FF": "\ufffd",
        }
        for link in links.keys() - {"./folder/"}:
            assert curl(f"/list/{link}").stdout.startswith(b"content of ")
        assert "./file" in curl("/list/folder/").stdout.decode()

    @pytest.mark.parametrize(
        "path",
        [
            "/nothing",
            "/../secret",
            "/..%2fsecret",
            "/%2e%2e/secret",
            "/list/../../secret",
            "//etc/passwd",
            "/out",
            "/loop",
            "/pipe",
            "/small.txt/x",
            "/small.txt%00",
            "/" + 300 * "x",
        ],
    )
    def test_what_is_not_there(self, curl: Callable, path: str) -> None:
        assert curl(path, "--path-as-is").stdout == b"404 Not Found\n"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_what_may_not_be_read(self, curl: Callable, folder: Path) -> None:
        (folder / "small.txt").chmod(0)
        assert curl("/small.txt").stdout == b"404 Not Found\n"

    def test_other_methods(self, curl: Callable, tmp_path: Path) -> None:
        (tmp_path / "upload").write_bytes(BIG)
        code = ("-w", "%{http_code}")
        assert curl("/small.txt", "-X", "DELETE", *code).stdout == b"405 Method Not Allowed\n405"
        done = curl("/small.txt", "-T", f"{tmp_path}/upload", *code, "-H", "Expect:")
        assert done.stdout == b"405 Method Not Allowed\n405"

    def test_one_connection_for_several_requests(self, curl: Callable) -> None:
        done = curl("/[1-3]", "-w", "%{num_connects}", "-o", os.devnull)
        assert done.stdout == b"100"

    def test_many_at_once(self, curl: Callable, tmp_path: Path) -> None:
        where = ("--parallel", "--parallel-immediate", "-o", f"{tmp_path}/#1")
        assert curl("/big?[1-20]", *where).returncode == 0
        assert [(tmp_path / str(n)).read_bytes() == BIG for n in range(1, 21)] == [True] * 20


@needs("wrk")
@pytest.mark.parametrize("path", ["small.txt", "big"])
def test_wrk(server: tuple, path: str) -> None:
    _, (host, port) = server
    command = ["wrk", "-t1", "-c50", "-d1s", f"http://{host}:{port}/{path}"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=100).stdout
    assert int(re.search(r"(\d+) requests in", told)[1]) > 0
    assert "Non-2xx" not in told
    assert "Socket errors" not in told


def test_requests_in_pieces_and_at_once(server: tuple) -> None:
    request = b"GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n"
    _, address = server
    with socket.create_connection(address) as sock:
        for byte in request:
            sock.sendall(bytes([byte]))
        sock.shutdown(socket.SHUT_WR)
        with sock.makefile("rb") as file:
            one = file.read()
    assert one.endswith(b"\r\n\r\nsmall")
    assert raw(server, 50 * request) == 50 * one


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"", b""),
        (b"GET /small.txt HTTP/1.1\r\nHost:", b"400"),
        (b"\0\1\2\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://x/small.txt HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
        (b"GET /" + 100_000 * b"x", b"431"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET /small.txt HTTP/1.0\r\n\r\n", b"200"),
    ],
    ids=["nothing", "half", "noise", "no host", "absolute", "long", "chunks", "1.0"],
)
def test_odd_requests(server: tuple, request_: bytes, answer: bytes) -> None:
    assert raw(server, request_)[9:12] == answer


def test_clients_that_go_away(server: tuple) -> None:
    process, address = server
    for _ in range(20):
        with socket.create_connection(address) as sock:
            sock.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
            sock.recv(1000)
    assert raw(server, b"GET /small.txt HTTP/1.0\r\n\r\n").endswith(b"small")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    assert process.stdout.read() == "bye\n"
    assert process.stderr.read() == ""


def test_a_file_that_becomes_shorter(server: tuple, folder: Path) -> None:
    """The client notices: there are fewer bytes than it was promised."""
    _, address = server
    large = 1 << 30  # more than is under way
    os.truncate(folder / "big", large)
    with socket.create_connection(address) as sock, sock.makefile("rb") as file:
        sock.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        while file.readline() != b"\r\n":
            pass
        os.truncate(folder / "big", 100)
        assert len(file.read()) < large
