"""`chat`: guests with Python's own sockets."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest


class Guest:
    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address)
        self.file = self.sock.makefile("rw", encoding="utf-8", newline="\n")

    def says(self, *lines: str) -> None:
        self.file.write("".join(f"{line}\n" for line in lines))
        self.file.flush()

    def hears(self) -> str:
        return self.file.readline().removesuffix("\n")

    def hears_until(self, last: str) -> list[str]:
        lines = [self.hears()]
        while lines[-1] != last:
            assert lines[-1], "the connection was closed"
            lines.append(self.hears())
        return lines


@pytest.fixture
def room(serve: Callable) -> Iterator[Callable[..., Guest]]:
    """Lets a guest in; with a name it is also introduced."""
    with ExitStack() as stack:
        process, address = serve("chat", "127.0.0.1:0")

        def enter(name: str | None = None) -> Guest:
            guest = Guest(address)
            stack.callback(guest.sock.close)
            stack.callback(guest.file.close)
            assert guest.hears() == "your name?"
            if name:
                guest.says(name)
                assert name in guest.hears().removeprefix("here are ").split(", ")
            return guest

        enter.process = process
        yield enter


def test_talk(room: Callable) -> None:
    ann, bob = room("ann"), room("bob")
    assert ann.hears() == "bob joins"
    ann.says("hello, wörld")
    assert bob.hears() == "ann: hello, wörld"
    bob.says("hi\x1b[31m")
    assert ann.hears() == "bob: hi[31m"
    bob.says("/who")
    assert bob.hears() == "here are ann, bob"
    bob.says("/quit")
    assert ann.hears() == "bob leaves"
    assert bob.hears() == ""


def test_a_name_is_taken_once(room: Callable) -> None:
    ann, other = room("ann"), room()
    for name in ("ann", "", "  ann "):
        other.says(name)
        assert other.hears() == "another name, please?"
    other.says("bob")
    assert other.hears() == "here are ann, bob"
    assert ann.hears() == "bob joins"
    other.sock.shutdown(socket.SHUT_WR)
    assert ann.hears() == "bob leaves"
    room("bob")


def test_one_who_talks_without_end_is_dropped(room: Callable) -> None:
    ann, bob = room("ann"), room("bob")
    assert ann.hears() == "bob joins"
    bob.says("x" * 5000)
    assert ann.hears() == "bob leaves"


def test_one_who_does_not_read_holds_up_nobody(room: Callable) -> None:
    """What sleepy does not read fills the buffers of the system, then the channel, then it goes."""
    ann, bob = room("ann"), room("bob")
    room("sleepy")
    assert ann.hears_until("sleepy joins") == ["bob joins", "sleepy joins"]
    assert bob.hears() == "sleepy joins"
    gone, said, line = "sleepy is too slow, and is gone", 0, "x" * 900
    while True:
        ann.says(line)
        said += 1
        if bob.hears() == gone:
            break
        assert said < 100_000
    assert bob.hears() == f"ann: {line}"
    assert ann.hears() == gone
    bob.says("/who")
    assert bob.hears() == "here are ann, bob"


def test_ctrl_c(room: Callable) -> None:
    ann, bob, shy = room("ann"), room("bob"), room()
    room.process.send_signal(signal.SIGINT)
    assert ann.hears_until("the room closes, good night")[0] == "bob joins"
    assert bob.hears() == "the room closes, good night"
    for guest in (ann, bob, shy):
        assert guest.hears() == ""
    assert room.process.wait() == 0
    assert room.process.stdout.read() == "the room is closed\n"
    assert room.process.stderr.read() == ""
