"""The programs of bench/net.py: servers answer, and a failure is told and not counted.

Nothing here is timed.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import gopark

BENCH = Path(__file__).parent.parent.parent / "bench"
GO = shutil.which("go") or BENCH / ".env" / "go" / "bin" / "go"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def environment(**more: str) -> dict[str, str]:
    source = str(Path(gopark.__file__).parent.parent)
    return os.environ | {"PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"} | more


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[str, int]]]:
    """Starts a server; gives its address."""
    with ExitStack() as stack:

        def serve(peer: str, kind: str, procs: int = 1) -> tuple[str, int]:
            process = subprocess.Popen(
                [sys.executable, "-m", f"peers.net.{peer}", kind],
                cwd=BENCH,
                env=environment(GOMAXPROCS=str(procs)),
                stdout=subprocess.PIPE,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return "127.0.0.1", json.loads(process.stdout.readline())["port"]

        yield serve


@pytest.mark.parametrize("procs", [1, 2])
@pytest.mark.parametrize(
    "server", [("gopark", "echo"), ("asyncio", "echo"), ("asyncio", "streams")]
)
def test_echo(serve: Callable, server: tuple[str, str], procs: int) -> None:
    address = serve(*server, procs)
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.create_connection(address)) for _ in range(20)]
        for i, sock in enumerate(socks):
            sock.sendall(b"%60d" % i)
        for i, sock in enumerate(socks):
            assert sock.recv(60, socket.MSG_WAITALL) == b"%60d" % i


@pytest.mark.parametrize("peer", ["gopark", "asyncio"])
def test_http(serve: Callable, peer: str) -> None:
    """Requests in pieces, and two at once."""
    with socket.create_connection(serve(peer, "http")) as sock:
        for piece in (REQUEST[:10], REQUEST[10:-2], REQUEST[-2:]):
            sock.sendall(piece)
        assert sock.recv(len(HELLO), socket.MSG_WAITALL) == HELLO
        sock.sendall(REQUEST + REQUEST)
        assert sock.recv(2 * len(HELLO), socket.MSG_WAITALL) == 2 * HELLO


def driver(code: str) -> str:
    """What a few lines print that have the driver imported, and a program of each kind."""
    prelude = (
        "import net, sys; from pathlib import Path; from environments import Environment;"
        "from run import Failed, Program, measure;"
        "names = {'go': Environment('Go'), 'gil': Environment('a'), 'free': Environment('b')};"
        "results = net.Results({}, names, 1, True, {'asyncio'});"
        "works = Program('gil', 'asyncio', [sys.executable, '-m', 'peers.asyncio']);"
    )
    return subprocess.run(
        [sys.executable, "-c", prelude + code],
        cwd=BENCH,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def test_a_server_that_does_not_start_is_told() -> None:
    printed = driver(
        "net.GO_PROGRAM = Path(sys.executable);"
        "net.command = lambda *_: [sys.executable, '-c', 'raise SystemExit(\"error: no luck\")'];"
        "measure(net.ROWS[0], [works], results, net.run_once);"
        "print(net.render(net.both(results)))"
    )
    assert "asyncio: no server, error: no luck" in printed


def test_a_client_that_fails_is_told(tmp_path: Path) -> None:
    client = tmp_path / "client"
    client.write_text("#!/bin/sh\necho 'error: the echo was wrong' >&2\nexit 1\n")
    client.chmod(0o700)
    printed = driver(
        f"net.GO_PROGRAM = Path({str(client)!r});"
        "measure(net.ROWS[0], [works], results, net.run_once);"
        "print(net.render(net.both(results)))"
    )
    assert "asyncio: exit 1, error: the echo was wrong" in printed


def test_two_rows_of_each_run(tmp_path: Path) -> None:
    client = tmp_path / "client"
    client.write_text("#!/bin/sh\necho '{\"value\": [50000.0, 77.0]}'\n")
    client.chmod(0o700)
    printed = driver(
        f"net.GO_PROGRAM = Path({str(client)!r});"
        "measure(net.ROWS[0], [works], results, net.run_once);"
        "print(net.render(net.both(results)))"
    )
    lines = [line.split("|") for line in printed.splitlines() if line.startswith("| TCP echo")]
    values = {line[1].strip(): [word.strip() for word in line[2:4]] for line in lines}
    assert values["TCP echo, 1 connection"] == ["1/s", "50,000"]
    assert values["TCP echo, 1 connection: p99"] == ["us", "77.0"]


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not Path(GO).exists():
        pytest.skip("the client is written in Go, which is not here; `make bench` installs it")
    folder = tmp_path_factory.mktemp("go")
    cache = BENCH / ".env" / "go" / "cache"  # where the benchmark has it, too
    places = {"GOCACHE": str(cache), "GOPATH": str(folder), "GOPROXY": "off"}
    command = [str(GO), "build", "-o", str(folder / "bench"), "."]
    subprocess.run(command, cwd=BENCH / "go", env=environment(**places), check=True)
    return folder / "bench"


@pytest.mark.parametrize(
    ("kind", "server"), [("echo", "echo"), ("churn", "echo"), ("tls", "tls"), ("http", "http")]
)
def test_client(serve: Callable, go_program: Path, tmp_path: Path, kind: str, server: str) -> None:
    """Go's client with Go's server: it counts, and nothing fails."""
    variables = environment(BENCH_CERTIFICATE=str(tmp_path))
    subprocess.run([go_program, "certify"], env=variables, check=True)
    with subprocess.Popen(
        [go_program, "serve", server], env=variables, stdout=subprocess.PIPE
    ) as process:
        port = json.loads(process.stdout.readline())["port"]
        command = [go_program, "load", kind, f"127.0.0.1:{port}", "5", "50"]
        done = subprocess.run(command, env=variables, capture_output=True, check=True)
        process.kill()
    rate, late = json.loads(done.stdout)["value"]
    assert rate > 0
    assert late > 0


@pytest.mark.parametrize(
    ("kind", "answer", "complaint"),
    [("echo", b"x" * 64, "the echo was"), ("http", HELLO[:-1] + b"?", "the response was")],
)
def test_client_refuses_a_wrong_answer(
    go_program: Path, kind: str, answer: bytes, complaint: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [go_program, "load", kind, f"127.0.0.1:{port}", "1", "50"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as client:
            conn, _ = listener.accept()
            with conn:
                conn.recv(64)
                conn.sendall(answer)
                complaints = client.stderr.read()
            assert client.wait() == 1
    assert complaint in complaints
