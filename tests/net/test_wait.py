"""`net.wait_readable` and `net.wait_writable`."""

import os
import socket

import pytest
from sockets import fill, until_waiting

import gopark
from gopark import GoCancelled, go, net


@pytest.mark.parametrize("as_number", [True, False])
def test_a_socket_of_somebody_else(run, as_number: bool) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            file = ours.fileno() if as_number else ours
            g = go(net.wait_readable(file))
            await until_waiting(g)
            theirs.send(b"x" * 100)
            await g
            for _ in range(3):  # level-triggered
                await net.wait_readable(file)
            assert ours.recv(100) == b"x" * 100
            assert ours.getblocking()
            await net.wait_writable(file)

    run(main)


def test_several_wait_for_one(run) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            gs = [go(net.wait_readable(ours)) for _ in range(5)]
            await until_waiting(*gs)
            theirs.close()  # the end can be read, too
            for g in gs:
                await g

    run(main)


def test_room_to_write(run) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            sent = fill(ours)
            g = go(net.wait_writable(ours))
            await until_waiting(g)
            while sent:
                sent -= len(theirs.recv(65536))
            await g

    run(main)


def test_a_wait_that_is_cancelled_leaves_no_descriptor(run) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            before = len(os.listdir("/dev/fd"))
            g = go(net.wait_readable(ours))
            await until_waiting(g)
            g.cancel()
            with pytest.raises(GoCancelled):
                await g
            assert len(os.listdir("/dev/fd")) == before

    run(main)


def test_what_is_no_descriptor() -> None:
    async def main() -> None:
        with pytest.raises(OSError, match="Bad file"):
            await net.wait_readable(10**6)
        with pytest.raises(AttributeError):
            await net.wait_readable("text")

    gopark.run(main)
