"""Every rule of `net.PacketConn`."""

import gc
import os
import socket
import sys
import time
from pathlib import Path

import pytest
from sockets import until_waiting

import gopark
from gopark import GoCancelled, go, net, timeout


def test_datagrams_there_and_back(run) -> None:
    async def main() -> None:
        server = net.listen_packet("udp", "127.0.0.1:0")
        async with server, await net.dial("udp", server.local_addr) as client:
            assert client.remote_addr == server.local_addr
            await client.write(b"ping")
            data, sender = await server.read_from()
            assert (data, sender) == (b"ping", client.local_addr)
            g = go(client.read())
            await until_waiting(g)
            await server.write_to(b"pong", sender)
            assert await g == b"pong"
            await client.write(b"")
            assert await server.read_from() == (b"", sender)

    run(main)


def test_a_datagram_is_read_whole_or_cut_off(run) -> None:
    async def main() -> None:
        server = net.listen_packet("udp", "127.0.0.1:0")
        async with server, await net.dial("udp", server.local_addr) as client:
            await client.write(b"0123456789")
            await client.write(b"next")
            assert (await server.read_from(4))[0] == b"0123"
            assert (await server.read_from(4))[0] == b"next"
            await client.write(b"x" * 65507)
            assert len((await server.read_from())[0]) == 65507
            with pytest.raises(OSError, match="too long"):
                await client.write(b"x" * 65508)

    run(main)


def test_addresses_are_what_dial_takes() -> None:
    async def main() -> None:
        async with net.listen_packet("udp4", ":0") as server:
            port = server.local_addr.port
            for address in (f"127.0.0.1:{port}", ("localhost", port), net.Addr("127.0.0.1", port)):
                await server.write_to(b"to myself", address)
                assert await server.read_from() == (b"to myself", ("127.0.0.1", port))
            with pytest.raises(net.AddrError):
                await server.write_to(b"", "127.0.0.1")
            with pytest.raises(socket.gaierror):
                await server.write_to(b"", ("no.such.host.invalid", port))

    gopark.run(main)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6 here")
def test_one_socket_serves_both_kinds_of_address() -> None:
    async def main() -> None:
        async with net.listen_packet("udp", ":0") as server:
            for host in ("127.0.0.1", "::1"):
                async with net.listen_packet("udp", (host, 0)) as other:
                    await other.write_to(b"ping", (host, server.local_addr.port))
                    data, sender = await server.read_from()
                    assert (data, sender) == (b"ping", other.local_addr)
                    await server.write_to(b"pong", sender)
                    assert (await other.read_from())[0] == b"pong"

    gopark.run(main)


def test_nobody_there_is_told_by_the_next_operation() -> None:
    async def main() -> None:
        async with net.listen_packet("udp", "127.0.0.1:0") as gone:
            addr = gone.local_addr
        async with await net.dial("udp", addr) as client:
            await client.write(b"anybody?")
            with pytest.raises(ConnectionRefusedError):
                await client.read()

    gopark.run(main)


def test_many_read_from_one_socket(run) -> None:
    async def main() -> None:
        async with net.listen_packet("udp", "127.0.0.1:0") as server:
            readers = [go(server.read_from()) for _ in range(10)]
            await until_waiting(*readers)
            for n in range(10):
                await server.write_to(b"%d" % n, server.local_addr)
            found = [await g for g in readers]
            assert sorted(data for data, _ in found) == [b"%d" % n for n in range(10)]

    run(main)


@pytest.mark.parametrize("name", ["read", "read_from"])
def test_what_ends_a_wait(run, name: str) -> None:
    async def main() -> None:
        conn = net.listen_packet("udp", "127.0.0.1:0")
        read = getattr(conn, name)
        conn.set_read_deadline(time.monotonic() + 0.01)
        with pytest.raises(TimeoutError):
            await read()
        conn.set_deadline(None)
        with pytest.raises(TimeoutError):
            async with timeout(0.01):
                await read()
        cancelled, closed = go(read()), go(read())
        await until_waiting(cancelled, closed)
        cancelled.cancel()
        with pytest.raises(GoCancelled):
            await cancelled
        conn.close()
        conn.close()
        with pytest.raises(net.ClosedError):
            await closed
        for operation in (conn.read(), conn.write(b""), conn.write_to(b"", ("127.0.0.1", 9))):
            with pytest.raises(net.ClosedError):
                await operation

    run(main)


def test_a_socket_that_was_closed_or_dropped_touches_no_number_of_others() -> None:
    async def main() -> None:
        conn = net.listen_packet("udp", "127.0.0.1:0")
        number = conn.fileno()
        conn.close()
        ours, theirs = socket.socketpair()
        assert number in (ours.fileno(), theirs.fileno())
        cycle = [conn, conn._sock]
        cycle.append(cycle)
        del conn, cycle
        gc.collect()
        with ours, theirs:
            ours.send(b"still open")
            assert theirs.recv(100) == b"still open"
        dropped = net.listen_packet("udp", "127.0.0.1:0")
        number = dropped.fileno()
        cycle = [dropped]  # whose parts the collector finalizes in any order
        cycle.append(cycle)
        del dropped, cycle
        gc.collect()
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(number)

    gopark.run(main)


def test_unixgram(run, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "server"
        async with net.listen_packet("unixgram", path) as server:
            client_path = tmp_path / "client"
            async with await net.dial("unixgram", path, local_addr=client_path) as client:
                await client.write(b"ping")
                data, sender = await server.read_from()
                assert (data, sender) == (b"ping", (str(client_path), 0))
                await server.write_to(b"pong", sender)
                assert await client.read() == b"pong"
            async with await net.dial("unixgram", path) as nameless:
                await nameless.write(b"who?")
                assert await server.read_from() == (b"who?", ("", 0))
        path.unlink()  # as in Go, it stays
        client_path.unlink()

    run(main)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has abstract names")
def test_unixgram_by_abstract_name_waits_for_room(run) -> None:
    async def main() -> None:
        server = net.listen_packet("unixgram", f"@gopark-gram-{os.getpid()}")
        async with server, await net.dial("unixgram", server.local_addr) as client:

            async def flood() -> None:
                for n in range(1000):
                    await client.write(b"%d" % n)

            g = go(flood())
            await until_waiting(g)
            for n in range(1000):
                assert (await server.read_from())[0] == b"%d" % n
            await g

    run(main)


def test_broadcast_is_allowed_unless_told() -> None:
    async def main() -> None:
        async with net.listen_packet("udp4", ":0") as conn:
            assert conn.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
            conn.set_broadcast(False)
            assert not conn.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)

    gopark.run(main)
