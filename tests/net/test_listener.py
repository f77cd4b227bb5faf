"""Every rule of `net.listen` and `net.Listener`."""

import errno
import logging
import os
import resource
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from sockets import until_waiting

import gopark
from gopark import GoCancelled, TaskGroup, go, gosched, net, timeout
from gopark.net import _listener
from gopark.runtime.poll import FD
from gopark.sync import WaitGroup


async def echo(conn: net.Conn) -> None:
    async with conn:
        while data := await conn.read():
            await conn.write(data)


async def ask(address: net.Address, data: bytes, network: str = "tcp") -> bytes:
    async with await net.dial(network, address) as conn:
        await conn.write(data)
        return await conn.read_exactly(len(data))


def test_a_server_and_its_clients(run) -> None:
    async def main() -> None:
        async with net.listen("tcp", "127.0.0.1:0") as listener:

            async def serve() -> None:
                async for conn in listener:
                    go(echo(conn))

            server = go(serve())
            clients = [go(ask(listener.addr, b"client %d" % n)) for n in range(200)]
            assert [await g for g in clients] == [b"client %d" % n for n in range(200)]
        await server

    run(main)


def test_several_goroutines_accept(run) -> None:
    """Each connection goes to one of them, and all end with the listener."""

    async def main() -> None:
        accepted = []
        async with TaskGroup() as group, net.listen("tcp", "127.0.0.1:0") as listener:
            wg = WaitGroup()
            wg.add(100)

            async def serve() -> None:
                async for conn in listener:
                    async with conn:
                        accepted.append(await conn.read_exactly(3))
                    wg.done()

            servers = [await group.go(serve()) for _ in range(5)]
            await until_waiting(*servers)
            for n in range(100):
                async with await net.dial("tcp", listener.addr) as conn:
                    await conn.write(b"%03d" % n)
            await wg.wait()
        assert sorted(accepted) == [b"%03d" % n for n in range(100)]

    run(main)


def test_close_wakes_all_who_accept(run) -> None:
    async def main() -> None:
        listener = net.listen("tcp", "127.0.0.1:0")
        gs = [go(listener.accept()) for _ in range(3)]
        await until_waiting(*gs)
        listener.close()
        listener.close()
        assert listener.closed
        for g in gs:
            with pytest.raises(net.ClosedError):
                await g
        with pytest.raises(net.ClosedError):
            await listener.accept()
        assert [conn async for conn in listener] == []
        assert repr(listener) == "<Listener, closed>"
        with pytest.raises(net.ClosedError):
            print(listener.addr)

    run(main)


def test_accept_has_a_deadline_and_can_be_cancelled(run) -> None:
    async def main() -> None:
        async with net.listen("tcp", "127.0.0.1:0") as listener:
            listener.set_deadline(time.monotonic() + 0.01)
            with pytest.raises(TimeoutError):
                await listener.accept()
            listener.set_deadline(None)
            g = go(listener.accept())
            await until_waiting(g)
            g.cancel()
            with pytest.raises(GoCancelled):
                await g
            with pytest.raises(TimeoutError):
                async with timeout(0.01):
                    await listener.accept()
            async with await net.dial("tcp", listener.addr), await listener.accept():
                pass

    run(main)


# -- addresses ----------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1:0", ("127.0.0.1", 0), "localhost:0", "127.0.0.1:"])
def test_port_0_is_a_free_port(address: net.Address) -> None:
    async def main() -> None:
        async with net.listen("tcp4", address) as listener:
            assert listener.addr.host == "127.0.0.1"
            assert listener.addr.port > 0
            assert listener.addr == listener.local_addr
            assert repr(listener) == f"<Listener 127.0.0.1:{listener.addr.port}>"

    gopark.run(main)


ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6 here")


@ipv6
@pytest.mark.parametrize("address", [":0", "[::]:0"])
def test_no_host_is_all_addresses_of_both_kinds(address: str) -> None:
    async def main() -> None:
        async with net.listen("tcp", address) as listener:
            port = listener.addr.port
            for host in ("127.0.0.1", "::1"):
                conn = await net.dial("tcp", (host, port))
                async with conn, await listener.accept() as accepted:
                    assert accepted.remote_addr == conn.local_addr
                    assert accepted.remote_addr.host == host

    gopark.run(main)


@ipv6
@pytest.mark.parametrize(
    ("network", "address", "missing"),
    [
        ("tcp4", ":0", "::1"),
        ("tcp6", ":0", "127.0.0.1"),
        ("tcp", "0.0.0.0:0", "::1"),
        ("tcp", "[::1]:0", "127.0.0.1"),
    ],
)
def test_one_kind_of_address_only(network: str, address: str, missing: str) -> None:
    async def main() -> None:
        async with net.listen(network, address) as listener:
            with pytest.raises(ConnectionRefusedError):
                await net.dial("tcp", (missing, listener.addr.port))
            host = "127.0.0.1" if missing == "::1" else "::1"
            async with await net.dial("tcp", (host, listener.addr.port)):
                pass

    gopark.run(main)


def test_errors_say_what_was_tried() -> None:
    async def main() -> None:
        async with net.listen("tcp", "127.0.0.1:0") as listener:
            with pytest.raises(OSError, match=r"listen tcp .*: Address already in use") as info:
                net.listen("tcp", listener.addr)
            assert info.value.errno == errno.EADDRINUSE
        with pytest.raises(socket.gaierror, match=r"no\.such\.host\.invalid"):
            net.listen("tcp", "no.such.host.invalid:0")
        with pytest.raises(net.AddrError):
            net.listen("tcp", "127.0.0.1")

    gopark.run(main)


def test_a_port_can_be_listened_at_again_at_once() -> None:
    """Connections that linger there do not stand in the way."""

    async def main() -> None:
        async with net.listen("tcp", "127.0.0.1:0") as listener:
            addr = listener.addr
            client = await net.dial("tcp", addr)
            (await listener.accept()).close()  # the server closes first, and so has to linger
            assert await client.read() == b""
            client.close()
        net.listen("tcp", addr).close()

    gopark.run(main)


def test_reuse_port_shares_out_connections(run) -> None:
    async def main() -> None:
        first = net.listen("tcp", "127.0.0.1:0", reuse_port=True)
        second = net.listen("tcp", first.addr, reuse_port=True)
        accepted = []

        async def serve(listener: net.Listener) -> None:
            async for conn in listener:
                accepted.append(listener)
                go(echo(conn))

        servers = [go(serve(first)), go(serve(second))]
        while not {first, second} <= set(accepted):
            assert await ask(first.addr, b"hello") == b"hello"
        first.close()
        second.close()
        for g in servers:
            await g

    run(main)


def test_backlog() -> None:
    """How many connect while nobody accepts."""

    async def main() -> None:
        async with net.listen("unix", f"@gopark-backlog-{os.getpid()}", backlog=3) as listener:
            conns = []

            async def connect() -> None:
                while True:
                    conns.append(await net.dial("unix", listener.addr, timeout=0.01))

            with pytest.raises(TimeoutError):
                await connect()
            assert 3 <= len(conns) <= 4
            waiting = go(net.dial("unix", listener.addr))  # goes on when there is room
            await until_waiting(waiting)
            (await listener.accept()).close()
            conns.append(await waiting)
            for conn in conns:
                conn.close()

    gopark.run(main)


# -- Unix sockets -------------------------------------------------------------


def there(path: Path) -> bool:
    return path.exists()


def remove(path: Path) -> None:
    path.unlink()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def test_unix(run, path: Path) -> None:
    async def main() -> None:
        async with net.listen("unix", path) as listener:
            assert listener.addr == net.UnixAddr(str(path))
            asking = go(ask(str(path), b"hello", "unix"))
            async with await listener.accept() as conn:
                assert conn.local_addr == (str(path), 0)
                assert conn.remote_addr == ("", 0)
                await conn.write(await conn.read_exactly(5))
            assert await asking == b"hello"
            assert there(path)
        assert not there(path)

    run(main)


def test_the_path_may_be_kept(path: Path) -> None:
    async def main() -> None:
        async with net.listen("unix", path) as listener:
            listener.unlink_on_close = False
        assert there(path)
        with pytest.raises(OSError, match="in use"):
            net.listen("unix", path)

    gopark.run(main)


def test_who_finds_the_path_gone_closes_all_the_same(path: Path) -> None:
    async def main() -> None:
        async with net.listen("unix", path):
            remove(path)
        net.listen("unix", path).close()
        assert not there(path)

    gopark.run(main)


def test_closing_twice_does_not_unlink_anothers_path(path: Path) -> None:
    async def main() -> None:
        first = net.listen("unix", path)
        first.close()
        async with net.listen("unix", path):
            first.close()
            assert there(path)

    gopark.run(main)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has abstract names")
def test_abstract_names(run) -> None:
    name = f"@gopark-test-{os.getpid()}"

    async def main() -> None:
        async with net.listen("unix", name) as listener:
            assert str(listener.addr) == name
            asking = go(ask(listener.addr, b"hello", "unix"))
            async with await listener.accept() as conn:
                await conn.write(await conn.read_exactly(5))
            assert await asking == b"hello"

    run(main)


# -- taking over --------------------------------------------------------------


def test_sockets_of_others_are_taken_over() -> None:
    async def main() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        listener = net.from_socket(sock)
        assert sock.fileno() == -1
        assert isinstance(listener, net.Listener)
        client = net.from_socket(socket.create_connection(listener.addr))
        assert isinstance(client, net.Conn)
        async with listener, client, await listener.accept() as conn:
            await client.write(b"hello")
            assert await conn.read() == b"hello"
        udp = net.from_socket(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        assert isinstance(udp, net.PacketConn)
        udp.close()

    gopark.run(main)


def test_other_sockets_are_not_taken_over() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        with pytest.raises(ValueError, match="for streams or datagrams"):
            net.from_socket(sock)
        assert sock.fileno() >= 0


# -- when accepting fails -----------------------------------------------------


class Failing:
    """In place of a listener's FD: accept fails as told before it works."""

    def __init__(self, fd: FD, *errors: int) -> None:
        self.fd, self.errors = fd, list(errors)

    def accept(self) -> object:
        if self.errors:
            number = self.errors.pop(0)
            raise OSError(number, os.strerror(number))
        return self.fd.accept()

    def __getattr__(self, name: str) -> object:
        return getattr(self.fd, name)


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO, errno.EMFILE, errno.ENOBUFS])
def test_failures_of_one_connection_and_of_a_moment_pass(run, number: int) -> None:
    async def main() -> None:
        async with net.listen("tcp", "127.0.0.1:0") as listener:
            listener._fd = Failing(listener._fd, number, number)
            async with await net.dial("tcp", listener.addr), await listener.accept():
                assert not listener._fd.errors

    run(main)


def test_other_failures_are_raised() -> None:
    async def main() -> None:
        async with net.listen("tcp", "127.0.0.1:0") as listener:
            listener._fd = Failing(listener._fd, errno.EINVAL)
            with pytest.raises(OSError, match="Invalid"):
                await listener.accept()

    gopark.run(main)


def test_close_ends_the_wait_for_descriptors(run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def for_ever(*cases: gopark.Chan[None], timeout: float) -> object:
        return await gopark.select(*cases)

    monkeypatch.setattr(_listener, "select", for_ever)

    async def main() -> None:
        listener = net.listen("tcp", "127.0.0.1:0")
        listener._fd = Failing(listener._fd, errno.EMFILE)
        g = go(listener.accept())
        await until_waiting(g)
        listener.close()
        with pytest.raises(net.ClosedError):
            await g

    run(main)


def test_running_out_of_descriptors_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with net.listen("tcp", "127.0.0.1:0") as listener:
            listener._fd = Failing(listener._fd, errno.EMFILE, errno.EMFILE)
            async with await net.dial("tcp", listener.addr), await listener.accept():
                pass

    with caplog.at_level(logging.WARNING, "gopark.net"):
        gopark.run(main)
    (record,) = caplog.records
    assert "Too many open files" in record.getMessage()


EXHAUSTED = """
    import resource
    import gopark
    from gopark import go, net

    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    async def main():
        accepted = gopark.Chan(100)

        async def serve():
            async for conn in listener:
                accepted.send_nowait(conn)

        async with net.listen("tcp", "127.0.0.1:0") as listener:
            clients = [await net.dial("tcp", listener.addr) for _ in range(45)]
            server = go(serve())
            while server.wait_reason != "select":  # it makes a pause
                await gopark.sleep(0.001)
            early = len(accepted)
            for client in clients:
                await client.write(b"hello")
            for _ in clients:  # there is room again
                async with await accepted.recv() as conn:
                    assert await conn.read() == b"hello"
            print(0 < early < 45, len(accepted))
        await server

    gopark.run(main, procs={procs})
"""


@pytest.mark.parametrize("procs", [1, 2])
def test_descriptors_exhausted(procs: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(EXHAUSTED).replace("{procs}", str(procs))],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(gopark.__file__).parents[1])},
    )
    assert done.stdout == "True 0\n", done.stderr
    assert "cannot accept: Too many open files" in done.stderr


# -- many ---------------------------------------------------------------------


def test_many_idle_connections(run) -> None:
    """bench/idle.py does it with 20,000."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    n = min(2000, (soft - 200) // 2)

    async def main() -> None:
        listener = net.listen("tcp", "127.0.0.1:0")

        async def serve() -> None:
            async for conn in listener:
                go(echo(conn))

        server = go(serve())
        conns = [await net.dial("tcp", listener.addr) for _ in range(n)]
        for i in range(0, n, 100):  # all others stay idle
            await conns[i].write(b"%d" % i)
            assert await conns[i].read() == b"%d" % i
        for conn in conns:
            conn.close()
        while gopark.num_goroutine() > 2:
            await gosched()
        listener.close()
        await server

    run(main)
