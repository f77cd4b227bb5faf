"""`echo`: connections from Python's own sockets."""

import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest


@pytest.fixture
def server(serve: Callable) -> tuple[subprocess.Popen[str], tuple[str, int]]:
    return serve("echo", "127.0.0.1:0")


def read_all(sock: socket.socket) -> bytes:
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


def send_all(sock: socket.socket, text: bytes) -> None:
    sock.sendall(text)
    sock.shutdown(socket.SHUT_WR)


def test_everything_comes_back(server: tuple) -> None:
    _, address = server
    text = bytes(range(256)) * 10_000
    with socket.create_connection(address) as sock, sock.makefile("rwb") as file:
        for line in (b"one\n", b"two\n"):
            file.write(line)
            file.flush()
            assert file.readline() == line
        sender = threading.Thread(target=send_all, args=(sock, text))
        sender.start()
        assert read_all(sock) == text
        sender.join()


def test_a_silent_or_failing_peer_holds_up_nobody(server: tuple) -> None:
    _, address = server
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(socket.create_connection(address))
        resetting = socket.create_connection(address)
        resetting.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        resetting.sendall(b"x" * 100_000)
        resetting.close()
        sock = stack.enter_context(socket.create_connection(address))
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b"hello"


def test_ctrl_c(server: tuple) -> None:
    process, address = server
    with socket.create_connection(address) as sock:
        sock.sendall(b"hello")
        assert sock.recv(5) == b"hello"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
        assert process.stdout.read() == "bye\n"
        assert process.stderr.read() == ""
        assert sock.recv(1) == b""
