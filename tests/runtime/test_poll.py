"""Descriptors that goroutines wait on: the poller, closing, deadlines, cancellation."""

import errno
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import gopark
from gopark import Cancelled, Chan, G, GoCancelled, go, gosched, run, sleep
from gopark.runtime.errors import ClosedError
from gopark.runtime.poll import FD, PARK, WAIT

PROCS = pytest.mark.parametrize("procs", [1, 2, 8])


async def read(fd: FD, n: int = 65536) -> Any:
    while (data := fd.read(n)) is WAIT:
        await PARK
    return data


async def read_all(fd: FD) -> bytes:
    parts = []
    while part := await read(fd):
        parts.append(part)
    return b"".join(parts)


async def write(fd: FD, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        while (n := fd.write(rest)) is WAIT:
            await PARK
        rest = rest[n:]


async def accept(fd: FD) -> FD:
    while (number := fd.accept()) is WAIT:
        await PARK
    return FD(number)


def pair() -> tuple[FD, FD]:
    a, b = socket.socketpair()
    return FD(a.detach()), FD(b.detach())


def listening() -> tuple[FD, int]:
    s = socket.create_server(("127.0.0.1", 0), backlog=1000)
    port = s.getsockname()[1]
    return FD(s.detach()), port


async def connect(port: int) -> FD:
    s = socket.socket()
    s.setblocking(False)
    assert s.connect_ex(("127.0.0.1", port)) in (0, errno.EINPROGRESS)
    fd = FD(s.detach())
    while fd.waitwrite() is WAIT:
        await PARK
    return fd


async def waiting(g: "G[Any]") -> None:
    """Until it waits for a descriptor."""
    while g.wait_reason != "IO wait":
        await gosched()


def filled(fd: FD) -> int:
    """Write until nothing more goes in: how much did."""
    n = 0
    try:
        while True:
            n += os.write(fd.fileno(), bytes(65536))
    except BlockingIOError:
        return n


@PROCS
def test_what_is_there_is_read_without_waiting(procs: int) -> None:
    async def main() -> None:
        a, b = pair()
        assert b.write(b"hello") == 5
        assert a.read(3) == b"hel"
        buffer = bytearray(10)
        assert a.readinto(buffer) == 2
        assert buffer[:2] == b"lo"
        assert b.writev([b"x", bytearray(b"yz")]) == 3
        assert a.read(10) == b"xyz"
        b.close()
        assert a.read(10) == b""

    run(main, procs=procs)


def tcp_pair() -> tuple[FD, socket.socket]:
    """A connection, and a plain, blocking socket as its other end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        return FD(listener.accept()[0].detach(), True, True), peer


def test_after_a_short_read_of_a_stream_the_next_waits() -> None:
    """It makes no system call: here that would find a second datagram, as in no stream."""

    async def main() -> None:
        for stream in (False, True):
            a, b = socket.socketpair(type=socket.SOCK_DGRAM)
            fd = FD(a.detach(), True, stream)
            with b:
                b.send(b"one")
                b.send(b"two")
                assert fd.read(100) == b"one"
                second = fd.read(100)
                assert (second is WAIT) == stream
                if stream:  # registering has told of it
                    await PARK
                    second = await read(fd, 100)
                assert second == b"two"
            fd.close()

    run(main)


@PROCS
def test_short_reads_lose_neither_bytes_nor_the_end(procs: int) -> None:
    """Bytes and the end come while nobody waits, while somebody does, and in between."""

    async def send(peer: socket.socket, at_once: bool) -> None:
        with peer:
            for part in (b"one", b"two"):
                peer.sendall(part)
                if not at_once:
                    await gosched()

    async def main() -> None:
        for n in range(300):
            fd, peer = tcp_pair()
            if n % 3 == 1:  # it is known to the poller before anything comes
                reader = go(read(fd, 100))
                await waiting(reader)
                peer.sendall(b"x")
                assert await reader == b"x"
            sender = go(send(peer, bool(n % 2)))
            if n % 2:
                await sender
            assert await read_all(fd) == b"onetwo"
            await sender
            assert await read(fd) == b""
            fd.close()

    run(main, procs=procs)


def test_a_reset_after_a_short_read() -> None:
    async def main() -> None:
        fd, peer = tcp_pair()
        peer.sendall(b"x")
        assert await read(fd, 100) == b"x"
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        with pytest.raises(ConnectionResetError):
            await read(fd)
        fd.close()

    run(main)


@pytest.mark.parametrize("known", [False, True])
def test_bytes_around_urgent_data(known: bool) -> None:
    """A read ends before the urgent byte, which belongs to no stream, though more lies behind."""

    async def main() -> None:
        fd, peer = tcp_pair()
        with peer:
            if known:
                reader = go(read(fd, 100))
                await waiting(reader)
                peer.sendall(b"x")
                assert await reader == b"x"
            peer.sendall(b"before")
            peer.send(b"!", socket.MSG_OOB)
            peer.sendall(b"behind")
            got = b""
            while len(got) < len(b"beforebehind"):
                got += await read(fd, 100)
            assert got == b"beforebehind"
        fd.close()

    run(main)


@PROCS
def test_every_byte_of_many_connections(procs: int) -> None:
    async def main() -> None:
        listener, port = listening()

        async def echo(fd: FD) -> None:
            while data := await read(fd, 1000):
                await write(fd, data)
            fd.close()

        async def serve() -> None:
            try:
                while True:
                    go(echo(await accept(listener)))
            except ClosedError:
                pass

        async def client(n: int) -> None:
            fd = await connect(port)
            for i in range(50):
                message = b"%d-%d;" % (n, i) * (1 + i * 7)
                await write(fd, message)
                got = b""
                while len(got) < len(message):
                    part = await read(fd)
                    assert part
                    got += part
                assert got == message
            fd.close()

        server = go(serve())
        for g in [go(client(n)) for n in range(100)]:
            await g
        listener.close()
        await server

    run(main, procs=procs)


@PROCS
def test_one_gives_much_and_the_other_takes_slowly(procs: int) -> None:
    payload = os.urandom(3_000_000)

    async def main() -> None:
        a, b = pair()

        async def give() -> None:
            await write(b, payload)
            b.close()

        g = go(give())
        await waiting(g)  # the socket's buffer is full
        assert await read_all(a) == payload
        await g

    run(main, procs=procs)


@PROCS
def test_all_who_wait_are_woken_and_each_byte_goes_to_one(procs: int) -> None:
    async def main() -> None:
        a, b = pair()
        readers = [go(read(a, 1)) for _ in range(20)]
        for g in readers:
            await waiting(g)
        await write(b, bytes(range(20)))
        assert sorted([(await g)[0] for g in readers]) == list(range(20))

    run(main, procs=procs)


@PROCS
def test_close_wakes_readers_and_writers(procs: int) -> None:
    async def main() -> None:
        a, b = pair()
        filled(a)
        reader, writer = go(read(a)), go(write(a, b"x"))
        await waiting(reader)
        await waiting(writer)
        number = a.fileno()
        a.close()
        a.close()
        for g in (reader, writer):
            with pytest.raises(ClosedError):
                await g
        assert a.closed
        assert a.fileno() == -1
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
        with pytest.raises(ClosedError):
            a.read(1)
        b.close()

    run(main, procs=procs)


@PROCS
def test_a_number_used_anew_gets_no_events_of_the_old_one(procs: int) -> None:
    async def main() -> None:
        for _ in range(200):
            a, b = pair()
            g = go(read(a))
            await waiting(g)
            number = a.fileno()
            await write(b, b"for the old one")
            a.close()
            b.close()
            c, d = pair()
            if number in (c.fileno(), d.fileno()):
                reused, other = (c, d) if c.fileno() == number else (d, c)
                h = go(read(reused))
                await waiting(h)
                await gosched()
                assert not h.done()
                await write(other, b"for the new one")
                assert await h == b"for the new one"
            c.close()
            d.close()
            with suppress(ClosedError):
                assert await g == b"for the old one"

    run(main, procs=procs)


@PROCS
def test_deadlines(procs: int) -> None:
    async def main() -> None:
        a, b = pair()
        a.set_read_deadline(time.monotonic() + 0.01)
        with pytest.raises(TimeoutError, match="reading"):
            await read(a)
        with pytest.raises(TimeoutError):
            a.read(1)  # and it stays past
        assert a.write(b"writing has a deadline of its own")
        a.set_read_deadline(None)
        g = go(read(a))
        await waiting(g)
        a.set_read_deadline(time.monotonic() - 1)  # set while another waits
        with pytest.raises(TimeoutError):
            await g
        a.set_read_deadline(time.monotonic() + 1000)
        await write(b, b"in time")
        assert await read(a) == b"in time"
        filled(a)
        a.set_write_deadline(time.monotonic() + 0.01)
        with pytest.raises(TimeoutError, match="writing"):
            await write(a, b"x")
        a.close()
        with pytest.raises(ClosedError):
            a.set_read_deadline(None)

    run(main, procs=procs)


@PROCS
def test_cancelled_and_timed_out_waits_take_nothing(procs: int) -> None:
    async def main() -> None:
        a, b = pair()
        with pytest.raises(TimeoutError):
            async with gopark.timeout(0.01):
                await read(a)
        gs = [go(read(a)) for _ in range(5)]
        for g in gs:
            await waiting(g)
        for g in gs:
            g.cancel()
        for g in gs:
            with pytest.raises(GoCancelled):
                await g
        await write(b, b"still there")
        assert await read(a) == b"still there"

    run(main, procs=procs)


def test_a_cancelled_goroutine_reads_nothing_even_if_it_could() -> None:
    async def main() -> None:
        a, b = pair()
        b.write(b"x")
        with gopark.CancelScope() as scope:
            scope.cancel()
            with pytest.raises(Cancelled):
                a.read(1)
        assert a.read(1) == b"x"

    run(main)


@PROCS
def test_a_hog_does_not_keep_the_network_waiting(procs: int) -> None:
    """Every P is busy with goroutines that never park: sysmon looks at the poller."""

    async def main() -> None:
        a, b = pair()
        over = False

        async def busy() -> None:
            while not over:
                await gosched()

        for _ in range(procs * 2):
            go(busy())
        g = go(read(a))
        await waiting(g)
        os.write(b.fileno(), b"x")
        assert await g == b"x"
        over = True

    run(main, procs=procs)


def test_timers_go_on_beside_waits() -> None:
    async def main() -> None:
        a, b = pair()
        g = go(read(a))
        await waiting(g)
        await sleep(0.01)
        assert not g.done()
        c = Chan[None](1)
        gopark.time.after_func(0.01, lambda: b.write(b"x") and c.send_nowait(None))
        assert await g == b"x"
        await c.recv()

    run(main)


def test_waiting_for_the_world_outside_is_no_deadlock() -> None:
    async def main() -> bytes:
        reader, writer = os.pipe()
        fd = FD(reader)
        with subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", "import sys; sys.stdin.read(); print('hello')"],
            stdin=subprocess.PIPE,
            stdout=writer,
        ) as child:
            os.close(writer)
            g = go(read_all(fd))
            await waiting(g)
            assert child.stdin is not None
            child.stdin.close()
            return await g  # type: ignore[no-any-return]

    assert run(main) == b"hello\n"


def test_deadlock_is_found_after_the_last_wait_for_a_descriptor() -> None:
    async def main() -> None:
        a, _b = pair()
        g = go(read(a))
        await waiting(g)
        g.cancel()
        with pytest.raises(GoCancelled):
            await g
        await Chan[None]().recv()

    for procs in (1, 2, 8):
        with pytest.raises(gopark.Deadlock):
            run(main, procs=procs)


def test_descriptors_go_from_one_program_to_the_next() -> None:
    listener, port = listening()

    async def main() -> None:
        g = go(accept(listener))
        await waiting(g)
        (await connect(port)).close()
        (await g).close()

    for _ in range(3):
        run(main)
    listener.close()


def test_what_waits_at_the_program_s_end_is_unwound() -> None:
    ended = []

    async def main() -> None:
        a, b = pair()

        async def reader() -> None:
            try:
                await read(a)
            finally:
                ended.append(a)
                a.close()
                b.close()

        await waiting(go(reader()))

    fds = Path("/proc/self/fd")
    before = len(list(fds.iterdir())) if fds.exists() else 0
    run(main)
    assert len(ended) == 1
    assert (len(list(fds.iterdir())) if fds.exists() else 0) == before


def test_a_dropped_descriptor_is_closed() -> None:
    async def main() -> int:
        a, b = pair()
        a.set_read_deadline(time.monotonic() + 1000)
        number = a.fileno()
        del a
        assert b.read(1) == b""
        return number

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(run(main))


def test_detach() -> None:
    async def main() -> None:
        a, b = pair()
        g = go(read(a))
        await waiting(g)
        s = socket.socket(fileno=a.detach())
        with pytest.raises(ClosedError):
            await g
        with pytest.raises(ClosedError):
            a.detach()
        b.write(b"x")
        assert s.recv(1) == b"x"
        s.close()

    run(main)


def test_calls_of_others_that_would_block() -> None:
    async def main() -> None:
        a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        a.bind(("127.0.0.1", 0))
        fd = FD(os.dup(a.fileno()))
        assert not os.get_blocking(a.fileno())

        async def receive() -> Any:
            while (got := fd.call_read(a.recvfrom, 100)) is WAIT:
                await PARK
            return got

        g = go(receive())
        await waiting(g)
        b.sendto(b"datagram", a.getsockname())
        assert (await g)[0] == b"datagram"
        with pytest.raises(ZeroDivisionError):
            fd.call_write(lambda: 1 // 0)
        fd.close()
        a.close()
        b.close()

    run(main)


def test_sendfile(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(500_000))

    async def main() -> None:
        a, b = pair()
        g = go(read_all(a))
        with path.open("rb") as file:
            sent = 0
            while True:
                while (n := b.sendfile(file.fileno(), sent, 1 << 20)) is WAIT:
                    await PARK
                if n == 0:
                    break
                sent += n
        b.close()
        assert await g == path.read_bytes()

    run(main)


def test_what_must_not_be() -> None:
    with pytest.raises(ValueError, match="negative"):
        FD(-1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        FD(10**6)
    a, b = pair()
    with pytest.raises(RuntimeError, match=r"gopark\.run"):
        a.read(1)
    with pytest.raises(RuntimeError, match=r"gopark\.run"):
        a.set_read_deadline(1.0)
    a.close()
    b.close()

    async def main() -> None:
        c, _ = pair()
        with pytest.raises(ValueError, match="negative"):
            c.read(-1)
        with pytest.raises(ValueError, match="NaN"):
            c.set_read_deadline(float("nan"))
        with pytest.raises(TypeError):
            c.write("text")  # type: ignore[arg-type]

    run(main)


@PROCS
def test_closing_while_others_read(procs: int) -> None:
    """Many rounds of readers, a writer and a closer that meet by chance."""

    async def main() -> None:
        for _ in range(300):
            a, b = pair()

            async def reader(fd: FD = a) -> None:
                try:
                    while await read(fd, 1):
                        pass
                except ClosedError:
                    pass

            async def writer(fd: FD = b) -> None:
                try:
                    for _ in range(20):
                        await write(fd, b"x")
                        await gosched()
                except OSError:
                    pass

            gs = [go(reader()), go(reader()), go(writer())]
            for _ in range(5):
                await gosched()
            a.close()
            for g in gs:
                await g
            b.close()

    run(main, procs=procs)
