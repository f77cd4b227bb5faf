"""Every rule of `net.dial`, and of looking up names."""

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sockets import until_waiting

import gopark
from gopark import CancelScope, GoCancelled, context, go, net
from gopark.net import _dial, _resolve
from gopark.net._dial import alternating

V4 = [(socket.AF_INET, (f"10.0.0.{n}", 80)) for n in range(5)]
V6 = [(socket.AF_INET6, (f"fd00::{n}", 80, 0, 0)) for n in range(5)]


def test_families_take_turns() -> None:
    assert alternating(V6[:3] + V4[:2]) == [V6[0], V4[0], V6[1], V4[1], V6[2]]
    assert alternating(V4[:1] + V6[:3]) == [V4[0], V6[0], V6[1], V6[2]]
    assert alternating(V4[:2]) == V4[:2]


@pytest.fixture
def silent() -> Iterator[net.Addr]:
    """An address that does not answer: its queue is full, so that the system drops what comes."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(server.getsockname())
        yield net.Addr(*server.getsockname())


@pytest.fixture
def refused() -> net.Addr:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return net.Addr(*server.getsockname())


def names(monkeypatch: pytest.MonkeyPatch, *addrs: net.Addr) -> None:
    """`many.test` has these addresses."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any) -> Any:
        if host != "many.test":
            return real(host, port, *args)
        if args[-1] & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", tuple(addr)) for addr in addrs]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


# -- one address --------------------------------------------------------------


def test_nobody_listens(run, refused: net.Addr) -> None:
    async def main() -> None:
        before = descriptors()
        with pytest.raises(ConnectionRefusedError, match=f"dial tcp {refused}: Connection refused"):
            await net.dial("tcp", refused)
        assert descriptors() == before

    run(main)


def test_no_host_is_this_machine(run) -> None:
    async def main() -> None:
        listener = net.listen("tcp", "127.0.0.1:0")
        async with listener, await net.dial("tcp", f":{listener.addr.port}") as conn:
            assert conn.remote_addr == listener.addr

    run(main)


def test_the_local_address_can_be_chosen(run) -> None:
    async def main() -> None:
        async with net.listen("tcp", "127.0.0.1:0") as listener:
            async with await net.dial("tcp", listener.addr, local_addr="127.0.0.2:0") as conn:
                assert conn.local_addr.host == "127.0.0.2"
                async with await listener.accept() as accepted:
                    assert accepted.remote_addr == conn.local_addr
            with pytest.raises(OSError, match="another family") as info:
                await net.dial("tcp", listener.addr, local_addr="[::1]:0")
            assert info.value.errno == errno.EAFNOSUPPORT

    run(main)


def test_a_connection_that_met_itself_is_not_one(run, refused: net.Addr, monkeypatch) -> None:
    real, tried = _dial._connect_once, []

    async def connect_once(net_: Any, target: Any, local: Any) -> Any:
        tried.append(target)
        return await real(net_, target, [target] if len(tried) == 1 else local)

    monkeypatch.setattr(_dial, "_connect_once", connect_once)

    async def main() -> None:
        tried.clear()
        with pytest.raises(ConnectionRefusedError):
            await net.dial("tcp", refused)
        assert len(tried) == 2

    run(main)


def test_who_wants_to_meet_itself_may(run, refused: net.Addr) -> None:
    async def main() -> None:
        async with await net.dial("tcp", refused, local_addr=refused) as conn:
            assert conn.local_addr == conn.remote_addr
            await conn.write(b"hello me")
            assert await conn.read() == b"hello me"
            conn.set_linger(0)

    run(main)


def test_a_path_that_is_not_there(tmp_path: Any) -> None:
    async def main() -> None:
        with pytest.raises(FileNotFoundError, match=r"dial unix .*: No such file"):
            await net.dial("unix", tmp_path / "missing")
        with pytest.raises(OSError, match="too long"):
            await net.dial("unix", "x" * 1000)

    gopark.run(main)


# -- what ends the wait -------------------------------------------------------


def test_timeout(run, silent: net.Addr) -> None:
    async def main() -> None:
        before = descriptors()
        with pytest.raises(TimeoutError, match=f"dial tcp {silent}: not done within 0.02 seconds"):
            await net.dial("tcp", silent, timeout=0.02)
        assert descriptors() == before

    run(main)


def test_a_context_that_ends(run, silent: net.Addr) -> None:
    async def main() -> None:
        before = descriptors()
        ctx, cancel = context.with_cancel(context.background())
        g = go(net.dial("tcp", silent, ctx=ctx))
        await until_waiting(g)
        cancel()
        with pytest.raises(context.Canceled):
            await g
        with pytest.raises(context.Canceled):
            await net.dial("tcp", silent, ctx=ctx)
        ctx, cancel = context.with_timeout(context.background(), 0.02)
        with pytest.raises(context.DeadlineExceeded):
            await net.dial("tcp", silent, ctx=ctx)
        cancel()
        assert descriptors() == before

    run(main)


def test_a_context_that_has_time(run) -> None:
    async def main() -> None:
        async with net.listen("tcp", "127.0.0.1:0") as listener:
            with context.with_timeout(context.background(), 1000) as ctx:
                async with await net.dial("tcp", listener.addr, ctx=ctx, timeout=1000) as conn:
                    pass
            assert conn.closed

    run(main)


def test_cancel(run, silent: net.Addr) -> None:
    async def main() -> None:
        before = descriptors()
        g = go(net.dial("tcp", silent))
        await until_waiting(g)
        g.cancel()
        with pytest.raises(GoCancelled):
            await g
        assert descriptors() == before

    run(main)


# -- several addresses --------------------------------------------------------


def test_the_next_address_is_tried_when_one_refuses(run, refused: net.Addr, monkeypatch) -> None:
    async def main() -> None:
        async with net.listen("tcp", "127.0.0.1:0") as listener:
            names(monkeypatch, refused, refused, listener.addr)
            async with await net.dial("tcp", "many.test:80") as conn:
                assert conn.remote_addr == listener.addr

    run(main)


def test_the_next_address_is_tried_beside_a_silent_one(
    run, silent: net.Addr, refused: net.Addr, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with net.listen("tcp", "127.0.0.1:0") as listener:
            names(monkeypatch, silent, refused, silent, listener.addr)
            monkeypatch.setattr(_dial, "HEAD_START", 0.01)
            before = descriptors()
            async with await net.dial("tcp", "many.test:80") as conn:
                assert conn.remote_addr == listener.addr
                assert descriptors() == before + 1

    run(main)


def test_a_slow_answer_still_wins_over_later_failures(run, refused: net.Addr, monkeypatch) -> None:
    """The first address answers only after all others have been refused."""
    real = _dial._connect

    async def main() -> None:
        failed: gopark.Chan[None] = gopark.Chan()

        async def connect(net_: Any, target: Any, local: Any) -> Any:
            if target[1] == tuple(listener.addr):
                await failed.recv()
                await failed.recv()
                return await real(net_, target, local)
            try:
                return await real(net_, target, local)
            finally:
                go(failed.send(None))

        monkeypatch.setattr(_dial, "_connect", connect)
        monkeypatch.setattr(_dial, "HEAD_START", 0.01)
        async with net.listen("tcp", "127.0.0.1:0") as listener:
            names(monkeypatch, listener.addr, refused, refused)
            async with await net.dial("tcp", "many.test:80") as conn:
                assert conn.remote_addr == listener.addr

    run(main)


def test_connections_that_come_too_late_are_closed(run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = _dial._connect
    made: list[net.Conn] = []

    async def connect(net_: Any, target: Any, local: Any) -> Any:
        with CancelScope(shield=True):
            conn = await real(net_, target, local)
            made.append(conn)
            while len(made) < 3:
                await gopark.sleep(0.001)
        return conn

    monkeypatch.setattr(_dial, "_connect", connect)
    monkeypatch.setattr(_dial, "HEAD_START", 0.0)

    async def main() -> None:
        made.clear()
        async with net.listen("tcp", "127.0.0.1:0") as listener:
            names(monkeypatch, *[listener.addr] * 3)
            async with await net.dial("tcp", "many.test:80") as conn:
                assert [other.closed for other in made if other is not conn] == [True, True]
                assert not conn.closed

    run(main)


def test_all_addresses_fail(run, refused: net.Addr, monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, refused, refused)

    async def main() -> None:
        with pytest.raises(ConnectionRefusedError, match=r"dial tcp many\.test:80") as info:
            await net.dial("tcp", "many.test:80")
        assert isinstance(info.value.__cause__, ExceptionGroup)
        assert len(info.value.__cause__.exceptions) == 2

    run(main)


@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_a_race_that_is_called_off_leaves_nothing(
    run, silent: net.Addr, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    names(monkeypatch, silent, silent, silent)
    monkeypatch.setattr(_dial, "HEAD_START", 0.001)

    async def main() -> None:
        before = descriptors()
        if how == "timeout":
            with pytest.raises(TimeoutError):
                await net.dial("tcp", "many.test:80", timeout=0.03)
        else:
            g = go(net.dial("tcp", ("many.test", 80)))
            while descriptors() < before + 3:
                await gopark.sleep(0.001)
            g.cancel()
            with pytest.raises(GoCancelled):
                await g
        assert descriptors() == before
        assert gopark.num_goroutine() == 1

    run(main)


# -- names --------------------------------------------------------------------


def test_lookup(run) -> None:
    async def main() -> None:
        assert {"127.0.0.1", "::1"} & set(await net.lookup_host("localhost"))
        assert await net.lookup_host("127.0.0.1") == ["127.0.0.1"]
        assert await net.lookup_host("::1") == ["::1"]

    run(main)


def test_a_name_that_is_none(run) -> None:
    async def main() -> None:
        for operation in (
            net.lookup_host("no.such.host.invalid"),
            net.dial("tcp", "no.such.host.invalid:80"),
        ):
            with pytest.raises(socket.gaierror, match=r"lookup no\.such\.host\.invalid"):
                await operation
        with pytest.raises(socket.gaierror):
            await net.dial("tcp4", "[::1]:80")

    run(main)


@pytest.mark.parametrize("host", ["a\0b", "a..b", "x" * 64 + ".test"])
def test_what_cannot_be_a_name(host: str) -> None:
    async def main() -> None:
        with pytest.raises((net.AddrError, socket.gaierror)):
            await net.dial("tcp", (host, 80))

    gopark.run(main)


def test_a_slow_lookup_holds_up_nobody_else(run, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, answer = threading.Event(), threading.Event()

    def lookup(*args: Any) -> Any:
        begun.set()
        answer.wait()
        return [(socket.AF_INET, ("192.0.2.1", 0))]

    monkeypatch.setattr(_resolve, "numeric", lambda *args: None)
    monkeypatch.setattr(_resolve, "lookup", lookup)

    async def main() -> None:
        begun.clear()
        answer.clear()
        g = go(net.lookup_host("slow.test"))
        while not begun.is_set():
            await gopark.sleep(0.001)
        for _ in range(100):
            await gopark.gosched()
        assert not g.done()
        answer.set()
        assert await g == ["192.0.2.1"]

    run(main)


def test_a_slow_lookup_can_be_called_off(run, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def lookup(*args: Any) -> Any:
        answer.wait()
        raise socket.gaierror(socket.EAI_FAIL, "nobody asks any more")

    monkeypatch.setattr(_resolve, "numeric", lambda *args: None)
    monkeypatch.setattr(_resolve, "lookup", lookup)

    async def main() -> None:
        answer.clear()
        with pytest.raises(TimeoutError):
            await net.dial("tcp", "slow.test:80", timeout=0.02)
        answer.set()
        while gopark.num_goroutine() > 1:
            await gopark.sleep(0.001)

    run(main)
