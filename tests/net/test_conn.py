"""Every rule of `net.Conn`."""

import array
import errno
import io
import os
import pickle
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sockets import fill, pair, read_all, tcp_pair, until_waiting, with_peer

import gopark
from gopark import Cancelled, CancelScope, GoCancelled, go, gosched, net, timeout

# -- reading ------------------------------------------------------------------


def test_read_gives_what_there_is(run) -> None:
    async def main() -> None:
        a, b = await tcp_pair()
        async with a, b:
            g = go(b.read())
            await until_waiting(g)
            assert g.wait_reason == "IO wait"
            await a.write(b"hello")
            assert await g == b"hello"
            await a.write(b"abcdef")
            assert [await b.read(2), await b.read(100)] == [b"ab", b"cdef"]
            a.close_write()
            assert [await b.read(), await b.read()] == [b"", b""]

    run(main)


def test_readinto_gives_what_there_is(run) -> None:
    async def main() -> None:
        a, b = pair()
        async with a, b:
            buffer = bytearray(8)
            await a.write(b"hello")
            assert await b.readinto(buffer) == 5
            assert buffer == b"hello\0\0\0"
            a.close()
            assert await b.readinto(buffer) == 0

    run(main)


def test_what_is_buffered_is_read_first(run) -> None:
    async def main() -> None:
        a, b = pair()
        async with a, b:
            await a.write(b"line\nabcdefgh")
            assert await b.read_until() == b"line\n"
            await a.write(b"later")
            assert await b.read(3) == b"abc"
            buffer = array.array("h", [0, 0])
            assert await b.readinto(buffer) == 4
            assert bytes(buffer) == b"defg"
            assert await b.read() == b"h"
            assert await b.read() == b"later"

    run(main)


def test_read_exactly(run) -> None:
    async def main() -> None:
        a, b = pair()
        async with a, b:
            g = go(b.read_exactly(4))
            for byte in b"abcde":
                await until_waiting(g)
                await a.write(bytes([byte]))
                if byte == ord("d"):
                    assert await g == b"abcd"
                    break
            await a.write(b"efg")
            assert await b.read_exactly(0) == b""
            assert await b.read_exactly(2) == b"ef"
            assert await b.read() == b"g"

    run(main)


def test_read_exactly_of_much(run) -> None:
    async def main() -> None:
        a, b = await tcp_pair()
        data = os.urandom(3_000_000)
        async with a, b:
            go(a.write(b"line\n" + data + b"rest"))
            assert await b.read_until() == b"line\n"
            assert await b.read_exactly(len(data)) == data
            assert await b.read() == b"rest"

    run(main)


@pytest.mark.parametrize("n", [10, 1_000_000, 2**50])
def test_a_stream_that_ends_too_early(run, n: int) -> None:
    async def main() -> None:
        a, b = pair()
        async with b:
            await a.write(b"abc")
            a.close()
            with pytest.raises(net.IncompleteReadError, match="after 3 bytes") as info:
                await b.read_exactly(n)
            assert info.value.partial == b"abc"
            assert isinstance(info.value, EOFError)
            assert await b.read() == b""

    run(main)


def test_an_incomplete_read_is_pickled_whole() -> None:
    error = pickle.loads(pickle.dumps(net.IncompleteReadError("it ended", b"abc")))
    assert (str(error), error.partial) == ("it ended", b"abc")


def test_read_until(run) -> None:
    async def main() -> None:
        a, b = pair()
        async with a, b:
            await a.write(b"one\ntwo\nthr")
            assert await b.read_until() == b"one\n"
            assert await b.read_until(b"\n") == b"two\n"
            g = go(b.read_until(b"\r\n"))
            await until_waiting(g)
            await a.write(b"ee\r")
            await until_waiting(g)
            await a.write(b"\nfour")
            assert await g == b"three\r\n"
            a.close()
            with pytest.raises(net.IncompleteReadError) as info:
                await b.read_until()
            assert info.value.partial == b"four"
            with pytest.raises(net.IncompleteReadError) as info:
                await b.read_until()
            assert info.value.partial == b""

    run(main)


def test_read_until_has_a_limit_and_takes_nothing_past_it(run) -> None:
    async def main() -> None:
        a, b = pair()
        async with a, b:
            await a.write(b"12345\n12345")
            assert await b.read_until(limit=6) == b"12345\n"
            with pytest.raises(net.LimitError, match="within 5 bytes"):
                await b.read_until(limit=5)
            await a.write(b"\n")
            with pytest.raises(net.LimitError):
                await b.read_until(limit=5)
            assert await b.read_until(limit=6) == b"12345\n"

    run(main)


def test_a_peer_that_never_ends_its_line_does_not_fill_the_memory(run) -> None:
    async def main() -> None:
        a, b = pair()
        async with b:
            flood = go(a.write(b"x" * 50_000_000))
            with pytest.raises(net.LimitError):
                await b.read_until()
            assert len(b._buffer) <= 2 * 65536
            b.close()
            with pytest.raises(OSError):  # noqa: PT011
                await flood

    run(main)


def test_an_empty_separator_and_negative_sizes_are_refused(run) -> None:
    async def main() -> None:
        a, b = pair()
        async with a, b:
            await a.write(b"line\nmore")
            await b.read_until()
            for operation in (b.read(-1), b.read_exactly(-1), b.read_until(b"")):
                with pytest.raises(ValueError, match=r"cannot|empty"):
                    await operation
            assert await b.read() == b"more"

    run(main)


def test_lines_that_never_come_to_an_end_together_do_not_pile_up(run) -> None:
    """Each piece ends within a line, so the buffer is never empty."""

    async def main() -> None:
        a, b = pair()
        async with a, b:
            await a.write(b"x" * 500)
            for _ in range(1000):
                await a.write(b"x" * 500 + b"\n" + b"x" * 500)
                assert await b.read_until() == b"x" * 1000 + b"\n"
                assert len(b._buffer) < 5000

    run(main)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_read_until_in_any_pieces(data: st.DataObject) -> None:
    separator = data.draw(st.binary(min_size=1, max_size=3), "separator")
    alphabet = st.sampled_from([*{bytes([c]) for c in separator}, b"x"])
    stream = b"".join(data.draw(st.lists(alphabet, max_size=60), "stream"))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10), "cuts"))
    pieces = [stream[i:j] for i, j in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    async def main() -> None:
        a, b = pair()
        found, left = [], None

        async def reader() -> None:
            nonlocal left
            async with b:
                try:
                    while True:
                        found.append(await b.read_until(separator))
                except net.IncompleteReadError as exc:
                    left = exc.partial

        g = go(reader())
        for piece in pieces:
            await until_waiting(g)
            await a.write(piece)
        a.close()
        await g
        *lines, rest = stream.split(separator)
        assert found == [line + separator for line in lines]
        assert left == rest

    gopark.run(main, procs=1)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("read"), st.integers(1, 40)),
            st.tuples(st.just("readinto"), st.integers(1, 40)),
            st.tuples(st.just("read_exactly"), st.integers(0, 40)),
            st.tuples(st.just("read_until"), st.just(b"\n")),
        ),
        max_size=30,
    ),
    st.lists(st.binary(min_size=1, max_size=30)),
)
def test_ways_to_read_can_be_mixed(calls: list[tuple[str, Any]], pieces: list[bytes]) -> None:
    """Whatever is called, all bytes come, once and in order."""

    async def main() -> None:
        a, b = pair()
        for piece in pieces:
            await a.write(piece)
        a.close()
        got = b""
        async with b:
            for name, argument in calls:
                try:
                    if name == "readinto":
                        buffer = bytearray(argument)
                        got += buffer[: await b.readinto(buffer)]
                    else:
                        got += await getattr(b, name)(argument)
                except net.IncompleteReadError as exc:
                    got += exc.partial
            got += await read_all(b)
        assert got == b"".join(pieces)

    gopark.run(main, procs=1)


# -- writing ------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        bytearray(b"hello"),
        memoryview(b"xhellox")[1:-1],
        array.array("b", b"hello"),
        [b"he", b"", bytearray(b"ll"), memoryview(b"o")],
        (b"hello",),
        [array.array("b", b"hel"), b"lo"],
    ],
    ids=lambda data: type(data).__name__,
)
def test_write_takes_what_holds_bytes(data: Any) -> None:
    async def main() -> None:
        a, b = pair()
        async with b:
            await a.write(data)
            a.close()
            assert await read_all(b) == b"hello"

    gopark.run(main)


@pytest.mark.parametrize("data", [b"", bytearray(), [], [b"", b""], array.array("i")])
def test_write_of_nothing(data: Any) -> None:
    async def main() -> None:
        a, b = pair()
        async with b:
            await a.write(data)
            a.close()
            assert await b.read() == b""

    gopark.run(main)


@pytest.mark.parametrize("data", ["text", None, 5, ["text"], [5]])
def test_write_takes_nothing_else(data: Any) -> None:
    async def main() -> None:
        a, b = pair()
        async with a, b:
            with pytest.raises(TypeError):
                await a.write(data)
            await a.write(b"fine")
            assert await b.read() == b"fine"

    gopark.run(main)


@pytest.mark.parametrize("how", ["bytes", "ints", "list", "many"])
def test_write_writes_all(run, how: str) -> None:
    content = os.urandom(4_000_000)
    data = {
        "bytes": content,
        "ints": array.array("i", content),
        "list": [content[:1_000_000], content[1_000_000:3_500_000], content[3_500_000:]],
        "many": [content[i : i + 1000] for i in range(0, len(content), 1000)],
    }[how]

    async def main() -> None:
        a, b = await tcp_pair()

        async def write() -> None:
            async with a:
                await a.write(data)

        g = go(write())
        async with b:
            assert await read_all(b) == content
        await g

    run(main)


def test_what_several_write_is_not_mixed(run) -> None:
    size = 300_000

    async def main() -> None:
        a, b = await tcp_pair()
        writers = [
            go(a.write(data))
            for n in range(8)
            for data in (bytes([n]) * size, [bytes([n + 8]) * (size // 3)] * 3)
        ]

        async def close() -> None:
            for g in writers:
                await g
            a.close()

        g = go(close())
        async with b:
            everything = await read_all(b)
        await g
        blocks = [everything[i : i + size] for i in range(0, len(everything), size)]
        assert sorted(blocks) == [bytes([n]) * size for n in range(16)]

    run(main)


def test_a_flood_of_tiny_writes(run) -> None:
    n = 5000

    async def main() -> None:
        a, b = await tcp_pair()

        async def write(name: int) -> None:
            for i in range(n):
                await a.write(b"%d %d\n" % (name, i))

        async def all_writers() -> None:
            for g in [go(write(name)) for name in range(4)]:
                await g
            a.close()

        g = go(all_writers())
        seen = [0] * 4
        async with b:
            while True:
                try:
                    name, i = map(int, (await b.read_until()).split())
                except net.IncompleteReadError:
                    break
                assert i == seen[name]
                seen[name] += 1
        await g
        assert seen == [n] * 4

    run(main)


def test_a_slow_peer_holds_up_the_writer_alone(run) -> None:
    async def main() -> None:
        a, b = await tcp_pair()
        g = go(a.write(b"x" * 20_000_000))
        await until_waiting(g)
        assert g.wait_reason == "IO wait"
        got = 0
        while got < 20_000_000:
            got += len(await b.read())
        await g
        a.close()
        b.close()

    run(main)


# -- both directions ----------------------------------------------------------


def test_half_close(run) -> None:
    async def main() -> None:
        a, b = await tcp_pair()
        async with a, b:
            await a.write(b"the question")
            a.close_write()
            assert await read_all(b) == b"the question"
            await b.write(b"the answer")
            b.close_write()
            assert await read_all(a) == b"the answer"
            with pytest.raises(BrokenPipeError):
                await a.write(b"more")

    run(main)


def test_close_read_ends_a_read_that_waits(run) -> None:
    async def main() -> None:
        a, b = await tcp_pair()
        async with a, b:
            await a.write(b"line\nwhat is left")
            await b.read_until()
            b.close_read()
            assert await b.read() == b""
            g = go(a.read())
            await until_waiting(g)
            a.close_read()
            assert await g == b""
            await b.write(b"to nobody")
            await a.write(b"still open")

    run(main)


def test_reading_and_writing_at_once(run) -> None:
    """Both ends write more than fits, and read only as another goroutine."""
    data = os.urandom(3_000_000)

    async def write(conn: net.Conn) -> None:
        await conn.write(data)
        conn.close_write()

    async def main() -> None:
        a, b = await tcp_pair()
        async with a, b:
            gs = [go(write(a)), go(write(b))]
            readers = [go(read_all(a)), go(read_all(b))]
            assert [await g for g in readers] == [data, data]
            for g in gs:
                await g

    run(main)


# -- sendfile -----------------------------------------------------------------

CONTENT = os.urandom(1_000_000)


class Unreadable(io.RawIOBase):
    """Neither a descriptor nor a position."""

    def __init__(self, content: bytes) -> None:
        self.content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self.content.readinto(buffer)


def a_file() -> Any:
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(CONTENT)
    file.seek(7)
    return file


@pytest.mark.parametrize("kind", ["file", "number", "BytesIO", "refused"])
@pytest.mark.parametrize(
    ("offset", "count"), [(0, None), (5, None), (5, 700_000), (5, 0), (999_999, 50), (2_000_000, 5)]
)
def test_sendfile(
    run, kind: str, offset: int, count: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> int:
        raise OSError(errno.EINVAL, "not with this file")

    if kind == "refused":
        monkeypatch.setattr(os, "sendfile", refuse)
    expected = CONTENT[offset:] if count is None else CONTENT[offset : offset + count]

    async def main() -> None:
        a, b = await tcp_pair()
        with a_file() as real:
            file = {"number": real.fileno(), "BytesIO": io.BytesIO(CONTENT)}.get(kind, real)

            async def send() -> int:
                async with a:
                    return await a.sendfile(file, offset, count)

            g = go(send())
            async with b:
                assert await read_all(b) == expected
            assert await g == len(expected)
            assert real.tell() == 7

    run(main)


def test_sendfile_from_a_pipe(run) -> None:
    async def main() -> None:
        a, b = await tcp_pair()
        source, sink = os.pipe()
        os.write(sink, b"from a pipe")
        os.close(sink)
        async with b:
            assert await a.sendfile(source) == 11
            a.close()
            assert await read_all(b) == b"from a pipe"
        os.close(source)

    run(main)


def test_sendfile_of_what_can_only_be_read(run) -> None:
    async def main() -> None:
        a, b = await tcp_pair()
        async with b:
            assert await a.sendfile(Unreadable(b"read only")) == 9
            a.close()
            assert await read_all(b) == b"read only"

    run(main)


def test_sendfile_is_not_mixed_with_writes(run) -> None:
    async def main() -> None:
        a, b = pair()  # which holds less than TCP
        with a_file() as file:
            sending = go(a.sendfile(file))
            await until_waiting(sending)
            writing = go(a.write(b"end"))

            async def close() -> None:
                await sending
                await writing
                a.close()

            g = go(close())
            async with b:
                assert await read_all(b) == CONTENT + b"end"
            await g

    run(main)


def test_sendfile_refuses_negatives_and_directories() -> None:
    async def main() -> None:
        a, b = pair()
        async with a, b:
            for arguments in ((-1,), (0, -1)):
                with pytest.raises(ValueError, match="cannot be negative"):
                    await a.sendfile(0, *arguments)
            number = os.open("/", os.O_RDONLY)
            with pytest.raises(IsADirectoryError):
                await a.sendfile(number)
            os.close(number)

    gopark.run(main)


# -- what ends a wait ---------------------------------------------------------

Wait = Callable[[net.Conn], Awaitable[Any]]
WAITS: dict[str, Wait] = {
    "read": lambda conn: conn.read(),
    "readinto": lambda conn: conn.readinto(bytearray(8)),
    "read_exactly": lambda conn: conn.read_exactly(8),
    "read_large": lambda conn: conn.read_exactly(1_000_000),
    "read_until": lambda conn: conn.read_until(),
    "write": lambda conn: conn.write(b"x" * 100),
    "writev": lambda conn: conn.write([b"x" * 100, b"y"]),
    "sendfile": lambda conn: conn.sendfile(io.BytesIO(b"x")),
}
every_wait = pytest.mark.parametrize("name", WAITS)


@every_wait
def test_close_wakes_who_waits(run, name: str) -> None:
    async def main() -> None:
        conn, peer = with_peer()
        with peer:
            fill(conn)
            gs = [go(WAITS[name](conn)) for _ in range(1 if "read_" in name else 3)]
            await until_waiting(*gs)
            conn.close()
            for g in gs:
                with pytest.raises(net.ClosedError):
                    await g

    run(main)


@every_wait
def test_nothing_can_be_done_after_close(name: str) -> None:
    async def main() -> None:
        conn, peer = with_peer()
        with peer:
            peer.send(b"line\nrest")
            await conn.read_until()
            conn.close()
            conn.close()
            assert conn.closed
            assert conn.fileno() == -1
            with pytest.raises(net.ClosedError):
                await WAITS[name](conn)
            for operation in (
                conn.close_write,
                conn.close_read,
                lambda: conn.set_nodelay(True),
                lambda: conn.local_addr,
            ):
                with pytest.raises(net.ClosedError):
                    operation()
            assert conn.remote_addr == ("", 0)
            assert repr(conn) == "<Conn, closed>"

    gopark.run(main)


@every_wait
def test_a_deadline_ends_a_wait(run, name: str) -> None:
    async def main() -> None:
        conn, peer = with_peer()
        with peer:
            fill(conn)
            conn.set_deadline(time.monotonic() + 0.01)
            with pytest.raises(TimeoutError):
                await WAITS[name](conn)
            with pytest.raises(TimeoutError):  # it holds
                await WAITS[name](conn)
            conn.set_deadline(None)
            g = go(WAITS[name](conn))
            await until_waiting(g)
            conn.set_deadline(time.monotonic() - 1)  # reaches one who waits
            with pytest.raises(TimeoutError):
                await g
            conn.close()

    run(main)


def test_deadlines_of_reading_and_writing_are_two(run) -> None:
    async def main() -> None:
        conn, peer = with_peer()
        with peer:
            conn.set_read_deadline(time.monotonic() - 1)
            with pytest.raises(TimeoutError):
                await conn.read()
            await conn.write(b"fine")
            conn.set_read_deadline(None)
            conn.set_write_deadline(time.monotonic() - 1)
            with pytest.raises(TimeoutError):
                await conn.write(b"late")
            peer.send(b"fine")
            assert await conn.read() == b"fine"
            conn.close()

    run(main)


@every_wait
def test_cancel_ends_a_wait(run, name: str) -> None:
    async def main() -> None:
        conn, peer = with_peer()
        with peer:
            fill(conn)
            g = go(WAITS[name](conn))
            await until_waiting(g)
            g.cancel()
            with pytest.raises(GoCancelled):
                await g
            with pytest.raises(TimeoutError):
                async with timeout(0.01):
                    await WAITS[name](conn)
            conn.close()

    run(main)


def test_who_is_cancelled_does_not_begin_to_wait() -> None:
    async def main() -> None:
        a, b = pair()
        async with a, b:
            with CancelScope() as scope:
                scope.cancel()
                with pytest.raises(Cancelled):
                    await a.read()
                with pytest.raises(Cancelled):
                    await a.write(b"x")
            await a.write(b"after it")
            assert await b.read() == b"after it"

    gopark.run(main)


@pytest.mark.parametrize("name", ["read_exactly", "read_large", "read_until"])
def test_a_read_that_is_called_off_loses_nothing(run, name: str) -> None:
    async def main() -> None:
        conn, peer = with_peer()
        with peer:
            for how in ("cancel", "deadline"):
                peer.send(b"abc")
                g = go(WAITS[name](conn))
                await until_waiting(g)
                if how == "cancel":
                    g.cancel()
                    with pytest.raises(GoCancelled):
                        await g
                else:
                    conn.set_read_deadline(time.monotonic() - 1)
                    with pytest.raises(TimeoutError):
                        await g
                    conn.set_read_deadline(None)
            peer.send(b"de\n")
            assert await conn.read_exactly(9) == b"abcabcde\n"
            conn.close()

    run(main)


def test_who_waits_to_write_behind_another_can_be_called_off(run) -> None:
    async def main() -> None:
        conn, peer = with_peer()
        with peer:
            size = fill(conn)
            first = go(conn.write(b"1" * 10))
            await until_waiting(first)
            second = go(conn.write(b"2" * 10))
            third = go(conn.write(b"3" * 10))
            await until_waiting(second, third)
            second.cancel()
            with pytest.raises(GoCancelled):
                await second
            got = b""
            while len(got) < size + 20:
                got += peer.recv(65536)
                await gosched()
            await first
            await third
            assert got[size:] == b"1" * 10 + b"3" * 10
            conn.close()

    run(main)


def test_a_thread_may_close(run) -> None:
    async def main() -> None:
        conn, peer = with_peer()
        with peer:
            g = go(conn.read())
            await until_waiting(g)
            thread = threading.Thread(target=conn.close)
            thread.start()
            with pytest.raises(net.ClosedError):
                await g
            thread.join()

    run(main)


def test_waits_at_the_programs_end_are_closed() -> None:
    ended = []

    async def main() -> None:
        conn, peer = with_peer()

        async def reads() -> None:
            try:
                async with conn:
                    await conn.read()
            finally:
                ended.append(conn.closed)
                peer.close()

        await until_waiting(go(reads()))

    gopark.run(main)
    assert ended == [True]


# -- peers that misbehave -----------------------------------------------------


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


async def tcp_with_peer() -> tuple[net.Conn, socket.socket]:
    async with net.listen("tcp", "127.0.0.1:0") as listener:
        peer = socket.create_connection(listener.addr)
        return await listener.accept(), peer


@pytest.mark.parametrize("name", ["read", "read_exactly", "read_large", "read_until"])
def test_a_peer_that_resets(run, name: str) -> None:
    async def main() -> None:
        conn, peer = await tcp_with_peer()
        async with conn:
            g = go(WAITS[name](conn))
            await until_waiting(g)
            reset(peer)
            with pytest.raises(ConnectionResetError):
                await g
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                await conn.write([b"x"] * 10)

    run(main)


def test_a_peer_that_resets_a_writer(run) -> None:
    async def main() -> None:
        conn, peer = await tcp_with_peer()
        async with conn:
            gs = [go(conn.write(b"x" * 20_000_000)) for _ in range(2)]
            await until_waiting(*gs)
            reset(peer)
            for g in gs:
                with pytest.raises((BrokenPipeError, ConnectionResetError)):
                    await g

    run(main)


def test_linger_of_zero_resets(run) -> None:
    async def main() -> None:
        a, b = await tcp_pair()
        a.set_linger(0)
        a.close()
        async with b:
            with pytest.raises(ConnectionResetError):
                await b.read()

    run(main)


def test_a_dead_peer_keeps_nobody_for_longer_than_the_deadline(run) -> None:
    """It sends the half of what it promised, and nothing more; the connection stays half open."""

    async def main() -> None:
        conn, peer = await tcp_with_peer()
        async with conn:
            peer.sendall(b"\0\0\0\x08half")
            (size,) = struct.unpack("!I", await conn.read_exactly(4))
            conn.set_deadline(time.monotonic() + 0.02)
            with pytest.raises(TimeoutError):
                await conn.read_exactly(size)
            conn.set_deadline(None)
            assert await conn.read() == b"half"
        peer.close()

    run(main)


def test_a_lying_peer_does_not_make_us_take_memory(run) -> None:
    async def main() -> None:
        conn, peer = with_peer()
        async with conn:
            peer.sendall(b"\xff" * 8 + b"short")
            peer.close()
            (size,) = struct.unpack("!Q", await conn.read_exactly(8))
            with pytest.raises(net.IncompleteReadError) as info:
                await conn.read_exactly(size)
            assert info.value.partial == b"short"

    run(main)


# -- the rest -----------------------------------------------------------------


def test_addresses() -> None:
    async def main() -> None:
        async with net.listen("tcp", "127.0.0.1:0") as listener:
            a = await net.dial("tcp", listener.addr)
            b = await listener.accept()
            async with a, b:
                assert a.remote_addr == b.local_addr == listener.addr
                assert a.local_addr == b.remote_addr
                assert repr(b) == f"<Conn {listener.addr} to {a.local_addr}>"

    gopark.run(main)


def test_the_remote_address_of_a_peer_that_has_gone_is_no_error() -> None:
    async def main() -> None:
        conn, peer = await tcp_with_peer()
        reset(peer)
        with pytest.raises(ConnectionResetError):
            await conn.read()
        assert conn.remote_addr == ("", 0)
        assert "Conn" in repr(conn)
        conn.close()

    gopark.run(main)


def test_small_pieces_are_sent_at_once_and_peers_are_asked_after() -> None:
    """On both ends: what is accepted inherits it."""

    def option(conn: net.Conn, name: str) -> int:
        return conn.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))

    async def main() -> None:
        for conn in await tcp_pair():
            async with conn:
                assert option(conn, "TCP_NODELAY")
                assert conn.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert option(conn, "TCP_KEEPINTVL") == 15
                conn.set_nodelay(False)
                assert not option(conn, "TCP_NODELAY")
                conn.set_keepalive(42)
                assert option(conn, "TCP_KEEPINTVL") == 42
                conn.set_keepalive(None)
                assert not conn.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    gopark.run(main)


def test_options_of_any_kind() -> None:
    async def main() -> None:
        a, b = pair()
        async with a, b:
            a.set_linger(3)
            linger = a.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
            assert struct.unpack("ii", linger) == (1, 3)
            a.set_linger(None)
            linger = a.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
            assert struct.unpack("ii", linger)[0] == 0
            a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)
            assert a.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= 100_000

    gopark.run(main)


def test_a_connection_that_is_dropped_is_closed() -> None:
    async def main() -> None:
        conn, peer = with_peer()
        with peer:
            del conn
            assert peer.recv(1) == b""

    gopark.run(main)


def test_descriptors_are_not_inherited() -> None:
    async def main() -> None:
        async with net.listen("tcp", "127.0.0.1:0") as listener:
            a = await net.dial("tcp", listener.addr)
            b = await listener.accept()
            async with a, b:
                for each in (listener, a, b):
                    assert not os.get_inheritable(each.fileno())

    gopark.run(main)


def test_a_read_that_is_ready_costs_one_call() -> None:
    """It does not wait, and nobody else runs meanwhile."""

    async def main() -> None:
        a, b = pair()
        async with a, b:
            await a.write(b"ready")
            reading = b.read()
            with pytest.raises(StopIteration) as stop:
                reading.send(None)
            assert stop.value.value == b"ready"

    gopark.run(main, procs=1)
